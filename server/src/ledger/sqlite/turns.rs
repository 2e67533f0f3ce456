//! Whose turn it is to ask Khipu about a payment.
//!
//! In memory: one process has the file to itself, so nobody else could take a turn, and one that starts anew has asked
//! nobody yet.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::ledger::LONGEST_GAP;
use crate::payment::{PaymentId, Timestamp};

/// The most turns in one generation; a full one counts as grown old, and those of the generation before it are forgotten
/// early. An account's limiter lets far fewer questions through in [`LONGEST_GAP`].
const GENERATION: usize = 32 * 1024;

/// Two generations, so that forgetting the old looks at none of them. Each turn is remembered for [`LONGEST_GAP`] at
/// least and twice that at most.
#[derive(Debug, Default)]
pub(super) struct Turns(Mutex<Generations>);

#[derive(Debug, Default)]
struct Generations {
    begun_at: Timestamp,
    young: HashMap<PaymentId, Timestamp>,
    old: HashMap<PaymentId, Timestamp>,
}

impl Turns {
    pub(super) fn take(&self, id: &PaymentId, now: Timestamp, gap: Duration) -> bool {
        // A map stays whole whatever happened to somebody who held it.
        let mut turns = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        turns.grow_old(now);
        let last = turns.young.get(id).or_else(|| turns.old.get(id));
        if last.is_some_and(|last| distance(*last, now) < gap.min(LONGEST_GAP)) {
            return false;
        }
        turns.young.insert(id.clone(), now);
        true
    }
}

impl Generations {
    fn grow_old(&mut self, now: Timestamp) {
        if self.young.len() >= GENERATION || distance(self.begun_at, now) >= LONGEST_GAP {
            self.old = std::mem::take(&mut self.young);
            self.begun_at = now;
        }
    }
}

/// In either direction: a clock that was put back must not keep everybody waiting until it has caught up.
fn distance(one: Timestamp, other: Timestamp) -> Duration {
    one.since(other).max(other.since(one))
}

#[cfg(test)]
mod tests {
    use super::*;

    const GAP: Duration = Duration::from_secs(2);

    fn id(n: usize) -> PaymentId {
        PaymentId::parse(&n.to_string()).expect("payment id")
    }

    fn kept(turns: &Turns) -> usize {
        let turns = turns.0.lock().expect("turns");
        turns.young.len() + turns.old.len()
    }

    #[test]
    fn turns_do_not_pile_up_with_time() {
        let turns = Turns::default();
        for n in 0..10_000 {
            let now = Timestamp::from_unix_ms(0).plus(Duration::from_secs(n));
            assert!(turns.take(&id(usize::try_from(n).expect("small")), now, GAP));
        }
        assert!(kept(&turns) <= 1200, "{} are kept", kept(&turns));
    }

    #[test]
    fn a_turn_outlives_its_generation() {
        let turns = Turns::default();
        let late = Timestamp::from_unix_ms(0).plus(LONGEST_GAP - Duration::from_millis(1));
        assert!(turns.take(&id(1), late, GAP));
        let next = late.plus(Duration::from_millis(1));
        assert!(!turns.take(&id(1), next, GAP));
    }

    #[test]
    fn a_crowd_is_forgotten_rather_than_kept() {
        let turns = Turns::default();
        for n in 0..=3 * GENERATION {
            assert!(turns.take(&id(n), Timestamp::from_unix_ms(5), GAP));
        }
        assert!(kept(&turns) <= 2 * GENERATION);
        assert!(!turns.take(&id(3 * GENERATION), Timestamp::from_unix_ms(5), GAP));
    }
}
