//! What is reported of a payment, and the rules by which its status changes.
//!
//! A status has a number, its [`Version`], that only rises: `10 × round + kind`, and 1000 and 1001 for what is final. A
//! payer who tries again after a rejection opens a new round, so that a page can turn from "rejected" to "verifying"
//! although the number never falls. The store applies a [`StatusUpdate`] in one atomic step ([`PaymentState::updated`]):
//!
//! - a final update (confirmed, reversed) by `max()`, from any version: duplicates, replays, any order and concurrent
//!   updates end at the same status;
//! - every other update names the version that it replaces and counts only if the store still holds that one: a slow old
//!   answer of Khipu's changes nothing.
//!
//! [`PaymentState::answered`] and [`PaymentState::returned`] give the update for an answer of Khipu's and for a payer's
//! return.

mod name;
mod version;

use std::time::Duration;

pub use name::{Status, StatusReason};
pub use version::{StatusKind, Version};

use crate::timestamp::Timestamp;

/// What Khipu reports of a payment, in this product's terms.
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
    pub const fn kind(self) -> StatusKind {
        match self {
            Self::Pending => StatusKind::Unpaid,
            Self::Expired => StatusKind::Expired,
            Self::Verifying => StatusKind::Verifying,
            Self::Cancelled => StatusKind::Cancelled,
            Self::Rejected(_) => StatusKind::Rejected,
            Self::Confirmed { .. } => StatusKind::Confirmed,
            Self::Reversed(_) => StatusKind::Reversed,
        }
    }

    const fn reason(self) -> Option<StatusReason> {
        match self {
            Self::Rejected(reason) | Self::Reversed(reason) => Some(reason),
            Self::Confirmed { reason, .. } => reason,
            _ => None,
        }
    }

    /// The update that counts from any version; `None` for what is not final.
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

/// A change of status that the store is asked to make.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StatusUpdate {
    pub version: Version,
    /// The version that the store must hold. `None`: any, by `max()`; final updates only.
    pub replaces: Option<Version>,
    pub late: bool,
    pub reason: Option<StatusReason>,
}

/// How long after the payer's return Khipu's "pending" may be older than what the payer did at the bank.
const RETURN_GRACE: Duration = Duration::from_secs(30);

/// A status, since when, and its details.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PaymentState {
    pub version: Version,
    /// When this status began.
    pub at: Timestamp,
    /// Confirmed after its expiry.
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

    /// The higher of two states, where a payment that is stored is stored again.
    #[must_use]
    pub fn raised_to(self, other: Self) -> Self {
        let update = StatusUpdate {
            version: other.version,
            replaces: None,
            late: other.late,
            reason: other.reason,
        };
        self.updated(&update, other.at)
    }

    /// The only way a payment changes.
    #[must_use]
    pub fn updated(self, update: &StatusUpdate, at: Timestamp) -> Self {
        let counts = update.replaces.is_none_or(|held| held == self.version);
        if !counts || update.version <= self.version {
            return self;
        }
        // The payer came back and Khipu says verifying too: the status stays, and so does its time.
        let continues = self.version.kind() == StatusKind::Returned
            && self.version.followed_by(StatusKind::Verifying) == Some(update.version);
        Self {
            version: update.version,
            at: if continues { self.at } else { at },
            late: update.late,
            reason: update.reason,
        }
    }

    /// The update for Khipu's answer, where this is the state that was held when Khipu was asked at `asked_at`. `None`: the
    /// answer is no news.
    pub fn answered(&self, reported: Reported, asked_at: Timestamp) -> Option<StatusUpdate> {
        if let Some(update) = reported.final_update() {
            return (update.version > self.version).then_some(update);
        }
        let is_old_news = match (self.version.kind(), reported) {
            (StatusKind::Created, Reported::Pending) => true,
            (StatusKind::Returned, Reported::Pending | Reported::Expired) => {
                asked_at < self.at.plus(RETURN_GRACE)
            }
            _ => false,
        };
        if is_old_news {
            return None;
        }
        // A reason belongs to its version: another one is news.
        if matches!(reported, Reported::Rejected(_))
            && self.version.kind() == StatusKind::Rejected
            && self.reason != reported.reason()
        {
            return self.replaced_by(self.version.in_next_round(), reported.reason());
        }
        self.replaced_by(self.version.followed_by(reported.kind()), reported.reason())
    }

    /// The update for the payer's return. `None`: nothing changes. Khipu is asked first where
    /// [`must_be_asked_on_return`](Self::must_be_asked_on_return).
    pub fn returned(&self) -> Option<StatusUpdate> {
        match self.version.kind() {
            StatusKind::Returned | StatusKind::Verifying => None,
            _ => self.replaced_by(self.version.followed_by(StatusKind::Returned), None),
        }
    }

    /// Whether Khipu would take the payment if the payer tried again.
    pub fn may_be_resumed(&self) -> bool {
        match self.version.kind() {
            StatusKind::Created | StatusKind::Unpaid => true,
            StatusKind::Rejected => self.reason == Some(StatusReason::RejectedByPayer),
            _ => false,
        }
    }

    /// Whether Khipu's newest answer ended the attempt, so that a payer's return is recorded only after asking again.
    pub fn must_be_asked_on_return(&self) -> bool {
        matches!(
            self.version.kind(),
            StatusKind::Unpaid | StatusKind::Expired | StatusKind::Cancelled | StatusKind::Rejected
        )
    }

    fn replaced_by(
        &self,
        version: Option<Version>,
        reason: Option<StatusReason>,
    ) -> Option<StatusUpdate> {
        Some(StatusUpdate {
            version: version?,
            replaces: Some(self.version),
            late: false,
            reason,
        })
    }
}

#[cfg(test)]
mod tests;
