//! The max-register: what is said of a payment, and why it can only move forward.
//!
//! A status's rank is its version. Applying a claim is `max()` on the rank, so it is commutative, associative and
//! idempotent: doubled, replayed, reordered and concurrent claims all end at the same status on every instance, with no
//! clock, counter or sequence to agree on.

use serde::{Deserialize, Serialize};

use super::{Claim, Timestamp};

/// What is said of a payment. The discriminant is the version; higher overtakes lower.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum Status {
    /// The payer has not begun, as far as anybody knows.
    Pending = 1,
    /// A transfer is being verified: nobody should pay again.
    Verifying = 2,
    /// The time to pay and every attempt's own term are over. A late confirmation can still follow.
    Expired = 3,
    /// Deleted by the merchant.
    Cancelled = 4,
    /// Khipu is done with it and it was not paid.
    Rejected = 5,
    /// Paid.
    Confirmed = 6,
    /// Was paid, and the money went back in full.
    Reversed = 7,
}

impl Status {
    pub const ALL: [Self; 7] = [
        Self::Pending,
        Self::Verifying,
        Self::Expired,
        Self::Cancelled,
        Self::Rejected,
        Self::Confirmed,
        Self::Reversed,
    ];

    /// The rank on the wire and in the stores: 1 to 7.
    pub const fn version(self) -> u8 {
        self as u8
    }

    pub fn from_version(version: u8) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|status| status.version() == version)
    }

    /// Whether watchers have nothing more to wait for. Observations still count after it.
    pub const fn is_final(self) -> bool {
        self.version() >= Self::Cancelled.version()
    }

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Verifying => "verifying",
            Self::Expired => "expired",
            Self::Cancelled => "cancelled",
            Self::Rejected => "rejected",
            Self::Confirmed => "confirmed",
            Self::Reversed => "reversed",
        }
    }
}

/// Why, where the status alone does not say it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reason {
    RejectedByPayer,
    MarkedAsAbuse,
    MarkedPaidByReceiver,
    PartiallyRefunded,
    FullyRefunded,
    Reversed,
}

impl Reason {
    pub const ALL: [Self; 6] = [
        Self::RejectedByPayer,
        Self::MarkedAsAbuse,
        Self::MarkedPaidByReceiver,
        Self::PartiallyRefunded,
        Self::FullyRefunded,
        Self::Reversed,
    ];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::RejectedByPayer => "rejected-by-payer",
            Self::MarkedAsAbuse => "marked-as-abuse",
            Self::MarkedPaidByReceiver => "marked-paid-by-receiver",
            Self::PartiallyRefunded => "partially-refunded",
            Self::FullyRefunded => "fully-refunded",
            Self::Reversed => "reversed",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.as_str() == text)
    }
}

/// The register's value: a status, since when, and what is to be said beside it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct State {
    pub status: Status,
    /// When this status was accepted.
    pub at: Timestamp,
    /// Confirmed after the date until which it could be paid.
    pub late: bool,
    pub reason: Option<Reason>,
}

impl State {
    pub const fn pending(at: Timestamp) -> Self {
        Self {
            status: Status::Pending,
            at,
            late: false,
            reason: None,
        }
    }

    /// The only way a payment changes: the claim is accepted if its rank is higher than what is known.
    #[must_use]
    pub fn merged(self, claim: &Claim, at: Timestamp) -> Self {
        if claim.status > self.status {
            Self {
                status: claim.status,
                at,
                late: claim.late,
                reason: claim.reason,
            }
        } else {
            self
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn status() -> impl Strategy<Value = Status> {
        proptest::sample::select(Status::ALL.to_vec())
    }

    fn apply(start: State, claims: &[Status]) -> State {
        claims.iter().enumerate().fold(start, |state, (i, status)| {
            state.merged(
                &Claim::of(*status),
                Timestamp::from_unix_ms(i64::try_from(i).expect("small")),
            )
        })
    }

    #[test]
    fn versions_are_those_of_the_contract() {
        let versions: Vec<_> = Status::ALL
            .iter()
            .map(|s| (s.version(), s.as_str(), s.is_final()))
            .collect();
        assert_eq!(
            versions,
            [
                (1, "pending", false),
                (2, "verifying", false),
                (3, "expired", false),
                (4, "cancelled", true),
                (5, "rejected", true),
                (6, "confirmed", true),
                (7, "reversed", true),
            ]
        );
    }

    #[test]
    fn texts_and_versions_lead_back() {
        for status in Status::ALL {
            assert_eq!(Status::from_version(status.version()), Some(status));
            assert_eq!(
                serde_json::to_string(&status).expect("json"),
                format!("\"{}\"", status.as_str())
            );
        }
        for reason in Reason::ALL {
            assert_eq!(Reason::parse(reason.as_str()), Some(reason));
        }
        assert_eq!(Status::from_version(0), None);
        assert_eq!(Status::from_version(8), None);
    }

    #[test]
    fn a_confirmation_overtakes_cancelled_and_rejected() {
        for before in [Status::Cancelled, Status::Rejected, Status::Expired] {
            let end = apply(
                State::pending(Timestamp::default()),
                &[before, Status::Confirmed],
            );
            assert_eq!(end.status, Status::Confirmed);
        }
    }

    proptest! {
        #[test]
        fn any_order_ends_at_the_same_status(
            (claims, shuffled) in prop::collection::vec(status(), 0..24)
                .prop_flat_map(|claims| (Just(claims.clone()), Just(claims).prop_shuffle()))
        ) {
            let start = State::pending(Timestamp::default());
            prop_assert_eq!(apply(start, &claims).status, apply(start, &shuffled).status);
        }

        #[test]
        fn duplicates_and_replays_change_nothing(claims in prop::collection::vec(status(), 1..24), again in 0usize..24) {
            let start = State::pending(Timestamp::default());
            let once = apply(start, &claims);
            let twice = apply(once, &claims);
            prop_assert_eq!(once, twice);
            let replayed = apply(once, &claims[again % claims.len()..]);
            prop_assert_eq!(once, replayed);
        }

        #[test]
        fn a_status_never_goes_back(claims in prop::collection::vec(status(), 0..24)) {
            let mut state = State::pending(Timestamp::default());
            for claim in claims {
                let next = state.merged(&Claim::of(claim), Timestamp::from_unix_ms(1));
                prop_assert!(next.status >= state.status);
                state = next;
            }
        }

        /// Two instances that each saw a part, in any split, agree once each has heard the other.
        #[test]
        fn two_instances_that_exchange_what_they_saw_agree(
            claims in prop::collection::vec((status(), any::<bool>()), 0..24)
        ) {
            let start = State::pending(Timestamp::default());
            let part = |side: bool| claims.iter().filter(|(_, s)| *s == side).map(|(c, _)| *c).collect::<Vec<_>>();
            let (left, right) = (apply(start, &part(true)), apply(start, &part(false)));
            let left_then_right = apply(left, &[right.status]);
            let right_then_left = apply(right, &[left.status]);
            let in_one_place = apply(start, &claims.iter().map(|(c, _)| *c).collect::<Vec<_>>());
            prop_assert_eq!(left_then_right.status, right_then_left.status);
            prop_assert_eq!(left_then_right.status, in_one_place.status);
        }
    }
}
