//! One caller at a time may ask Khipu about a payment.

use std::time::Duration;

use crate::fixtures::*;

const MIN_INTERVAL: Duration = Duration::from_millis(2000);

async fn lock(store: &dyn Store, name: &str, ms: i64) -> bool {
    let locked = store.try_lock_poll(&id(name), at(ms), MIN_INTERVAL).await;
    locked.expect("try_lock_poll")
}

pub async fn of_concurrent_calls_exactly_one_takes_the_lock(factory: &impl StoreFactory) {
    let store = factory.fresh().await;
    let locked = at_once(64, |n| {
        let store = Arc::clone(&store);
        async move { lock(&*store, "p1", i64::try_from(n).expect("small")).await }
    })
    .await;
    assert_eq!(locked.into_iter().filter(|locked| *locked).count(), 1);
}

pub async fn the_lock_is_free_after_the_interval(factory: &impl StoreFactory) {
    let store = factory.fresh().await;
    for (ms, expected) in [(10, true), (2009, false), (2010, true), (4009, false)] {
        assert_eq!(lock(&*store, "p1", ms).await, expected, "at {ms}");
    }
}

pub async fn a_refused_call_does_not_extend_the_lock(factory: &impl StoreFactory) {
    let store = factory.fresh().await;
    assert!(lock(&*store, "p1", 10).await);
    for ms in (110..2010).step_by(100) {
        assert!(!lock(&*store, "p1", ms).await, "at {ms}");
    }
    assert!(lock(&*store, "p1", 2010).await);
}

pub async fn each_payment_has_its_own_lock(factory: &impl StoreFactory) {
    let store = factory.fresh().await;
    for name in ["p1", "p2", "p3"] {
        assert!(lock(&*store, name, 10).await, "{name}");
        assert!(!lock(&*store, name, 11).await, "{name}");
    }
}

pub async fn a_clock_that_was_set_back_far_does_not_block_polls(factory: &impl StoreFactory) {
    let store = factory.fresh().await;
    assert!(lock(&*store, "p1", 100_000).await);
    assert!(!lock(&*store, "p1", 99_000).await, "a little behind");
    assert!(lock(&*store, "p1", 10).await, "far behind");
    assert!(!lock(&*store, "p1", 20).await);
}

pub async fn a_lock_creates_no_payment(factory: &impl StoreFactory) {
    let store = factory.fresh().await;
    assert!(lock(&*store, "p1", 10).await);
    assert_eq!(status(&*store, "p1").await, None);
    assert_eq!(store.payment(&id("p1")).await.expect("payment"), None);
    assert_eq!(events(&*store, "p1").await, []);
}

pub async fn a_lock_is_remembered_for_ten_minutes(factory: &impl StoreFactory) {
    let store = factory.fresh().await;
    let min_interval = Duration::from_secs(600);
    assert!(lock(&*store, "p1", 0).await);
    for (ms, expected) in [(599_000, false), (600_000, true), (1_000_000, false)] {
        let locked = store.try_lock_poll(&id("p1"), at(ms), min_interval).await;
        assert_eq!(locked.expect("try_lock_poll"), expected, "at {ms}");
    }
}
