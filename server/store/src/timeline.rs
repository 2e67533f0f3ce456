//! The history of a payment.

use std::time::Duration;

use async_trait::async_trait;
use chasqui_payment::{JobKind, PaymentId, Source, Timestamp, Verdict, Version};

use crate::error::StoreError;

/// The most entries of a timeline.
pub const TIMELINE_LIMIT: usize = 1000;

#[async_trait]
pub trait Timeline: Send + Sync + std::fmt::Debug + 'static {
    /// The payment's records, oldest first and in the order recorded, at most [`TIMELINE_LIMIT`]: the oldest, or those that
    /// were recorded first.
    async fn timeline(&self, id: &PaymentId) -> Result<Vec<TimelineEntry>, StoreError>;
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TimelineEntry {
    pub at: Timestamp,
    pub event: TimelineEvent,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TimelineEvent {
    Created,
    /// An update; `accepted` if it changed the status.
    Observed {
        source: Source,
        version: Version,
        accepted: bool,
    },
    /// A notification, at its first arrival; `copies` counts all of them.
    Notified {
        verdict: Verdict,
        copies: u32,
    },
    Attempted {
        kind: JobKind,
        number: u32,
        result: String,
        duration: Duration,
    },
}
