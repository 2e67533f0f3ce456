//! A claim about a payment, from wherever it came, with what is to be kept and done because of it.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::{AccountName, StatusUpdate, Timestamp};

/// Who says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// Khipu's webhook.
    Notification,
    /// Khipu's answer to a question of ours or to a call that passed through us.
    Khipu,
    /// A call of the merchant's own: a payment created or deleted.
    Merchant,
    /// The payer came back through the return hop.
    Payer,
}

impl Source {
    pub const ALL: [Self; 4] = [Self::Notification, Self::Khipu, Self::Merchant, Self::Payer];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Notification => "notification",
            Self::Khipu => "khipu",
            Self::Merchant => "merchant",
            Self::Payer => "payer",
        }
    }
}

/// How far a notification is believed. Only an agreeing one changes the status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Fresh, signed, about a payment made here, and in agreement with it.
    Agrees,
    /// Its signature is valid but too old or too far ahead: Khipu decides.
    Stale,
    /// About a payment that was not made here: Khipu decides.
    UnknownPayment,
    /// Amount, currency, receiver or transaction differ from the payment's: never confirmed by it.
    Mismatch,
    /// Signed and in agreement, but without a conciliation date: Khipu decides.
    Unconciliated,
}

impl Verdict {
    pub const ALL: [Self; 5] = [
        Self::Agrees,
        Self::Stale,
        Self::UnknownPayment,
        Self::Mismatch,
        Self::Unconciliated,
    ];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Agrees => "agrees",
            Self::Stale => "stale",
            Self::UnknownPayment => "unknown_payment",
            Self::Mismatch => "mismatch",
            Self::Unconciliated => "unconciliated",
        }
    }
}

/// What Khipu sent, byte for byte: the merchant gets these bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notification {
    pub body: Bytes,
    /// The `x-khipu-signature` header as it came.
    pub signature: String,
    pub verdict: Verdict,
}

/// Timed work that an observation calls for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum JobKind {
    /// Hand the confirmation to the merchant's notify_url. At most one a payment, ever; scheduled only where the payment
    /// stands at confirmed once the observation has been applied.
    Delivery,
    /// Ask Khipu about the payment.
    Check,
}

impl JobKind {
    pub const ALL: [Self; 2] = [Self::Delivery, Self::Check];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Delivery => "delivery",
            Self::Check => "check",
        }
    }
}

/// Which of the checks that are due comes first: the earlier in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Priority {
    /// A verified notification was not believed by itself: Khipu's answer may confirm the payment now.
    Notified,
    /// Nothing was heard: the plan of a payment that is not confirmed.
    #[default]
    Silent,
    /// Whether Khipu agrees with a confirmation. It cannot reveal a payment, so it comes last.
    CrossCheck,
}

impl Priority {
    pub const ALL: [Self; 3] = [Self::Notified, Self::Silent, Self::CrossCheck];

    /// 0 is the highest.
    pub const fn rank(self) -> u8 {
        self as u8
    }

    pub fn from_rank(rank: u8) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|priority| priority.rank() == rank)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NewJob {
    pub kind: JobKind,
    pub due_at: Timestamp,
    /// Of a check. Deliveries all have the same.
    pub priority: Priority,
}

impl NewJob {
    pub fn delivery(due_at: Timestamp) -> Self {
        Self {
            kind: JobKind::Delivery,
            due_at,
            priority: Priority::default(),
        }
    }

    pub const fn check(due_at: Timestamp, priority: Priority) -> Self {
        Self {
            kind: JobKind::Check,
            due_at,
            priority,
        }
    }
}

/// Everything that one event says about one payment. The store applies it in one atomic step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observation {
    /// The account on whose behalf it was made. A payment of another account is not touched.
    pub account: AccountName,
    pub source: Source,
    pub at: Timestamp,
    /// `None`: recorded, but the status stays.
    pub update: Option<StatusUpdate>,
    pub notification: Option<Notification>,
    pub jobs: Vec<NewJob>,
}
