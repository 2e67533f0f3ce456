//! Khipu is asked about a payment by one at a time.

use std::time::Duration;

use crate::fixtures::*;

const GAP: Duration = Duration::from_millis(2000);

async fn take(store: &dyn Store, name: &str, ms: i64) -> bool {
    let taken = store.try_lock_poll(&id(name), at(ms), GAP).await;
    taken.expect("take_turn")
}

pub async fn of_many_at_once_exactly_one_gets_the_turn(factory: &impl StoreFactory) {
    let store = factory.fresh().await;
    let taken = at_once(64, |n| {
        let store = Arc::clone(&store);
        async move { take(&*store, "p1", i64::try_from(n).expect("small")).await }
    })
    .await;
    assert_eq!(taken.into_iter().filter(|taken| *taken).count(), 1);
}

pub async fn the_next_turn_comes_after_the_gap(factory: &impl StoreFactory) {
    let store = factory.fresh().await;
    for (ms, expected) in [(10, true), (2009, false), (2010, true), (4009, false)] {
        assert_eq!(take(&*store, "p1", ms).await, expected, "at {ms}");
    }
}

pub async fn a_turn_that_was_refused_puts_nothing_off(factory: &impl StoreFactory) {
    let store = factory.fresh().await;
    assert!(take(&*store, "p1", 10).await);
    for ms in (110..2010).step_by(100) {
        assert!(!take(&*store, "p1", ms).await, "at {ms}");
    }
    assert!(take(&*store, "p1", 2010).await);
}

pub async fn each_payment_has_its_own_turns(factory: &impl StoreFactory) {
    let store = factory.fresh().await;
    for name in ["p1", "p2", "p3"] {
        assert!(take(&*store, name, 10).await, "{name}");
        assert!(!take(&*store, name, 11).await, "{name}");
    }
}

pub async fn a_clock_that_was_put_back_far_keeps_nobody_waiting(factory: &impl StoreFactory) {
    let store = factory.fresh().await;
    assert!(take(&*store, "p1", 100_000).await);
    assert!(!take(&*store, "p1", 99_000).await, "a little behind");
    assert!(take(&*store, "p1", 10).await, "far behind");
    assert!(!take(&*store, "p1", 20).await);
}

pub async fn a_turn_makes_no_payment_known(factory: &impl StoreFactory) {
    let store = factory.fresh().await;
    assert!(take(&*store, "p1", 10).await);
    assert_eq!(status(&*store, "p1").await, None);
    assert_eq!(store.payment(&id("p1")).await.expect("payment"), None);
    assert_eq!(events(&*store, "p1").await, []);
}

pub async fn a_turn_is_remembered_for_ten_minutes(factory: &impl StoreFactory) {
    let store = factory.fresh().await;
    let gap = Duration::from_secs(600);
    assert!(take(&*store, "p1", 0).await);
    for (ms, expected) in [(599_000, false), (600_000, true), (1_000_000, false)] {
        let taken = store.try_lock_poll(&id("p1"), at(ms), gap).await;
        assert_eq!(taken.expect("take_turn"), expected, "at {ms}");
    }
}
