//! When a delivery comes back that found its account's share taken: it stands in line, in the store and not in our hands.
//!
//! The places of one account are spaced. However many of its deliveries wait, they come back and are put back no faster
//! than this, and in turn, so that what is due to others never waits behind them. Pure: the time is an argument.

use std::time::Duration;

use tokio::time::Instant;

use crate::payment::Timestamp;

/// Between one place and the next: what one account in difficulties may cost the store, and how fast its line moves
/// again once it is out of them.
pub(super) const SPACING: Duration = Duration::from_millis(5);

/// The shortest wait: a short line must not go round and round.
pub(super) const SHORTEST_WAIT: Duration = Duration::from_millis(250);

/// Places are called together this often: each claim of the store's is a write of its own.
const CALL_MS: i64 = 100;

/// One account's line at this instance; it begins anew with each start.
#[derive(Debug, Default)]
pub(super) struct Line {
    last: Option<Instant>,
}

impl Line {
    /// How long whoever joins now has to wait.
    pub(super) fn join(&mut self, now: Instant) -> Duration {
        let earliest = now + SHORTEST_WAIT;
        let place = self
            .last
            .map_or(earliest, |last| earliest.max(last + SPACING));
        self.last = Some(place);
        place.duration_since(now)
    }
}

/// When a place is called: at the next full call.
pub(super) fn call(place: Timestamp) -> Timestamp {
    let early = place.unix_ms().rem_euclid(CALL_MS);
    let wait = if early == 0 { 0 } else { CALL_MS - early };
    Timestamp::from_unix_ms(place.unix_ms().saturating_add(wait))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_called_together_with_its_neighbours_and_never_early() {
        for (place, called) in [(1000, 1000), (1001, 1100), (1099, 1100), (-1, 0)] {
            let place = Timestamp::from_unix_ms(place);
            assert_eq!(call(place).unix_ms(), called);
        }
        let end = Timestamp::from_unix_ms(i64::MAX);
        assert_eq!(call(end), end);
    }

    #[test]
    fn places_are_spaced_and_an_empty_line_is_short() {
        let mut line = Line::default();
        let now = Instant::now();
        assert_eq!(line.join(now), SHORTEST_WAIT);
        assert_eq!(line.join(now), SHORTEST_WAIT + SPACING);
        assert_eq!(line.join(now + SPACING), SHORTEST_WAIT + SPACING);
        assert_eq!(line.join(now + SHORTEST_WAIT), SHORTEST_WAIT);
    }

    #[test]
    fn a_line_of_thousands_comes_back_no_faster_than_its_spacing() {
        const WAITING: u32 = 10_000;
        let mut line = Line::default();
        let now = Instant::now();
        let waits: Vec<_> = (0..WAITING).map(|_| line.join(now)).collect();
        assert!(waits.is_sorted());
        assert_eq!(
            waits.last(),
            Some(&(SHORTEST_WAIT + SPACING * (WAITING - 1)))
        );
    }
}
