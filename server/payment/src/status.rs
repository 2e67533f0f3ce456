//! What is said of a payment, and the rules by which it changes.
//!
//! A status has a number, its [`Version`], that only rises: `10 × round + kind`, and 1000 and 1001 for what is final. A
//! payer who tries again after a rejection opens a new round, so that a page can turn from "rejected" to "verifying" and
//! still never go back. The store applies a [`StatusUpdate`] in one atomic step ([`PaymentState::updated`]):
//!
//! - a final update (confirmed, reversed) by `max()`, from anywhere: doubled, replayed, reordered and concurrent ones all
//!   end at the same status;
//! - every other update names the version that it replaces and counts only if the store still holds that one: a slow old
//!   answer of Khipu's changes nothing, and the newest word stands.
//!
//! [`PaymentState::answered`] and [`PaymentState::returned`] say which update an answer of Khipu's or a payer's return calls for.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Timestamp;

/// The word on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// No transfer is known of.
    Pending,
    /// A transfer is being verified: the payer should not pay again.
    Verifying,
    /// The time to pay and every attempt's own term are over. A late confirmation can still follow.
    Expired,
    /// Deleted by the merchant.
    Cancelled,
    /// Khipu is done with this attempt and it was not paid. The payer may resume.
    Rejected,
    /// Paid.
    Confirmed,
    /// Was paid, and the money went back in full.
    Reversed,
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

/// A status's place within its round, and the two that end all rounds. The discriminant is the number's last digit;
/// higher overtakes lower.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Created; Khipu says pending.
    Created = 1,
    /// Verifying, because the payer came back from the bank.
    Returned = 2,
    /// Pending, because Khipu still says so although the payer came back, or says so again.
    Unpaid = 3,
    /// Verifying, because Khipu says so.
    Verifying = 4,
    Expired = 5,
    Cancelled = 6,
    Rejected = 7,
    Confirmed,
    Reversed,
}

impl Kind {
    /// Those of a round.
    const OF_A_ROUND: [Self; 7] = [
        Self::Created,
        Self::Returned,
        Self::Unpaid,
        Self::Verifying,
        Self::Expired,
        Self::Cancelled,
        Self::Rejected,
    ];

    pub const fn status(self) -> Status {
        match self {
            Self::Created | Self::Unpaid => Status::Pending,
            Self::Returned | Self::Verifying => Status::Verifying,
            Self::Expired => Status::Expired,
            Self::Cancelled => Status::Cancelled,
            Self::Rejected => Status::Rejected,
            Self::Confirmed => Status::Confirmed,
            Self::Reversed => Status::Reversed,
        }
    }
}

/// A status's number: 11 to 997, 1000 or 1001.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version(u16);

/// In the last round only final updates and higher kinds count. Far above what a payer and Khipu can use up.
const LAST_ROUND: u16 = 99;

/// The numbers of version 0.1, from 1 on, as they are read today.
const OF_0_1: [Version; 7] = [
    Version(11),
    Version(12),
    Version(15),
    Version(16),
    Version(17),
    Version::CONFIRMED,
    Version::REVERSED,
];

impl Version {
    pub const FIRST: Self = Self(11);
    pub const CONFIRMED: Self = Self(1000);
    pub const REVERSED: Self = Self(1001);

    pub fn from_number(number: u16) -> Option<Self> {
        let round = number / 10;
        let is_of_a_round = (1..=LAST_ROUND).contains(&round) && (1..=7).contains(&(number % 10));
        (is_of_a_round || matches!(number, 1000 | 1001)).then_some(Self(number))
    }

    /// A number that a store holds, which may be one of version 0.1.
    pub fn from_stored(number: u16) -> Option<Self> {
        match number {
            0..10 => OF_0_1.get(usize::from(number).checked_sub(1)?).copied(),
            _ => Self::from_number(number),
        }
    }

    pub const fn number(self) -> u16 {
        self.0
    }

    pub fn kind(self) -> Kind {
        match self {
            Self::CONFIRMED => Kind::Confirmed,
            Self::REVERSED => Kind::Reversed,
            Self(number) => Kind::OF_A_ROUND[usize::from((number % 10).clamp(1, 7)) - 1],
        }
    }

    pub fn status(self) -> Status {
        self.kind().status()
    }

    /// Whether watchers have nothing more to wait for. Observations still count after it.
    pub fn is_final(self) -> bool {
        self >= Self::CONFIRMED
    }

