//! A payment from its creation to the merchant's notify_url.

use std::process::Command;

use chasqui_tests::deadline::eventually;
use chasqui_tests::gateway_client::{GatewayClient, TestPayment};
use chasqui_tests::gateway_process::GatewayProcess;
use chasqui_tests::gateway_settings::{GatewaySettings, KHIPU_API_KEY, KHIPU_SECRET};
use chasqui_tests::notification::is_signed;
use chasqui_tests::program::khipu_sandbox;
use chasqui_tests::sandbox::Sandbox;
use chasqui_tests::testbed::Testbed;
use chasqui_tests::webhook_receiver::{ReceivedDelivery, WebhookReceiver};
use chasqui_tests::websocket_watcher::WebSocketWatcher;
use redis_processes::running::Running;
use serde_json::{Value, json};

#[tokio::test]
async fn a_payment_goes_from_pending_to_confirmed_and_the_merchant_gets_khipus_own_bytes() {
    let mut testbed = Testbed::start().await;
    let payment = testbed.create(json!({ "transaction_id": "order-1" })).await;
    let watcher = testbed.watch(&payment).await;
    walk(&testbed.sandbox, &payment, watcher, &mut testbed.merchant).await;
}

#[tokio::test]
async fn the_two_programs_together_do_the_same() {
    let directory = tempfile::tempdir().expect("a directory");
    let khipu = Running::start(
        Command::new(khipu_sandbox()).args([
            "--listen",
            "127.0.0.1:0",
            "--api-key",
            KHIPU_API_KEY,
            "--secret",
            KHIPU_SECRET,
        ]),
        directory.path(),
    );
    let khipu_url = eventually("khipu-sandbox prints its address", async || {
        let stdout = khipu.stdout();
        let (_, url) = stdout.lines().next()?.rsplit_once("listening on ")?;
        Some(url.to_owned())
    })
    .await;
    let sandbox = Sandbox::at(&khipu_url);
    let mut merchant = WebhookReceiver::start().await;
    let settings = GatewaySettings::new(&khipu_url);
    let gateway = GatewayProcess::start(&settings).await;
    let api = GatewayClient::new(&gateway.url, &settings.accounts[0].api_key);

    let payment = api
        .create(json!({ "transaction_id": "order-1", "notify_url": merchant.url }))
        .await;
    let watcher = WebSocketWatcher::open(&gateway.url, &payment).await;
    walk(&sandbox, &payment, watcher, &mut merchant).await;
}

async fn walk(
    sandbox: &Sandbox,
    payment: &TestPayment,
    mut watcher: WebSocketWatcher,
    merchant: &mut WebhookReceiver,
) {
    expect_status(&watcher.status().await, payment, "pending", 11);
    sandbox.act(&payment.id, "authorize").await;
    // Khipu does not notify of it; the gateway polls because there is a watcher.
    expect_status(&watcher.status().await, payment, "verifying", 14);
    sandbox.act(&payment.id, "conciliate").await;
    expect_status(&watcher.status().await, payment, "confirmed", 1000);
    assert_eq!(watcher.closed().await, (1000, "final".to_owned()));

    let delivery = merchant.next().await;
    let notified = sandbox.notified(&payment.id, 200).await;
    expect_khipus_own(&delivery, &notified, payment);
}

#[track_caller]
fn expect_status(status: &Value, payment: &TestPayment, word: &str, version: u16) {
    assert_eq!(status["payment_id"], payment.id, "{status}");
    assert_eq!(status["status"], word, "{status}");
    assert_eq!(status["version"], version, "{status}");
    assert_eq!(status["final"], version >= 1000, "{status}");
    let at = status["at"].as_str().expect("a time");
    assert!(at.ends_with('Z') && at.len() == 24, "{at}");
    let known = [
        "payment_id",
        "status",
        "version",
        "by",
        "resume_url",
        "final",
        "at",
        "late",
        "reason",
    ];
    let unknown: Vec<_> = status
        .as_object()
        .expect("an object")
        .keys()
        .filter(|key| !known.contains(&key.as_str()))
        .collect();
    assert!(
        unknown.is_empty(),
        "no personal data, no amount: {unknown:?}"
    );
}

#[track_caller]
fn expect_khipus_own(delivery: &ReceivedDelivery, notified: &Value, payment: &TestPayment) {
    assert_eq!(delivery.body, notified["body"].as_str().expect("body"));
    let signature = delivery.header("x-khipu-signature");
    assert_eq!(signature, notified["signature"]);
    assert!(is_signed(signature, KHIPU_SECRET, &delivery.body));
    assert_eq!(delivery.header("content-type"), "application/json");
    assert_eq!(delivery.header("chasqui-status"), "confirmed");
    assert_eq!(delivery.header("chasqui-source"), "notification");
    assert!(delivery.header("webhook-id").contains(&payment.id));
    assert!(delivery.header("webhook-signature").starts_with("v1,"));
    delivery
        .header("webhook-timestamp")
        .parse::<u64>()
        .expect("unix seconds");
}
