//! The pace of calls to Khipu in an account's name.

use std::time::Duration;

use async_trait::async_trait;
use chasqui_payment::{AccountName, Timestamp};

use crate::error::StoreError;

/// Limits the rate of calls to Khipu, for all instances that share the store.
#[async_trait]
pub trait CallPacer: Send + Sync + std::fmt::Debug + 'static {
    /// Reserves the next slot of the account's [`CallBucket`] and returns how long to wait for it. Time is measured as in
    /// [`JobQueue::lease_due`](crate::JobQueue::lease_due).
    async fn reserve_call(
        &self,
        account: &AccountName,
        now: Timestamp,
        per_second: u32,
    ) -> Result<Duration, StoreError>;

    /// Khipu asked for a pause: no slot that is reserved from now on comes before its end.
    async fn pause_calls(
        &self,
        account: &AccountName,
        now: Timestamp,
        pause: Duration,
    ) -> Result<(), StoreError>;
}

const SECOND: Duration = Duration::from_secs(1);

/// Slots for calls, by the generic cell rate algorithm: `per_second` of them, evenly spread, after the burst that an idle
/// second allows. Its only state is when the next slot is due. Times count from any fixed moment.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct CallBucket {
    next: Duration,
}

impl CallBucket {
    /// No slot is further ahead: an instance holds one or two, and a pause takes a minute at most. One that seems to be
    /// was reserved before a clock was set back.
    pub const HORIZON: Duration = Duration::from_secs(600);

    /// The time between two slots.
    pub fn interval(per_second: u32) -> Duration {
        SECOND / per_second.max(1)
    }

    /// How far an idle bucket may lag behind an even spread.
    pub fn burst(per_second: u32) -> Duration {
        SECOND.saturating_sub(Self::interval(per_second))
    }

    /// Reserves the next slot and returns how long to wait for it.
    pub fn reserve(&mut self, now: Duration, per_second: u32) -> Duration {
        let earliest = now.saturating_sub(Self::burst(per_second));
        let slot = match self.next > now + Self::HORIZON {
            true => earliest,
            false => self.next.max(earliest),
        };
        self.next = slot + Self::interval(per_second);
        slot.saturating_sub(now)
    }

    /// No slot that is reserved from now on comes before the end of the pause.
    pub fn pause(&mut self, now: Duration, pause: Duration) {
        self.next = self.next.max(now + pause);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::from_secs(1_700_000_000);

    #[test]
    fn a_burst_of_one_second_and_then_an_even_pace() {
        let mut bucket = CallBucket::default();
        let waits: Vec<_> = (0..30)
            .map(|_| bucket.reserve(NOW, 10).as_millis())
            .collect();
        assert_eq!(waits[..10], [0; 10]);
        assert_eq!(waits[10..13], [100, 200, 300]);
        assert_eq!(waits[29], 2000);
    }

    #[test]
    fn a_pause_delays_every_later_slot() {
        let mut bucket = CallBucket::default();
        let pause = Duration::from_secs(5);
        bucket.pause(NOW, pause);
        assert_eq!(bucket.reserve(NOW, 10), pause);
        bucket.pause(NOW, Duration::from_secs(1));
        assert!(
            bucket.reserve(NOW, 10) > pause,
            "a shorter pause does not end it"
        );
    }

    #[test]
    fn a_clock_that_was_set_back_delays_no_slot() {
        let mut bucket = CallBucket::default();
        bucket.reserve(NOW, 10);
        let before = NOW.saturating_sub(2 * CallBucket::HORIZON);
        assert_eq!(bucket.reserve(before, 10), Duration::ZERO);
    }
}