    /// Who says so, where the word alone does not tell.
    pub fn by(self) -> Option<&'static str> {
        match self.kind() {
            Kind::Returned => Some("payer"),
            Kind::Unpaid | Kind::Verifying => Some("khipu"),
            _ => None,
        }
    }

    /// The number of this kind that follows: in the same round if it is a higher kind, in the next if it is a lower one.
    /// `None` where nothing follows: of the same kind, after the last round, or after a final status.
    fn followed_by(self, kind: Kind) -> Option<Self> {
        let own = self.kind();
        let round = match kind {
            Kind::Confirmed => return (self < Self::CONFIRMED).then_some(Self::CONFIRMED),
            Kind::Reversed => return (self < Self::REVERSED).then_some(Self::REVERSED),
            _ if self.is_final() || kind == own => return None,
            _ if kind > own => self.0 / 10,
            _ => self.0 / 10 + 1,
        };
        (round <= LAST_ROUND).then_some(Self(round * 10 + kind as u16))
    }

    /// The same kind, one round later.
    fn in_next_round(self) -> Option<Self> {
        Self::from_number(self.0 + 10).filter(|next| !next.is_final())
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Why, where the status alone does not say it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StatusReason {
    RejectedByPayer,
    MarkedAsAbuse,
    MarkedPaidByReceiver,
    PartiallyRefunded,
    FullyRefunded,
    Reversed,
}

impl StatusReason {
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

/// What Khipu answers of a payment, in terms of this product.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reported {
    Pending,
    /// Pending, and the time to pay and every attempt's own term are over.
    Expired,
    Verifying,
    Cancelled,
    Rejected(StatusReason),
    Confirmed {
        late: bool,
        reason: Option<StatusReason>,
    },
    Reversed(StatusReason),
}

impl Reported {
    pub const fn kind(self) -> Kind {
        match self {
            Self::Pending => Kind::Unpaid,
            Self::Expired => Kind::Expired,
            Self::Verifying => Kind::Verifying,
            Self::Cancelled => Kind::Cancelled,
            Self::Rejected(_) => Kind::Rejected,
            Self::Confirmed { .. } => Kind::Confirmed,
            Self::Reversed(_) => Kind::Reversed,
        }
    }

    const fn reason(self) -> Option<StatusReason> {
        match self {
            Self::Rejected(reason) | Self::Reversed(reason) => Some(reason),
            Self::Confirmed { reason, .. } => reason,
            _ => None,
        }
    }

    /// The update that counts whatever the store holds; `None` for what is not final.
    pub fn final_update(self) -> Option<StatusUpdate> {
        let (version, late) = match self {
            Self::Confirmed { late, .. } => (Version::CONFIRMED, late),
            Self::Reversed(_) => (Version::REVERSED, false),
            _ => return None,
        };
        Some(StatusUpdate {
            version,
            replaces: None,
            late,
            reason: self.reason(),
        })
    }
}

/// A change of status that is asked of the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StatusUpdate {
    pub version: Version,
    /// It counts only if this is what the store holds. `None`: from anywhere, by `max()`; final updates only.
    pub replaces: Option<Version>,
    pub late: bool,
    pub reason: Option<StatusReason>,
}

/// How long after the payer's return Khipu's "pending" may still be older than what the payer did at the bank.
const RETURN_GRACE: Duration = Duration::from_secs(30);

/// A status, since when, and what is to be said beside it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PaymentState {
    pub version: Version,
    /// When this word began.
    pub at: Timestamp,
    /// Confirmed after the date until which it could be paid.
    pub late: bool,
    pub reason: Option<StatusReason>,
}

impl PaymentState {
    pub const fn created(at: Timestamp) -> Self {
        Self {
            version: Version::FIRST,
            at,
            late: false,
            reason: None,
        }
    }

    pub fn status(&self) -> Status {
        self.version.status()
    }

    pub fn is_final(&self) -> bool {
        self.version.is_final()
    }

    /// The only way a payment changes.
    #[must_use]
    pub fn updated(self, update: &StatusUpdate, at: Timestamp) -> Self {
        let counts = update.replaces.is_none_or(|held| held == self.version);
        if !counts || update.version <= self.version {
            return self;
        }
        Self {
            version: update.version,
            at: if self.is_continued_by(update.version) {
                self.at
            } else {
                at
            },
            late: update.late,
            reason: update.reason,
        }
    }

    /// Whether the word stays: the payer came back, and Khipu says "verifying" too.
    fn is_continued_by(&self, version: Version) -> bool {
        self.version.kind() == Kind::Returned && version.0 == self.version.0 + 2
    }

    /// What Khipu's answer calls for, when this is what the store held as the question was put at `asked_at`. `None`: it
    /// is no news.
    pub fn answered(&self, reported: Reported, asked_at: Timestamp) -> Option<StatusUpdate> {
        if let Some(update) = reported.final_update() {
            return (update.version > self.version).then_some(update);
        }
        let says_nothing_new = match (self.version.kind(), reported) {
            (Kind::Created, Reported::Pending) => true,
            (Kind::Returned, Reported::Pending | Reported::Expired) => {
                asked_at < self.at.plus(RETURN_GRACE)
            }
            _ => false,
        };
        if says_nothing_new {
            return None;
        }
        // A reason belongs to its version: another one is news.
        if matches!(reported, Reported::Rejected(_))
            && self.version.kind() == Kind::Rejected
            && self.reason != reported.reason()
        {
            return self.replacement(self.version.in_next_round(), reported.reason());
        }
        self.replaced_by(reported.kind(), reported.reason())
    }

    /// What the payer's return calls for. Where Khipu's newest word is an end (kinds 3 and 5 to 7) Khipu is to be asked
    /// first. `None`: nothing changes.
    pub fn returned(&self) -> Option<StatusUpdate> {
        match self.version.kind() {
            Kind::Returned | Kind::Verifying => None,
            _ => self.replaced_by(Kind::Returned, None),
        }
    }

    /// Whether Khipu would take the payment if the payer tried again.
    pub fn may_be_resumed(&self) -> bool {
        match self.version.kind() {
            Kind::Created | Kind::Unpaid => true,
            Kind::Rejected => self.reason == Some(StatusReason::RejectedByPayer),
            _ => false,
        }
    }

    /// Whether a payer who comes back is first compared with what Khipu says now.
    pub fn must_be_asked_on_return(&self) -> bool {
        matches!(
            self.version.kind(),
            Kind::Unpaid | Kind::Expired | Kind::Cancelled | Kind::Rejected
        )
    }

    fn replaced_by(&self, kind: Kind, reason: Option<StatusReason>) -> Option<StatusUpdate> {
        self.replacement(self.version.followed_by(kind), reason)
    }

    fn replacement(
        &self,
        with: Option<Version>,
        reason: Option<StatusReason>,
    ) -> Option<StatusUpdate> {
        Some(StatusUpdate {
            version: with?,
            replaces: Some(self.version),
            late: false,
            reason,
        })
    }
}

#[cfg(test)]
mod tests;
