//! Records in a payment's timeline that its payer came back, that a page watches it, and what a page showed.
//!
//! No visitor waits for it, and it fails alone. A page that reloads in a loop, or a hundred thousand that reconnect at once,
//! must not cost the store a write each: what is beyond the limits is counted and not recorded.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chasqui_payment::{PaymentId, Version};
use chasqui_store::{Store, VISITS_LIMIT, Visit};
use tokio::sync::Semaphore;
use tokio::time::Instant;

use crate::clock;
use crate::detached::spawn_detached;
use crate::visit_limiter::Window;

/// Visits of a kind to one payment that are handed to the store within [`WINDOW`].
const IN_WINDOW: usize = VISITS_LIMIT;
const WINDOW: Duration = Duration::from_secs(60);

/// The most recordings at once. The store commits waiting ones together.
const IN_FLIGHT: usize = 64;

#[derive(Debug)]
pub(crate) struct VisitRecorder {
    recent: Mutex<Window<(PaymentId, Kind)>>,
    in_flight: Arc<Semaphore>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Kind {
    Returned,
    Watched,
    Seen(Version),
}

impl VisitRecorder {
    pub(crate) fn new() -> Self {
        Self {
            recent: Mutex::new(Window::new(WINDOW)),
            in_flight: Arc::new(Semaphore::new(IN_FLIGHT)),
        }
    }

    /// Whether the store may be handed this visit.
    fn admit(&self, id: &PaymentId, visit: Visit, now: Instant) -> bool {
        let (kind, limit) = match visit {
            Visit::Returned => (Kind::Returned, IN_WINDOW),
            Visit::Watched(_) => (Kind::Watched, IN_WINDOW),
            // The store keeps one of each version.
            Visit::Seen(version) => (Kind::Seen(version), 1),
        };
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        let count = recent.count((id.clone(), kind), now);
        count.is_some_and(|count| usize::try_from(count).is_ok_and(|count| count <= limit))
    }

    /// Hands the visit to the store, in the background.
    pub(crate) fn record(&self, store: &Arc<dyn Store>, id: &PaymentId, visit: Visit) {
        let permit = Arc::clone(&self.in_flight).try_acquire_owned();
        let (Ok(permit), true) = (permit, self.admit(id, visit, Instant::now())) else {
            metrics::counter!("chasqui_visits_not_recorded_total").increment(1);
            return;
        };
        let (store, id, at) = (Arc::clone(store), id.clone(), clock::now());
        spawn_detached("a visit's record", async move {
            if let Err(error) = store.record_visit(&id, visit, at).await {
                metrics::counter!("chasqui_visits_not_recorded_total").increment(1);
                tracing::debug!(payment_id = %id, %error, "a visit could not be recorded in the timeline");
            }
            drop(permit);
        });
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
        assert_eq!(admitted, IN_WINDOW);
        assert!(recorder.admit(&id("b"), watched, Instant::now()));
        assert!(recorder.admit(&id("a"), Visit::Returned, Instant::now()));
        tokio::time::advance(WINDOW).await;
        assert!(recorder.admit(&id("a"), watched, Instant::now()));
    }

    #[tokio::test(start_paused = true)]
    async fn a_version_is_recorded_once() {
        let recorder = VisitRecorder::new();
        for version in [Version::FIRST, Version::CONFIRMED] {
            let seen = Visit::Seen(version);
            assert!(recorder.admit(&id("a"), seen, Instant::now()));
            assert!(!recorder.admit(&id("a"), seen, Instant::now()));
        }
    }
}
