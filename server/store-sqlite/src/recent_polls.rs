//! When payments were last polled.
//!
//! In memory: the file belongs to one process, and one that restarts has polled no payment yet.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use chasqui_payment::{PaymentId, Timestamp};
use chasqui_store::LONGEST_POLL_LOCK;

/// The most polls in one generation. A full generation counts as old, and the one before it is forgotten early. An
/// account's limiter allows far fewer polls in [`LONGEST_POLL_LOCK`].
const GENERATION: usize = 32 * 1024;

/// Two generations, so that old polls are dropped without a scan. Each is remembered for one to two times
/// [`LONGEST_POLL_LOCK`].
#[derive(Debug, Default)]
pub(super) struct RecentPolls(Mutex<PollGenerations>);

#[derive(Debug, Default)]
struct PollGenerations {
    started_at: Timestamp,
    young: HashMap<PaymentId, Timestamp>,
    old: HashMap<PaymentId, Timestamp>,
}

impl RecentPolls {
    pub(super) fn try_lock(&self, id: &PaymentId, now: Timestamp, min_interval: Duration) -> bool {
        // A map stays consistent even if a thread panicked while it held the lock.
        let mut polls = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if polls.young.len() >= GENERATION || distance(polls.started_at, now) >= LONGEST_POLL_LOCK {
            polls.old = std::mem::take(&mut polls.young);
            polls.started_at = now;
        }
        let last = polls.young.get(id).or_else(|| polls.old.get(id));
        if last.is_some_and(|last| distance(*last, now) < min_interval.min(LONGEST_POLL_LOCK)) {
            return false;
        }
        polls.young.insert(id.clone(), now);
        true
    }
}

/// In either direction: a clock that was set back must not block polls until it has caught up.
fn distance(one: Timestamp, other: Timestamp) -> Duration {
    one.since(other).max(other.since(one))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIN_INTERVAL: Duration = Duration::from_secs(2);

    fn id(n: usize) -> PaymentId {
        PaymentId::parse(&n.to_string()).expect("payment id")
    }

    fn remembered(polls: &RecentPolls) -> usize {
        let polls = polls.0.lock().expect("not poisoned");
        polls.young.len() + polls.old.len()
    }

    #[test]
    fn old_polls_are_forgotten() {
        let polls = RecentPolls::default();
        for n in 0..10_000 {
            let now = Timestamp::from_unix_ms(0).plus(Duration::from_secs(n));
            assert!(polls.try_lock(&id(usize::try_from(n).expect("small")), now, MIN_INTERVAL));
        }
        assert!(
            remembered(&polls) <= 1200,
            "{} are remembered",
            remembered(&polls)
        );
    }

    #[test]
    fn a_poll_is_remembered_across_generations() {
        let polls = RecentPolls::default();
        let late = Timestamp::from_unix_ms(0).plus(LONGEST_POLL_LOCK - Duration::from_millis(1));
        assert!(polls.try_lock(&id(1), late, MIN_INTERVAL));
        let next = late.plus(Duration::from_millis(1));
        assert!(!polls.try_lock(&id(1), next, MIN_INTERVAL));
    }

    #[test]
    fn memory_is_bounded_and_the_newest_poll_is_remembered() {
        let polls = RecentPolls::default();
        for n in 0..=3 * GENERATION {
            assert!(polls.try_lock(&id(n), Timestamp::from_unix_ms(5), MIN_INTERVAL));
        }
        assert!(remembered(&polls) <= 2 * GENERATION);
        assert!(!polls.try_lock(
            &id(3 * GENERATION),
            Timestamp::from_unix_ms(5),
            MIN_INTERVAL
        ));
    }
}
