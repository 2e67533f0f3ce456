//! SIGTERM: watchers are closed with 1012, work in progress ends, the process exits with 0.

use std::time::{Duration, Instant};

use chasqui_tests::deadline::eventually;
use chasqui_tests::gateway_client::{GatewayClient, TestPayment};
use chasqui_tests::gateway_process::GatewayProcess;
use chasqui_tests::gateway_settings::GatewaySettings;
use chasqui_tests::notification::{body, signed};
use chasqui_tests::sandbox::Sandbox;
use chasqui_tests::testbed::Testbed;
use chasqui_tests::webhook_receiver::WebhookReceiver;
use chasqui_tests::websocket_watcher::WebSocketWatcher;
use futures_util::future::join_all;
use serde_json::json;

/// `server.drain_window` by default, and a margin for a slow machine.
const DRAIN_WINDOW: Duration = Duration::from_secs(8);

async fn start() -> (Sandbox, GatewayProcess, GatewayClient, TestPayment) {
    let sandbox = Sandbox::start().await;
    let settings = GatewaySettings::new(&sandbox.url);
    let gateway = GatewayProcess::start(&settings).await;
    let api = GatewayClient::new(&gateway.url, &settings.accounts[0].api_key);
    let payment = api.create(json!({})).await;
    (sandbox, gateway, api, payment)
}

#[tokio::test]
async fn watchers_are_closed_with_1012_and_a_retry_time() {
    let (_sandbox, mut gateway, api, payment) = start().await;
    let other = api.create(json!({})).await;
    let mut watchers = Vec::new();
    for payment in [&payment, &payment, &other, &other, &other] {
        let mut watcher = WebSocketWatcher::open(&gateway.url, payment).await;
        watcher.status().await;
        watchers.push(watcher);
    }
    let stopped = Instant::now();
    gateway.terminate();
    for watcher in &mut watchers {
        let (code, reason) = watcher.closed().await;
        assert_eq!(code, 1012);
        let wait = reason.strip_prefix("retry_after_ms=").expect("a wait");
        let wait = Duration::from_millis(wait.parse().expect("a number"));
        assert!(wait < DRAIN_WINDOW, "{wait:?}");
    }
    assert_eq!(gateway.ended().await.code(), Some(0));
    assert!(
        stopped.elapsed() < DRAIN_WINDOW,
        "it ended {:?} after the signal though all watchers had left",
        stopped.elapsed()
    );
}

#[tokio::test]
async fn every_watcher_gets_the_newest_status_before_the_close() {
    const PAYMENTS: usize = 30;
    let mut testbed = Testbed::start().await;
    let mut watched = Vec::new();
    for _ in 0..PAYMENTS {
        let payment = testbed.create(json!({})).await;
        let mut watcher = testbed.watch(&payment).await;
        watcher.status().await;
        watched.push((payment, watcher));
    }
    let answers = watched.iter().map(async |(payment, _)| {
        let notification = body(&payment.id, &json!({}));
        let signature = signed(&notification);
        testbed.api.notify(Some(&signature), notification).await
    });
    // Khipu itself answers pending: the status that a watcher gets comes from the store.
    for answer in join_all(answers).await {
        answer.expect(200);
    }
    testbed.gateway.request_stop();
    for (_, watcher) in &mut watched {
        assert_eq!(watcher.status().await["status"], "confirmed");
        let (code, reason) = watcher.closed().await;
        assert!(matches!(code, 1000 | 1012), "{code} {reason}");
    }
}

#[tokio::test]
async fn without_watchers_it_ends_at_once() {
    let (_sandbox, mut gateway, ..) = start().await;
    let stopped = Instant::now();
    gateway.terminate();
    assert_eq!(gateway.ended().await.code(), Some(0));
    assert!(
        stopped.elapsed() < DRAIN_WINDOW / 2,
        "{:?}",
        stopped.elapsed()
    );
}

#[tokio::test]
async fn while_draining_it_wants_no_traffic_and_a_second_signal_ends_it_at_once() {
    let (_sandbox, mut gateway, api, payment) = start().await;
    let mut watcher = WebSocketWatcher::open(&gateway.url, &payment).await;
    watcher.status().await;
    // Answers no close, so the gateway has to wait for it.
    let _mute = watcher.into_stream();
    gateway.terminate();
    let answer = eventually("/readyz reports draining", async || {
        let answer = api.try_get("/readyz").await?;
        (answer.status == 503).then_some(answer)
    })
    .await;
    assert_eq!(answer.text().trim(), "draining");
    assert_eq!(api.try_get("/livez").await.expect("it lives").status, 200);
    let mut newcomer = WebSocketWatcher::open(&gateway.url, &payment).await;
    assert_eq!(newcomer.closed().await.0, 1012);

    let again = Instant::now();
    gateway.terminate();
    assert_eq!(gateway.ended().await.code(), Some(0));
    assert!(
        again.elapsed() < Duration::from_secs(2),
        "{:?}",
        again.elapsed()
    );
}

#[tokio::test]
async fn a_held_poll_is_answered_before_the_end() {
    let (_sandbox, mut gateway, api, payment) = start().await;
    let held = tokio::spawn({
        let (api, payment) = (api.clone(), payment.clone());
        async move { api.poll(&payment, "?wait=60", Some("\"11\"")).await }
    });
    let admin = GatewayClient::new(&gateway.admin_url().await, "");
    eventually("the poll is being held", async || {
        let metrics = admin.try_get("/metrics").await?.text();
        metrics
            .lines()
            .any(|line| line == "chasqui_watchers 1")
            .then_some(())
    })
    .await;
    gateway.terminate();
    held.await.expect("no panic").expect(304);
    assert_eq!(gateway.ended().await.code(), Some(0));
}

#[tokio::test]
async fn stopping_in_the_middle_of_a_delivery_uses_up_no_attempt() {
    const STOPS: usize = 3;
    let (sandbox, mut gateway, api, _) = start().await;
    let mut merchant = WebhookReceiver::start().await;
    // Longer than the grace period for work in progress.
    merchant.delay_responses(Duration::from_secs(60));
    let payment = api.create(json!({ "notify_url": merchant.url })).await;
    sandbox.act(&payment.id, "conciliate").await;
    for _ in 0..STOPS {
        merchant.next().await;
        gateway.terminate();
        assert_eq!(gateway.ended().await.code(), Some(0));
        gateway.restart().await;
    }
    merchant.next().await;
    merchant.delay_responses(Duration::ZERO);
    gateway.terminate();
    assert_eq!(gateway.ended().await.code(), Some(0));
    gateway.restart().await;
    merchant.next().await;
    let delivered = eventually("it is delivered", async || {
        let log = gateway.log();
        let line = log.lines().find(|line| line.contains(" delivered "));
        line.map(str::to_owned)
    })
    .await;
    assert!(delivered.contains(" attempt=1 "), "{delivered}");
    let log = gateway.log();
    let cut_off = log.lines().filter(|line| line.contains("interrupted"));
    assert_eq!(cut_off.count(), STOPS + 1, "{log}");
}

#[tokio::test]
async fn what_was_known_is_known_after_a_restart() {
    let (sandbox, mut gateway, api, payment) = start().await;
    sandbox.act(&payment.id, "conciliate").await;
    sandbox.notified(&payment.id, 200).await;
    gateway.terminate();
    assert_eq!(gateway.ended().await.code(), Some(0));
    gateway.restart().await;
    sandbox.reset().await;
    assert_eq!(api.status(&payment).await["status"], "confirmed");
}
