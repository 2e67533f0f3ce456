//! An account's calls to Khipu are spread evenly, over all instances.

use std::time::Duration;

use crate::fixtures::*;

const PER_SECOND: u32 = 10;

/// The wait in milliseconds.
async fn reserve(store: &dyn Store, account: &AccountName, ms: i64) -> u128 {
    let wait = store.reserve_call(account, at(ms), PER_SECOND).await;
    wait.expect("reserve_call").as_millis()
}

pub async fn an_idle_second_allows_a_burst_and_then_the_pace_is_even(factory: &impl StoreFactory) {
    let store = factory.fresh().await;
    for now in [10_000, 20_000] {
        let mut waits = Vec::new();
        for _ in 0..13 {
            waits.push(reserve(&*store, &shop(), now).await);
        }
        assert_eq!(waits[..10], [0; 10]);
        assert_eq!(waits[10..], [100, 200, 300]);
        assert_eq!(reserve(&*store, &shop(), now + 300).await, 100);
    }
}

pub async fn concurrent_calls_get_separate_slots(factory: &impl StoreFactory) {
    let store = factory.fresh().await;
    let mut waits = at_once(64, |_| {
        let store = Arc::clone(&store);
        async move { reserve(&*store, &shop(), 10_000).await }
    })
    .await;
    waits.sort_unstable();
    let expected: Vec<u128> = (0..64).map(|n: u128| n.saturating_sub(9) * 100).collect();
    assert_eq!(waits, expected);
}

pub async fn a_pause_delays_every_later_slot(factory: &impl StoreFactory) {
    let store = factory.fresh().await;
    assert_eq!(reserve(&*store, &shop(), 10_000).await, 0);
    for pause in [5000, 1000] {
        let pause = Duration::from_millis(pause);
        let paused = store.pause_calls(&shop(), at(10_000), pause).await;
        paused.expect("pause_calls");
    }
    assert_eq!(reserve(&*store, &shop(), 11_000).await, 4000);
    assert_eq!(reserve(&*store, &shop(), 11_000).await, 4100);
}

pub async fn each_account_has_its_own_slots(factory: &impl StoreFactory) {
    let store = factory.fresh().await;
    let pause = Duration::from_secs(9);
    let paused = store.pause_calls(&shop(), at(10_000), pause).await;
    paused.expect("pause_calls");
    assert_eq!(reserve(&*store, &other_shop(), 10_000).await, 0);
}

pub async fn a_clock_that_was_set_back_far_delays_no_slot(factory: &impl StoreFactory) {
    let store = factory.fresh().await;
    assert_eq!(reserve(&*store, &shop(), 100_000_000).await, 0);
    assert_eq!(reserve(&*store, &shop(), 10_000).await, 0);
}
