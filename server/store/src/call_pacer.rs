//! How many calls Khipu gets in an account's name: so many a second, evenly, after the burst that an idle second earns.

use std::time::Duration;

use async_trait::async_trait;
use chasqui_payment::{AccountName, Timestamp};

use crate::error::StoreError;

/// The pace of calls to Khipu, one for all instances that share the store.
#[async_trait]
pub trait CallPacer: Send + Sync + std::fmt::Debug + 'static {
    /// Reserves the next slot for a question to Khipu in the account's name, and says how long to wait for it: `per_second`
    /// of them, evenly spread, after the burst that an idle second earns ([`Bucket`]). Of a store that several instances
    /// share it is one bucket for all of them. It is forgotten when the store is. Time is measured as in
    /// [`claim`](Self::claim).
    async fn reserve_call(
        &self,
        account: &AccountName,
        now: Timestamp,
        per_second: u32,
    ) -> Result<Duration, StoreError>;

    /// Khipu asked for a pause: no slot of the account that is reserved from now on comes before it is over.
    async fn pause_calls(
        &self,
        account: &AccountName,
        now: Timestamp,
        pause: Duration,
    ) -> Result<(), StoreError>;
}

/// So many in this time.
const SECOND: Duration = Duration::from_secs(1);

/// No slot lies this far ahead: every instance holds one or two, and a pause is a minute at most. One that seems to was
/// reserved by a clock that has been put back since.
pub const FARTHEST: Duration = Duration::from_secs(600);

/// A bucket of slots, by the generic cell rate algorithm: all that is kept is when the next slot would be due if all were
/// evenly spread. Times count from any fixed moment.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Bucket {
    next: Duration,
}

/// Between two slots.
pub fn interval(per_second: u32) -> Duration {
    SECOND / per_second.max(1)
}

/// How far behind an even spread a bucket that was idle is allowed to be.
pub fn burst(per_second: u32) -> Duration {
    SECOND.saturating_sub(interval(per_second))
}

impl Bucket {
    /// Reserves the next slot, and says how long to wait for it.
    pub fn reserve(&mut self, now: Duration, per_second: u32) -> Duration {
        let earliest = now.saturating_sub(burst(per_second));
        let slot = match self.next > now + FARTHEST {
            true => earliest,
            false => self.next.max(earliest),
        };
        self.next = slot + interval(per_second);
        slot.saturating_sub(now)
    }

    /// No slot that is reserved from now on comes before the pause is over.
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
        let mut bucket = Bucket::default();
        let waits: Vec<_> = (0..30)
            .map(|_| bucket.reserve(NOW, 10).as_millis())
            .collect();
        assert_eq!(waits[..10], [0; 10]);
        assert_eq!(waits[10..13], [100, 200, 300]);
        assert_eq!(waits[29], 2000);
    }

    #[test]
    fn a_pause_holds_everybody_back() {
        let mut bucket = Bucket::default();
        let pause = Duration::from_secs(5);
        bucket.pause(NOW, pause);
        assert_eq!(bucket.reserve(NOW, 10), pause);
        bucket.pause(NOW, Duration::from_secs(1));
        assert!(bucket.reserve(NOW, 10) > pause, "a shorter one ends none");
    }

    #[test]
    fn a_clock_that_was_put_back_holds_nobody_back() {
        let mut bucket = Bucket::default();
        bucket.reserve(NOW, 10);
        let before = NOW.saturating_sub(2 * FARTHEST);
        assert_eq!(bucket.reserve(before, 10), Duration::ZERO);
    }
}
