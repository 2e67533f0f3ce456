//! When a delivery comes back that was put back because its account has too many in flight.
//!
//! An account's deliveries come back one by one, however many wait, so that other accounts' deliveries do not wait behind them.
//! Pure: the time is an argument.

use std::time::Duration;

use chasqui_payment::Timestamp;
use tokio::time::Instant;

/// The time between two deliveries: it limits an account's load on the store, and how fast its deliveries resume.
const SPACING: Duration = Duration::from_millis(5);

/// The shortest wait, so that a few deliveries do not cycle through the store.
const SHORTEST_WAIT: Duration = Duration::from_millis(250);

/// Due times are rounded up to this, so that one lease finds several.
const ROUNDED_TO_MS: i64 = 100;

/// The spacing of one account's deliveries on this instance.
#[derive(Debug, Default)]
pub(super) struct PutBackSpacing {
    last: Option<Instant>,
}

impl PutBackSpacing {
    /// The due time of the next delivery that is put back. Both arguments are the current time.
    pub(super) fn next(&mut self, now: Timestamp, instant: Instant) -> Timestamp {
        rounded(now.plus(self.wait(instant)))
    }

    fn wait(&mut self, now: Instant) -> Duration {
        let earliest = now + SHORTEST_WAIT;
        let at = self
            .last
            .map_or(earliest, |last| earliest.max(last + SPACING));
        self.last = Some(at);
        at.duration_since(now)
    }
}

fn rounded(at: Timestamp) -> Timestamp {
    let early = at.unix_ms().rem_euclid(ROUNDED_TO_MS);
    let wait = if early == 0 { 0 } else { ROUNDED_TO_MS - early };
    Timestamp::from_unix_ms(at.unix_ms().saturating_add(wait))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_due_time_is_rounded_up_and_never_early() {
        for (at, expected) in [(1000, 1000), (1001, 1100), (1099, 1100), (-1, 0)] {
            let at = Timestamp::from_unix_ms(at);
            assert_eq!(rounded(at).unix_ms(), expected);
        }
        let end = Timestamp::from_unix_ms(i64::MAX);
        assert_eq!(rounded(end), end);
    }

    #[test]
    fn due_times_are_spaced_and_the_first_wait_is_short() {
        let mut spacing = PutBackSpacing::default();
        let now = Instant::now();
        assert_eq!(spacing.wait(now), SHORTEST_WAIT);
        assert_eq!(spacing.wait(now), SHORTEST_WAIT + SPACING);
        assert_eq!(spacing.wait(now + SPACING), SHORTEST_WAIT + SPACING);
        assert_eq!(spacing.wait(now + SHORTEST_WAIT), SHORTEST_WAIT);
    }

    #[test]
    fn thousands_come_back_no_faster_than_the_spacing() {
        const WAITING: u32 = 10_000;
        let mut spacing = PutBackSpacing::default();
        let now = Instant::now();
        let waits: Vec<_> = (0..WAITING).map(|_| spacing.wait(now)).collect();
        assert!(waits.is_sorted());
        assert_eq!(
            waits.last(),
            Some(&(SHORTEST_WAIT + SPACING * (WAITING - 1)))
        );
    }
}
