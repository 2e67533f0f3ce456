//! An account's calls to Khipu are spread evenly, over all instances.

use std::time::{Duration, Instant};

use crate::fixtures::*;

const PER_SECOND: u32 = 10;

async fn reserve(store: &dyn Store, account: &AccountName) -> Duration {
    let wait = store.reserve_call(account, now(), PER_SECOND).await;
    wait.expect("reserve_call")
}

async fn pause(store: &dyn Store, pause: Duration) {
    let paused = store.pause_calls(&shop(), now(), pause).await;
    paused.expect("pause_calls");
}

/// Time has passed since the first call: a wait may be shorter by as much, and by the millisecond to which clocks are read.
fn assert_waits(waits: &[Duration], expected_ms: impl Iterator<Item = u64>, began_at: Instant) {
    let spent = began_at.elapsed() + Duration::from_millis(1);
    for (wait, expected) in waits.iter().zip(expected_ms.map(Duration::from_millis)) {
        let shortest = expected.saturating_sub(spent);
        assert!((shortest..=expected).contains(wait), "{waits:?}");
    }
}

/// The waits of one after another, with an idle second before the first.
fn evenly_spread() -> impl Iterator<Item = u64> {
    (0..).map(|n: u64| n.saturating_sub(9) * 100)
}

pub async fn an_idle_second_allows_a_burst_and_then_the_pace_is_even(factory: &impl StoreFactory) {
    let store = factory.fresh().await;
    let (began_at, mut waits) = (Instant::now(), Vec::new());
    for _ in 0..13 {
        waits.push(reserve(&*store, &shop()).await);
    }
    assert_waits(&waits, evenly_spread(), began_at);
}

pub async fn concurrent_calls_get_separate_slots(factory: &impl StoreFactory) {
    let store = factory.fresh().await;
    let began_at = Instant::now();
    let mut waits = at_once(64, |_| {
        let store = Arc::clone(&store);
        async move { reserve(&*store, &shop()).await }
    })
    .await;
    waits.sort_unstable();
    assert_waits(&waits, evenly_spread(), began_at);
}

pub async fn a_pause_delays_every_later_slot(factory: &impl StoreFactory) {
    let store = factory.fresh().await;
    assert_eq!(reserve(&*store, &shop()).await, Duration::ZERO);
    let began_at = Instant::now();
    for ms in [50_000, 10_000] {
        pause(&*store, Duration::from_millis(ms)).await;
    }
    let waits = [
        reserve(&*store, &shop()).await,
        reserve(&*store, &shop()).await,
    ];
    assert_waits(&waits, [50_000, 50_100].into_iter(), began_at);
}

pub async fn each_account_has_its_own_slots(factory: &impl StoreFactory) {
    let store = factory.fresh().await;
    pause(&*store, Duration::from_secs(9)).await;
    assert_eq!(reserve(&*store, &other_shop()).await, Duration::ZERO);
}
