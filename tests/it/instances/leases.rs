//! Work that only one instance may do at a time: polling Khipu, and attempting a delivery.

use std::time::{Duration, Instant};

use chasqui_tests::deadline::eventually;
use chasqui_tests::fleet::Fleet;
use futures_util::future::join_all;
use tokio::time::sleep_until;

use super::redis_for;

/// One watched payment is polled at 0, 1, 3 and 6 s; the next poll is due at 11 s.
const WATCHED_FOR: Duration = Duration::from_secs(10);
const POLLS: usize = 4;
/// Two polls of one round would be closer to each other than this.
const BETWEEN_ROUNDS: Duration = Duration::from_millis(500);

#[track_caller]
fn expect_one_schedule(times: &[Instant]) {
    let near: Vec<Duration> = times
        .windows(2)
        .map(|pair| pair[1].duration_since(pair[0]))
        .filter(|gap| *gap < BETWEEN_ROUNDS)
        .collect();
    assert!(near.is_empty(), "asked twice in a round: {near:?}");
    // One more or less, because the instances' rounds are not aligned.
    let expected = POLLS - 1..=POLLS + 2;
    assert!(
        expected.contains(&times.len()),
        "asked {} times",
        times.len()
    );
}

#[tokio::test]
async fn a_payment_watched_on_three_instances_is_polled_as_if_on_one() {
    let (_redis, storage) = redis_for(3).await;
    let (fleet, khipu_proxy) = Fleet::start_with_khipu_proxy(&storage, |_| {}).await;
    let payment = &fleet.create(1).await[0];
    let began = Instant::now();
    let _followers = join_all((0..3).map(|gateway| fleet.watch(gateway, payment))).await;
    sleep_until((began + WATCHED_FOR).into()).await;
    expect_one_schedule(&khipu_proxy.request_times(&payment.id));
}

#[tokio::test]
async fn a_later_watcher_on_another_instance_adds_no_polls() {
    let (_redis, storage) = redis_for(3).await;
    let (fleet, khipu_proxy) = Fleet::start_with_khipu_proxy(&storage, |_| {}).await;
    let payment = &fleet.create(1).await[0];
    let began = Instant::now();
    let mut watchers = Vec::new();
    for gateway in 0..3 {
        eventually("khipu is asked", async || {
            (khipu_proxy.request_count(&payment.id) >= gateway).then_some(())
        })
        .await;
        watchers.push(fleet.watch(gateway, payment).await);
    }
    sleep_until((began + WATCHED_FOR).into()).await;
    let times = khipu_proxy.request_times(&payment.id);
    assert!(
        times.len() <= 2 * POLLS,
        "three schedules instead of one: {} polls",
        times.len()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_delivery_that_three_instances_know_of_is_attempted_by_one() {
    const PAYMENTS: usize = 60;
    let (_redis, storage) = redis_for(3).await;
    let mut fleet = Fleet::start(&storage).await;
    fleet.merchant.delay_responses(Duration::from_secs(1));
    let payments = fleet.create(PAYMENTS).await;
    // Each is notified of all of them at the same time, and each looks for due jobs.
    join_all((0..3).map(|gateway| fleet.notify_all(gateway, &payments))).await;
    let mut delivered = Vec::new();
    while delivered.len() < PAYMENTS {
        delivered.push(fleet.merchant.next().await.payment_id());
    }
    delivered.sort();
    delivered.dedup();
    assert_eq!(delivered.len(), PAYMENTS, "one was delivered twice");
    assert_eq!(fleet.merchant.concurrent_attempts(), 0);
    assert!(fleet.merchant.drain().is_empty());
}

#[tokio::test]
async fn a_delivery_leased_by_an_instance_that_dies_is_finished_by_another() {
    /// The lease of a delivery.
    const LEASE: Duration = Duration::from_secs(60);
    /// The idle worker's look for due jobs, and a busy machine.
    const SLACK: Duration = Duration::from_secs(10);
    let (_redis, storage) = redis_for(2).await;
    let mut fleet = Fleet::start(&storage).await;
    // Longer than any timeout: the attempt is in progress until its instance dies.
    fleet.merchant.delay_responses(Duration::from_secs(3600));
    let payments = fleet.create(5).await;
    fleet.notify_all(0, &payments).await;
    let mut under_way = Vec::new();
    for _ in &payments {
        under_way.push(fleet.merchant.next().await);
    }
    let killed = Instant::now();
    fleet.gateways[0].kill();
    fleet.merchant.delay_responses(Duration::ZERO);
    for _ in &payments {
        let again = fleet.merchant.next_within(LEASE).await;
        let first = under_way
            .iter()
            .find(|first| first.header("webhook-id") == again.header("webhook-id"))
            .expect("the same delivery");
        assert_eq!(first.body, again.body);
    }
    assert!(
        killed.elapsed() < LEASE + SLACK,
        "carried on after {:?}",
        killed.elapsed()
    );
    fleet.expect_confirmed(1, &payments).await;
}
