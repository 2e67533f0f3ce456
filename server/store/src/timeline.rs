//! The history of a payment.

use std::time::Duration;

use chasqui_payment::{JobKind, Source, Timestamp, Verdict, Version};

/// The most entries of a timeline.
pub const TIMELINE_LIMIT: usize = 1000;

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
