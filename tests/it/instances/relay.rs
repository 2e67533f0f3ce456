//! A notification comes to one instance, and the browsers are at the others.

use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use chasqui_tests::background_watcher::BackgroundWatcher;
use chasqui_tests::deadline::within;
use chasqui_tests::fleet::{AT_ONCE, Fleet};
use chasqui_tests::gateway_client::{GatewayClient, TestPayment, send};
use chasqui_tests::latencies::Latencies;
use chasqui_tests::notification::{body, signed};
use chasqui_tests::websocket_watcher::{WatcherEvent, WebSocketWatcher};
use futures_util::{StreamExt, stream};
use redis_processes::{Publishing, RedisServer};
use reqwest::Method;
use serde_json::json;

use super::{PROMPTLY, jitter, only_the_relay_delivers, patient_with_khipu, redis_for};

const A: usize = 0;
const B: usize = 1;
const C: usize = 2;

/// One payment and its two browsers.
struct Watched {
    payment: TestPayment,
    on_b: BackgroundWatcher,
    on_c: BackgroundWatcher,
}

/// When a notification was sent, and when its 200 came.
struct Notified {
    sent: Instant,
    accepted: Instant,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_webhook_on_one_instance_reaches_browsers_on_the_others_five_thousand_payments_at_once() {
    const PAYMENTS: usize = 5_000;
    /// Payments that are notified one after another first, without other load.
    const ONE_BY_ONE: usize = 300;
    let (redis, storage) = redis_for(3).await;
    let fleet = Fleet::start_with(&storage, |settings| {
        settings.log = vec!["filter = \"warn\"".into()];
    })
    .await;
    let payments = fleet.create_without_notify_url(PAYMENTS + ONE_BY_ONE).await;
    let mut watched = watch_all(&fleet, payments).await;
    all_come_back(&fleet, &mut watched).await;

    let mut publishing = Publishing::begin(&redis).await;
    let mut others = watched.split_off(ONE_BY_ONE);
    let mut alone = watched;
    let mut raw = Vec::new();
    let mut notified = Vec::new();
    for watched in &mut alone {
        raw.push(publishing.sample().await);
        notified.push(notify(&fleet.apis[A], &watched.payment).await);
        watched.on_b.until("confirmed").await;
    }
    report("one by one", &notified, &mut alone, raw).await;

    let is_over = AtomicBool::new(false);
    let (notified, raw) = tokio::join!(notify_all_at_once(&fleet, &others, &is_over), async {
        let mut raw = Vec::new();
        while !is_over.load(Ordering::Acquire) {
            raw.push(publishing.sample().await);
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        raw
    });
    report("all at once", &notified, &mut others, raw).await;
    drop_with_redis(fleet, redis);
}

/// Gateways first; otherwise they would log an outage.
fn drop_with_redis(fleet: Fleet, redis: RedisServer) {
    drop(fleet);
    drop(redis);
}

async fn watch_all(fleet: &Fleet, payments: Vec<TestPayment>) -> Vec<Watched> {
    stream::iter(payments)
        .map(|payment| async move {
            let (on_b, on_c) = tokio::join!(fleet.watch(B, &payment), fleet.watch(C, &payment));
            Watched {
                payment,
                on_b,
                on_c,
            }
        })
        .buffer_unordered(AT_ONCE)
        .collect()
        .await
}

/// Every payer comes back from the bank, to the instance without watchers, and every browser shows it.
async fn all_come_back(fleet: &Fleet, watched: &mut [Watched]) {
    let paths = fleet.return_paths().await;
    stream::iter(&*watched)
        .for_each_concurrent(AT_ONCE, |watched| {
            let request = fleet.apis[A].request(Method::GET, &paths[&watched.payment.id]);
            async move {
                send(request).await.expect(200);
            }
        })
        .await;
    for watched in watched {
        watched.on_b.until("verifying").await;
        watched.on_c.until("verifying").await;
    }
}

async fn notify(api: &GatewayClient, payment: &TestPayment) -> Notified {
    let notification = body(&payment.id, &json!({}));
    let signature = signed(&notification);
    let sent = Instant::now();
    api.notify(Some(&signature), notification).await.expect(200);
    Notified {
        sent,
        accepted: Instant::now(),
    }
}

/// In the order of the payments.
async fn notify_all_at_once(
    fleet: &Fleet,
    others: &[Watched],
    is_over: &AtomicBool,
) -> Vec<Notified> {
    let notified = stream::iter(others)
        .map(|watched| notify(&fleet.apis[A], &watched.payment))
        .buffered(AT_ONCE)
        .collect()
        .await;
    is_over.store(true, Ordering::Release);
    notified
}

/// Expects the right status in every browser, and prints the latencies past the test's captured output.
async fn report(
    what: &str,
    notified: &[Notified],
    watched: &mut [Watched],
    raw: impl IntoIterator<Item = Duration>,
) {
    let (mut since_sent, mut since_accepted) = (Vec::new(), Vec::new());
    for (notified, watched) in notified.iter().zip(watched) {
        let shown = watched.on_b.until("confirmed").await;
        watched.on_c.until("confirmed").await;
        since_sent.push(shown.duration_since(notified.sent));
        // A frame may overtake the 200, which is written after it: that counts as zero.
        since_accepted.push(shown.saturating_duration_since(notified.accepted));
        for watcher in [&mut watched.on_b, &mut watched.on_c] {
            assert_eq!(
                watcher.closed().await,
                WatcherEvent::Closed(1000, "final".into())
            );
        }
    }
    let since_sent: Latencies = since_sent.into_iter().collect();
    let since_accepted: Latencies = since_accepted.into_iter().collect();
    let raw: Latencies = raw.into_iter().collect();
    let mut terminal = std::io::stdout();
    let _ = writeln!(
        terminal,
        "\nnotified on A, shown on B, {what}:\n  \
         from A's 200 to the frame      {since_accepted}\n  \
         from sending to the frame      {since_sent}\n  \
         raw PUBLISH to message, beside {raw}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watcher_that_subscribes_elsewhere_during_a_notification_never_misses_the_status() {
    /// Each is watched on two instances: ten thousand subscriptions.
    const PAYMENTS: usize = 5_000;
    /// The longest time between the starts of two events: about as long as either takes.
    const JITTER: Duration = Duration::from_millis(15);
    let (redis, storage) = redis_for(3).await;
    let (fleet, khipu_proxy) = Fleet::start_with_khipu_proxy(&storage, |settings| {
        patient_with_khipu(settings);
        settings.log = vec!["filter = \"warn\"".into()];
    })
    .await;
    only_the_relay_delivers(&khipu_proxy);
    let payments = fleet.create_without_notify_url(PAYMENTS).await;
    let fleet = &fleet;
    stream::iter(payments)
        .for_each_concurrent(8, |payment| async move {
            let payment = &payment;
            let notifying = async {
                jitter(JITTER).await;
                notify(&fleet.apis[A], payment).await;
            };
            let watching = async |gateway: usize| {
                jitter(JITTER).await;
                let mut watcher =
                    WebSocketWatcher::open(&fleet.gateways[gateway].url, payment).await;
                let status = watcher.until("confirmed").await;
                assert_eq!(status["version"], 1000);
                watcher.acknowledge(1000).await;
                assert_eq!(watcher.closed().await.0, 1000);
            };
            let began = Instant::now();
            tokio::join!(notifying, watching(B), watching(C));
            let took = began.elapsed();
            assert!(took < PROMPTLY, "{} was shown after {took:?}", payment.id);
        })
        .await;
    within("redis answers", redis.command(&["PING"])).await;
}

#[tokio::test]
async fn a_poll_held_by_one_instance_is_answered_when_another_is_notified() {
    let (_redis, storage) = redis_for(2).await;
    let (fleet, khipu_proxy) = Fleet::start_with_khipu_proxy(&storage, patient_with_khipu).await;
    only_the_relay_delivers(&khipu_proxy);
    let payment = &fleet.create(1).await[0];
    let began = Instant::now();
    let holding = fleet.apis[B].poll(payment, "?wait=20", Some("\"11\""));
    let notifying = async {
        jitter(Duration::from_millis(50)).await;
        notify(&fleet.apis[A], payment).await;
    };
    let (held, ()) = tokio::join!(holding, notifying);
    assert_eq!(held.expect(200).json()["status"], "confirmed");
    assert!(began.elapsed() < PROMPTLY, "{:?}", began.elapsed());
}
