//! Whether this instance takes traffic.

use std::sync::atomic::{AtomicI64, AtomicU8, Ordering};
use std::time::Duration;

use chasqui_core::clock;
use chasqui_payment::Timestamp;

/// The runtime is stuck if its loop has not turned for this long.
const STUCK_AFTER: Duration = Duration::from_secs(5);

/// Whether this instance wants traffic. An outage of a shared store does not change it: that would take every instance
/// out of the balancer at once.
#[derive(Debug, Default)]
pub(crate) struct Readiness {
    state: AtomicU8,
    last_tick: AtomicI64,
}

const READY: u8 = 1;
const DRAINING: u8 = 2;

impl Readiness {
    pub(crate) fn set_ready(&self) {
        self.ticked(clock::now());
        self.state.store(READY, Ordering::Release);
    }

    pub(crate) fn set_draining(&self) {
        self.state.store(DRAINING, Ordering::Release);
    }

    /// The hub's loop has turned.
    pub(crate) fn ticked(&self, now: Timestamp) {
        self.last_tick.store(now.unix_ms(), Ordering::Relaxed);
    }

    pub(super) fn why_not(&self) -> Option<&'static str> {
        let last_tick = Timestamp::from_unix_ms(self.last_tick.load(Ordering::Relaxed));
        match self.state.load(Ordering::Acquire) {
            DRAINING => Some("draining"),
            READY if clock::now().since(last_tick) > STUCK_AFTER => Some("stuck"),
            READY => None,
            _ => Some("starting"),
        }
    }
}
