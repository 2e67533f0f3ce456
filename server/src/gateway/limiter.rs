//! How often Khipu is asked on behalf of one account: so many a second, evenly, after a small burst.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Khipu documents no limit, so politeness is ours. One who waits longer than the others is not overtaken: turns are
/// given out in the order in which they are asked for.
#[derive(Debug)]
pub(super) struct Limiter {
    interval: Duration,
    burst: Duration,
    /// When the next turn would be due, were all turns evenly spread.
    next: Mutex<Option<Instant>>,
}

impl Limiter {
    pub(super) fn new(per_second: u32) -> Self {
        let interval = Duration::from_secs(1) / per_second.max(1);
        Self {
            interval,
            burst: Duration::from_secs(1).saturating_sub(interval),
            next: Mutex::new(None),
        }
    }

    /// Returns when it is this caller's turn.
    pub(super) async fn turn(&self) {
        let at = self.reserve(Instant::now());
        tokio::time::sleep_until(at).await;
    }

    /// Nobody may ask before `at`: Khipu said so.
    pub(super) fn pause_until(&self, at: Instant) {
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        *next = Some(next.map_or(at, |next| next.max(at)));
    }

    fn reserve(&self, now: Instant) -> Instant {
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        // An idle second earns the burst; more idleness earns no more.
        let earliest = now.checked_sub(self.burst).unwrap_or(now);
        let turn = next.map_or(earliest, |next| next.max(earliest));
        *next = Some(turn + self.interval);
        turn.max(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_of_one_second_and_then_an_even_pace() {
        let limiter = Limiter::new(10);
        let now = Instant::now();
        let waits: Vec<_> = (0..30)
            .map(|_| (limiter.reserve(now) - now).as_millis())
            .collect();
        assert_eq!(waits[..10], [0; 10]);
        assert_eq!(waits[10..13], [100, 200, 300]);
        assert_eq!(waits[29], 2000);
    }

    #[test]
    fn a_pause_holds_everybody_back() {
        let limiter = Limiter::new(10);
        let now = Instant::now();
        limiter.pause_until(now + Duration::from_secs(5));
        assert_eq!(limiter.reserve(now) - now, Duration::from_secs(5));
    }
}
