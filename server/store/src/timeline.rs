//! The history of a payment.

use std::time::Duration;

use async_trait::async_trait;
use chasqui_payment::{JobKind, PaymentId, Source, Timestamp, Verdict, Version, WatchTransport};

use crate::error::StoreError;

/// The most entries of a timeline.
pub const TIMELINE_LIMIT: usize = 1000;

/// The most entries that returns and watches have each, so that a page that reloads in a loop does not fill the timeline.
pub const VISITS_LIMIT: usize = 8;

#[async_trait]
pub trait Timeline: Send + Sync + std::fmt::Debug + 'static {
    /// The payment's records, oldest first and in the order recorded, at most [`TIMELINE_LIMIT`]: the oldest, or those that
    /// were recorded first.
    async fn timeline(&self, id: &PaymentId) -> Result<Vec<TimelineEntry>, StoreError>;

    /// Records a visit. `false`: it is not recorded, because the payment is not known, the timeline is full, there are
    /// [`VISITS_LIMIT`] of its kind, or that version has been seen.
    ///
    /// Meant for every visit: it keeps the payment no longer, and where the store has replicas, a failover may forget it.
    async fn record_visit(
        &self,
        id: &PaymentId,
        visit: Visit,
        at: Timestamp,
    ) -> Result<bool, StoreError>;
}

/// What a payer, or another watcher, did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Visit {
    /// The payer came back through the return hop.
    Returned,
    /// A watcher began to follow the payment.
    Watched(WatchTransport),
    /// A page showed this version to its payer. Recorded once for each version.
    Seen(Version),
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
    Visited(Visit),
    /// The delivery was reopened. The numbers of its attempts begin again.
    Redelivered,
    /// The payer's data was erased.
    Erased,
}
