//! What happened to a payment, for people.

use std::time::Duration;

use chasqui_payment::{JobKind, Source, Timestamp, Verdict, Version};

/// The most entries that a timeline shows.
pub const TIMELINE_LIMIT: usize = 1000;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TimelineEntry {
    pub at: Timestamp,
    pub event: TimelineEvent,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TimelineEvent {
    Created,
    /// An update was asked for; `accepted` if it changed the status.
    Observed {
        source: Source,
        version: Version,
        accepted: bool,
    },
    /// A notification was kept (its first arrival; `copies` counts all).
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
