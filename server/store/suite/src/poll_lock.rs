//! One caller at a time may ask Khipu about a payment.

use std::time::Duration;

use crate::fixtures::*;

/// Longer than any test takes.
const LONG_INTERVAL: Duration = Duration::from_secs(600);

async fn lock_for(store: &dyn Store, name: &str, min_interval: Duration) -> bool {
    let locked = store.try_lock_poll(&id(name), now(), min_interval).await;
    locked.expect("try_lock_poll")
}

async fn lock(store: &dyn Store, name: &str) -> bool {
    lock_for(store, name, LONG_INTERVAL).await
}

pub async fn of_concurrent_calls_exactly_one_takes_the_lock(factory: &impl StoreFactory) {
    let store = factory.fresh().await;
    let locked = at_once(64, |_| {
        let store = Arc::clone(&store);
        async move { lock(&*store, "p1").await }
    })
    .await;
    assert_eq!(locked.into_iter().filter(|locked| *locked).count(), 1);
}

pub async fn the_lock_is_free_after_the_interval(factory: &impl StoreFactory) {
    let store = factory.fresh().await;
    let interval = Duration::from_millis(10);
    assert!(lock(&*store, "p1").await);
    for _ in 0..2 {
        passed(now().plus(interval)).await;
        assert!(lock_for(&*store, "p1", interval).await);
        assert!(!lock(&*store, "p1").await);
    }
}

pub async fn a_refused_call_does_not_extend_the_lock(factory: &impl StoreFactory) {
    let store = factory.fresh().await;
    let interval = Duration::from_millis(100);
    assert!(lock(&*store, "p1").await);
    let over = now().plus(interval);
    while now() <= over {
        assert!(!lock(&*store, "p1").await);
        passed(now()).await;
    }
    assert!(lock_for(&*store, "p1", interval).await);
}

pub async fn each_payment_has_its_own_lock(factory: &impl StoreFactory) {
    let store = factory.fresh().await;
    for name in ["p1", "p2", "p3"] {
        assert!(lock(&*store, name).await, "{name}");
        assert!(!lock(&*store, name).await, "{name}");
    }
}

pub async fn a_lock_creates_no_payment(factory: &impl StoreFactory) {
    let store = factory.fresh().await;
    assert!(lock(&*store, "p1").await);
    assert_eq!(status(&*store, "p1").await, None);
    assert_eq!(store.payment(&id("p1")).await.expect("payment"), None);
    assert_eq!(events(&*store, "p1").await, []);
}
