//! How many requests an API key may send to this instance.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// `per_second` requests for each key, evenly spread, after a burst of twice as many: the generic cell rate algorithm.
#[derive(Debug)]
pub(super) struct KeyLimiter {
    interval: Duration,
    burst: Duration,
    /// By key hash, when an even spread of its requests so far ends. No larger than the number of keys.
    ends: Mutex<HashMap<[u8; 32], Instant>>,
}

impl KeyLimiter {
    pub(super) fn new(per_second: u32) -> Self {
        let interval = Duration::from_secs(1) / per_second.max(1);
        Self {
            interval,
            burst: 2 * Duration::from_secs(1) - interval,
            ends: Mutex::default(),
        }
    }

    /// `Err`: when the next request is admitted.
    pub(super) fn admit(&self, key: &[u8; 32]) -> Result<(), Duration> {
        self.admit_at(key, Instant::now())
    }

    fn admit_at(&self, key: &[u8; 32], now: Instant) -> Result<(), Duration> {
        let mut ends = self.ends.lock().unwrap_or_else(PoisonError::into_inner);
        let end = ends.entry(*key).or_insert(now);
        let ahead = end.saturating_duration_since(now);
        if ahead > self.burst {
            return Err(ahead - self.burst);
        }
        *end = now + ahead + self.interval;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn twice_a_seconds_requests_pass_at_once_and_then_an_even_pace() {
        let limiter = KeyLimiter::new(10);
        let now = Instant::now();
        for n in 0..20 {
            assert_eq!(limiter.admit_at(&[1; 32], now), Ok(()), "{n}");
        }
        let interval = Duration::from_millis(100);
        assert_eq!(limiter.admit_at(&[1; 32], now), Err(interval));
        assert_eq!(limiter.admit_at(&[2; 32], now), Ok(()), "another key");
        assert_eq!(limiter.admit_at(&[1; 32], now + interval), Ok(()));
        assert!(limiter.admit_at(&[1; 32], now + interval).is_err());
        let idle = now + Duration::from_secs(3600);
        for _ in 0..20 {
            assert_eq!(limiter.admit_at(&[1; 32], idle), Ok(()));
        }
        assert!(limiter.admit_at(&[1; 32], idle).is_err());
    }
}
