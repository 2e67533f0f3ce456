//! Records in a payment's timeline that its payer came back, that a page watches it, and what a page showed.
//!
//! No visitor waits for it, and it fails alone. A page that reloads in a loop, or a hundred thousand that reconnect at once,
//! must not cost the store a write each: what is beyond the limits is counted and not recorded.

use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chasqui_payment::PaymentId;
use chasqui_store::{Store, VISITS_LIMIT, Visit};
use tokio::sync::Semaphore;
use tokio::time::Instant;

use crate::clock;
use crate::detached::spawn_detached;

/// The time in which [`VISITS_LIMIT`] visits of a kind to one payment are handed to the store, which keeps no more.
const WINDOW: Duration = Duration::from_secs(60);

/// Visits are counted by their hash in so many counters, so that a watcher adds no memory. Two payments that share a counter
/// share its limit, which is felt from hundreds of thousands of visits a minute on.
const COUNTERS: usize = 1 << 16;

/// The most recordings at once. The store commits waiting ones together.
const IN_FLIGHT: usize = 64;

/// Between two warnings that visits cannot be stored.
const WARNING_INTERVAL: Duration = Duration::from_secs(10);

#[derive(Debug)]
pub(crate) struct VisitRecorder {
    hasher: RandomState,
    recent: Mutex<Recent>,
    in_flight: Arc<Semaphore>,
    failures: Arc<Failures>,
}

/// When a failure was last logged. A store that is down fails every visit.
#[derive(Debug, Default)]
struct Failures(Mutex<Option<Instant>>);

/// How often visits came since a moment.
#[derive(Debug)]
struct Recent {
    since: Instant,
    counts: Box<[u8]>,
}

impl VisitRecorder {
    pub(crate) fn new() -> Self {
        Self {
            hasher: RandomState::new(),
            recent: Mutex::new(Recent {
                since: Instant::now(),
                counts: vec![0; COUNTERS].into(),
            }),
            in_flight: Arc::new(Semaphore::new(IN_FLIGHT)),
            failures: Arc::default(),
        }
    }

    /// Whether the store may be handed this visit.
    fn admit(&self, id: &PaymentId, visit: Visit, now: Instant) -> bool {
        let kind = match visit {
            Visit::Returned => (0, None),
            Visit::Watched(_) => (1, None),
            Visit::Seen(version) => (2, Some(version)),
        };
        let hash = self.hasher.hash_one((id, kind));
        let counter = usize::try_from(hash % COUNTERS as u64).unwrap_or_default();
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        if now.duration_since(recent.since) >= WINDOW {
            recent.since = now;
            recent.counts.fill(0);
        }
        let count = &mut recent.counts[counter];
        let is_admitted = usize::from(*count) < VISITS_LIMIT;
        *count += u8::from(is_admitted);
        is_admitted
    }

    /// Hands the visit to the store, in the background.
    pub(crate) fn record(&self, store: &Arc<dyn Store>, id: &PaymentId, visit: Visit) {
        let permit = Arc::clone(&self.in_flight).try_acquire_owned();
        let (Ok(permit), true) = (permit, self.admit(id, visit, Instant::now())) else {
            metrics::counter!("chasqui_visits_not_recorded_total").increment(1);
            return;
        };
        let (store, id, at) = (Arc::clone(store), id.clone(), clock::now());
        let failures = Arc::clone(&self.failures);
        spawn_detached("a visit's record", async move {
            if let Err(error) = store.record_visit(&id, visit, at).await {
                metrics::counter!("chasqui_visits_not_recorded_total").increment(1);
                if failures.is_warning_due(Instant::now()) {
                    tracing::warn!(payment_id = %id, %error, "a visit could not be recorded in the timeline; further failures are counted only");
                }
            }
            drop(permit);
        });
    }
}

impl Failures {
    fn is_warning_due(&self, now: Instant) -> bool {
        let mut warned_at = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_due = warned_at.is_none_or(|at| now.duration_since(at) >= WARNING_INTERVAL);
        if is_due {
            *warned_at = Some(now);
        }
        is_due
    }
}

#[cfg(test)]
mod tests {
    use chasqui_payment::WatchTransport;

    use super::*;

    fn id(text: &str) -> PaymentId {
        PaymentId::parse(text).expect("id")
    }

    #[tokio::test(start_paused = true)]
    async fn a_page_that_reloads_in_a_loop_costs_the_store_few_writes() {
        let recorder = VisitRecorder::new();
        let watched = Visit::Watched(WatchTransport::WebSocket);
        let admitted = (0..1000)
            .filter(|_| recorder.admit(&id("a"), watched, Instant::now()))
            .count();
        assert_eq!(admitted, VISITS_LIMIT);
        assert!(recorder.admit(&id("b"), watched, Instant::now()));
        assert!(recorder.admit(&id("a"), Visit::Returned, Instant::now()));
        tokio::time::advance(WINDOW).await;
        assert!(recorder.admit(&id("a"), watched, Instant::now()));
    }

    #[tokio::test(start_paused = true)]
    async fn many_payments_that_are_watched_at_once_are_recorded() {
        let recorder = VisitRecorder::new();
        let watched = Visit::Watched(WatchTransport::WebSocket);
        let admitted = (0..20_000)
            .filter(|n| recorder.admit(&id(&format!("p{n}")), watched, Instant::now()))
            .count();
        assert!(admitted > 19_990, "{admitted}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_store_that_is_down_is_warned_of_at_intervals() {
        let failures = Failures::default();
        let warnings = || {
            let visits = 0..100;
            visits
                .filter(|_| failures.is_warning_due(Instant::now()))
                .count()
        };
        assert_eq!(warnings(), 1);
        tokio::time::advance(WARNING_INTERVAL).await;
        assert_eq!(warnings(), 1);
    }
}
