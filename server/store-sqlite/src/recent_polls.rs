//! Whose turn it is to ask Khipu about a payment.
//!
//! In memory: one process has the file to itself, so nobody else could take a turn, and one that starts anew has asked
//! nobody yet.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use chasqui_payment::{PaymentId, Timestamp};
use chasqui_store::LONGEST_POLL_LOCK;

/// The most turns in one generation; a full one counts as grown old, and those of the generation before it are forgotten
/// early. An account's limiter lets far fewer questions through in [`LONGEST_POLL_LOCK`].
const GENERATION: usize = 32 * 1024;

/// Two generations, so that forgetting the old looks at none of them. Each turn is remembered for [`LONGEST_POLL_LOCK`] at
/// least and twice that at most.
#[derive(Debug, Default)]
pub(super) struct PollLocks(Mutex<Generations>);

#[derive(Debug, Default)]
struct Generations {
    begun_at: Timestamp,
    young: HashMap<PaymentId, Timestamp>,
    old: HashMap<PaymentId, Timestamp>,
}

impl PollLocks {
    pub(super) fn take(&self, id: &PaymentId, now: Timestamp, gap: Duration) -> bool {
        // A map stays whole whatever happened to somebody who held it.
        let mut poll_lock = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        poll_lock.grow_old(now);
        let last = poll_lock.young.get(id).or_else(|| poll_lock.old.get(id));
        if last.is_some_and(|last| distance(*last, now) < gap.min(LONGEST_POLL_LOCK)) {
            return false;
        }
        poll_lock.young.insert(id.clone(), now);
        true
    }
}

impl Generations {
    fn grow_old(&mut self, now: Timestamp) {
        if self.young.len() >= GENERATION || distance(self.begun_at, now) >= LONGEST_POLL_LOCK {
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

    fn kept(poll_lock: &PollLocks) -> usize {
        let poll_lock = poll_lock.0.lock().expect("turns");
        poll_lock.young.len() + poll_lock.old.len()
    }

    #[test]
    fn turns_do_not_pile_up_with_time() {
        let poll_lock = PollLocks::default();
        for n in 0..10_000 {
            let now = Timestamp::from_unix_ms(0).plus(Duration::from_secs(n));
            assert!(poll_lock.take(&id(usize::try_from(n).expect("small")), now, GAP));
        }
        assert!(kept(&poll_lock) <= 1200, "{} are kept", kept(&poll_lock));
    }

    #[test]
    fn a_turn_outlives_its_generation() {
        let poll_lock = PollLocks::default();
        let late = Timestamp::from_unix_ms(0).plus(LONGEST_POLL_LOCK - Duration::from_millis(1));
        assert!(poll_lock.take(&id(1), late, GAP));
        let next = late.plus(Duration::from_millis(1));
        assert!(!poll_lock.take(&id(1), next, GAP));
    }

    #[test]
    fn a_crowd_is_forgotten_rather_than_kept() {
        let poll_lock = PollLocks::default();
        for n in 0..=3 * GENERATION {
            assert!(poll_lock.take(&id(n), Timestamp::from_unix_ms(5), GAP));
        }
        assert!(kept(&poll_lock) <= 2 * GENERATION);
        assert!(!poll_lock.take(&id(3 * GENERATION), Timestamp::from_unix_ms(5), GAP));
    }
}
