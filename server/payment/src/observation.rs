//! A report about a payment from one source, with what is stored and scheduled because of it.

use bytes::Bytes;

use crate::id::AccountName;
use crate::named_enum::named_enum;
use crate::status::StatusUpdate;
use crate::timestamp::Timestamp;

named_enum! {
    /// Where an observation comes from.
    Source {
        /// Khipu's webhook.
        Notification = "notification",
        /// Khipu's answer to a call.
        Khipu = "khipu",
        /// The merchant's own call: a payment created or deleted.
        Merchant = "merchant",
        /// The payer came back through the return hop.
        Payer = "payer",
    }
}

named_enum! {
    /// How far a notification is believed. Only one that agrees changes the status; otherwise Khipu is asked.
    Verdict {
        /// Fresh, signed, about a payment made here, and in agreement with it.
        Agrees = "agrees",
        /// Its signature is valid but too old or too far ahead.
        Stale = "stale",
        /// About a payment that was not made here.
        UnknownPayment = "unknown_payment",
        /// Amount, currency, receiver or transaction differ from the payment's: it never confirms.
        Mismatch = "mismatch",
        /// Signed and in agreement, but without a conciliation date.
        Unconciliated = "unconciliated",
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

named_enum! {
    /// Timed work that an observation schedules.
    JobKind {
        /// Send the confirmation to the merchant's notify_url. At most one per payment, ever; scheduled only if the payment
        /// is confirmed once the observation is applied.
        Delivery = "delivery",
        /// Ask Khipu about the payment.
        Check = "check",
        /// Send the payment's changes of status to its account's events_url. Scheduled only if the observation changes the
        /// status; the change is kept until it is sent.
        Events = "events",
    }
}

/// Which of the due checks comes first, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum JobPriority {
    /// A verified notification was not believed by itself: Khipu's answer may confirm the payment.
    Notified,
    /// Planned, while the payment is not confirmed.
    #[default]
    Silent,
    /// Compares a confirmation with Khipu. It cannot reveal a payment, so it comes last.
    CrossCheck,
}

impl JobPriority {
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
    /// For checks. Other jobs have the default.
    pub priority: JobPriority,
}

impl NewJob {
    pub fn delivery(due_at: Timestamp) -> Self {
        Self {
            kind: JobKind::Delivery,
            due_at,
            priority: JobPriority::default(),
        }
    }

    pub fn events(due_at: Timestamp) -> Self {
        Self {
            kind: JobKind::Events,
            due_at,
            priority: JobPriority::default(),
        }
    }

    pub const fn check(due_at: Timestamp, priority: JobPriority) -> Self {
        Self {
            kind: JobKind::Check,
            due_at,
            priority,
        }
    }
}

/// Everything that one event reports about one payment. The store applies it in one atomic step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observation {
    /// A payment of another account is not changed.
    pub account: AccountName,
    pub source: Source,
    pub at: Timestamp,
    /// `None`: the status stays.
    pub update: Option<StatusUpdate>,
    pub notification: Option<Notification>,
    pub jobs: Vec<NewJob>,
}
