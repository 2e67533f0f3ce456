//! SIGTERM to one instance after another, as a deployment does.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chasqui_tests::fleet::{AT_ONCE, Fleet};
use chasqui_tests::gateway_client::{GatewayClient, TestPayment};
use chasqui_tests::load_balancer::LoadBalancer;
use chasqui_tests::reconnecting_watcher::{Disconnection, ReconnectingWatcher, WatchSummary};
use futures_util::{StreamExt, stream};

use super::redis_for;

/// `server.drain_window` by default.
const DRAIN_WINDOW: Duration = Duration::from_secs(8);
const PARTS: u32 = 8;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rolling_restart_of_all_three_costs_two_thousand_watchers_nothing() {
    const PAYMENTS: usize = 1_000;
    const WATCHERS: usize = 2 * PAYMENTS;
    let (_redis, storage) = redis_for(3).await;
    let balancer = LoadBalancer::start().await;
    let mut fleet = Fleet::start_with(&storage, |settings| {
        settings.public_url = Some(balancer.url.clone());
        settings.log = vec!["filter = \"warn\"".into()];
    })
    .await;
    balancer.set_targets(&fleet.urls());
    let payments = fleet.create_without_notify_url(PAYMENTS).await;
    let browsers: Vec<ReconnectingWatcher> = open_all(fleet.urls(), &payments, WATCHERS).await;

    // A third is confirmed while each instance restarts.
    let api = GatewayClient::new(&balancer.url, &fleet.apis[0].key);
    let mut terminated = Vec::new();
    for (number, gateway) in fleet.gateways.iter_mut().enumerate() {
        let share = &payments[number * PAYMENTS / 3..(number + 1) * PAYMENTS / 3];
        terminated.push(Instant::now());
        gateway.terminate();
        let notifying = stream::iter(share).for_each_concurrent(8, |payment| {
            let api = &api;
            async move {
                api.notify_until_accepted(&payment.id).await;
            }
        });
        let restarting = async {
            assert_eq!(gateway.ended().await.code(), Some(0));
            gateway.restart().await;
        };
        tokio::join!(notifying, restarting);
    }

    let mut summaries = Vec::new();
    for browser in browsers {
        let summary = browser.ended(Duration::ZERO).await;
        assert_eq!(summary.status, "confirmed");
        summaries.push(summary);
    }
    for began in terminated {
        expect_spread(&summaries, began);
    }
}

async fn open_all(
    urls: Arc<[String]>,
    payments: &[TestPayment],
    count: usize,
) -> Vec<ReconnectingWatcher> {
    stream::iter(payments.iter().cycle().take(count).enumerate())
        .map(|(number, payment)| {
            ReconnectingWatcher::open(Arc::clone(&urls), number % urls.len(), payment)
        })
        .buffer_unordered(AT_ONCE)
        .collect()
        .await
}

/// The watchers that one instance closed came back over the whole window, not all at once.
#[track_caller]
fn expect_spread(summaries: &[WatchSummary], began: Instant) {
    let end = began + DRAIN_WINDOW;
    let sent_away = |disconnection: &Disconnection| {
        disconnection.code == Some(1012) && (began..end).contains(&disconnection.at)
    };
    // Watchers that were late on a busy machine are in parts of their own.
    let mut parts: BTreeMap<u128, usize> = BTreeMap::new();
    for disconnection in summaries.iter().flat_map(|summary| &summary.disconnections) {
        if sent_away(disconnection) {
            let after = disconnection.reconnected_at.duration_since(began);
            let part = after.as_millis() / (DRAIN_WINDOW / PARTS).as_millis();
            *parts.entry(part).or_default() += 1;
        }
    }
    let all: usize = parts.values().sum();
    let largest = parts.values().max().copied().unwrap_or_default();
    assert!(all >= 100, "too few watchers were closed: {parts:?}");
    assert!(
        largest * 10 <= all * 3,
        "they came back together: {parts:?}"
    );
}
