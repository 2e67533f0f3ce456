//! A store of one process measures time by its callers' clock, to the millisecond.

use std::time::Duration;

use crate::fixtures::*;

pub async fn a_job_is_leased_when_it_is_due_and_when_its_lease_is_over(
    factory: &impl StoreFactory,
) {
    let store = factory.fresh().await;
    let kind = JobKind::Check;
    let scheduled = store.observe(&id("p1"), &scheduling(kind, 10)).await;
    scheduled.expect("observe");
    for (ms, count, next_due) in [
        (9, 0, 10),
        (10, 1, 1010),
        (1009, 0, 1010),
        (1010, 1, 2010),
        (2009, 0, 2010),
    ] {
        let leased = store.lease_due(kind, at(ms), 100, Duration::from_secs(1));
        assert_eq!(leased.await.expect("lease").len(), count, "at {ms}");
        let due = store.next_due(kind).await.expect("next_due");
        assert_eq!(due, Some(at(next_due)), "at {ms}");
    }
}

pub async fn a_poll_lock_is_free_when_its_interval_is_over(factory: &impl StoreFactory) {
    let store = factory.fresh().await;
    for (ms, expected) in [(10, true), (2009, false), (2010, true), (4009, false)] {
        assert_eq!(lock(&*store, ms, 2000).await, expected, "at {ms}");
    }
}

pub async fn a_poll_lock_is_remembered_for_ten_minutes(factory: &impl StoreFactory) {
    let store = factory.fresh().await;
    for (ms, expected) in [
        (0, true),
        (599_000, false),
        (600_000, true),
        (1_000_000, false),
    ] {
        assert_eq!(lock(&*store, ms, 600_000).await, expected, "at {ms}");
    }
}

pub async fn a_clock_that_was_set_back_far_does_not_block_polls(factory: &impl StoreFactory) {
    let store = factory.fresh().await;
    assert!(lock(&*store, 100_000, 2000).await);
    assert!(!lock(&*store, 99_000, 2000).await, "a little behind");
    assert!(lock(&*store, 10, 2000).await, "far behind");
    assert!(!lock(&*store, 20, 2000).await);
}

async fn lock(store: &dyn Store, ms: i64, min_interval_ms: u64) -> bool {
    let min_interval = Duration::from_millis(min_interval_ms);
    let locked = store.try_lock_poll(&id("p1"), at(ms), min_interval).await;
    locked.expect("try_lock_poll")
}

pub async fn every_idle_second_allows_a_burst(factory: &impl StoreFactory) {
    let store = factory.fresh().await;
    for now in [10_000, 20_000] {
        let mut waits = Vec::new();
        for _ in 0..13 {
            waits.push(reserve(&*store, now).await);
        }
        assert_eq!(waits[..10], [0; 10]);
        assert_eq!(waits[10..], [100, 200, 300]);
        assert_eq!(reserve(&*store, now + 300).await, 100);
    }
}

pub async fn a_clock_that_was_set_back_far_delays_no_slot(factory: &impl StoreFactory) {
    let store = factory.fresh().await;
    assert_eq!(reserve(&*store, 100_000_000).await, 0);
    assert_eq!(reserve(&*store, 10_000).await, 0);
}

/// The wait in milliseconds.
async fn reserve(store: &dyn Store, ms: i64) -> u128 {
    let wait = store.reserve_call(&shop(), at(ms), 10).await;
    wait.expect("reserve_call").as_millis()
}
