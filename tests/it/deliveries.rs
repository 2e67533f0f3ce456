//! Deliveries to merchants: repeated until a 2xx, across restarts, and never to a refused destination.

use std::time::{Duration, Instant};

use chasqui_tests::deadline::eventually;
use chasqui_tests::gateway_client::{GatewayClient, send};
use chasqui_tests::gateway_process::GatewayProcess;
use chasqui_tests::gateway_settings::{GatewaySettings, KHIPU_SECRET, WEBHOOK_SECRET};
use chasqui_tests::notification::{body, is_signed, now_ms, signature};
use chasqui_tests::sandbox::Sandbox;
use chasqui_tests::testbed::Testbed;
use chasqui_tests::webhook_receiver::{ReceivedDelivery, WebhookReceiver};
use reqwest::Method;
use serde_json::json;

/// The first wait of the schedule is 5 s, ±20 %.
const FIRST_WAIT: std::ops::Range<Duration> = Duration::from_secs(4)..Duration::from_secs(12);

#[track_caller]
fn expect_same(first: &ReceivedDelivery, second: &ReceivedDelivery) {
    assert_eq!(first.header("webhook-id"), second.header("webhook-id"));
    assert!(!first.header("webhook-id").is_empty());
    assert_eq!(first.body, second.body);
    assert_eq!(
        first.header("x-khipu-signature"),
        second.header("x-khipu-signature"),
        "it is fresh still, and passed on as it came"
    );
}

#[tokio::test]
async fn a_merchant_that_failed_gets_the_same_delivery_again() {
    let mut testbed = Testbed::start().await;
    testbed.merchant.respond_next(&[500]);
    let payment = testbed.create(json!({})).await;
    testbed.sandbox.act(&payment.id, "conciliate").await;
    let first = testbed.merchant.next().await;
    let failed = Instant::now();
    let second = testbed.merchant.next().await;
    assert!(
        FIRST_WAIT.contains(&failed.elapsed()),
        "{:?}",
        failed.elapsed()
    );
    expect_same(&first, &second);
    assert!(testbed.deliveries_so_far().await.is_empty());
}

#[tokio::test]
async fn a_delivery_that_failed_is_repeated_after_a_restart() {
    let sandbox = Sandbox::start().await;
    let mut merchant = WebhookReceiver::start().await;
    let settings = GatewaySettings::new(&sandbox.url);
    let mut gateway = GatewayProcess::start(&settings).await;
    let api = GatewayClient::new(&gateway.url, &settings.accounts[0].api_key);
    merchant.respond_next(&[500]);
    let payment = api.create(json!({ "notify_url": merchant.url })).await;
    sandbox.act(&payment.id, "conciliate").await;
    let first = merchant.next().await;
    // Stopping records the attempt in progress; a kill here would leave the job to its lease, which lasts a minute.
    gateway.terminate();
    assert_eq!(gateway.ended().await.code(), Some(0));
    gateway.restart().await;
    let second = merchant.next().await;
    expect_same(&first, &second);
}

#[tokio::test]
async fn a_merchant_that_answers_410_gets_no_further_attempt() {
    let mut testbed = Testbed::start_with(|settings| settings.account().name = "gone".into()).await;
    testbed.merchant.respond_next(&[410]);
    let payment = testbed.create(json!({})).await;
    testbed.sandbox.act(&payment.id, "conciliate").await;
    testbed.merchant.next().await;
    counted(&testbed, "chasqui_dead_letters_total{account=\"gone\"} 1").await;
}

/// Waits for a line of the metrics. They are one set for all gateways in this process, so the account must be this
/// test's own.
async fn counted(testbed: &Testbed, line: &str) {
    let admin = GatewayClient::new(&testbed.gateway.admin_url, "");
    eventually(line, async || {
        let metrics = send(admin.request(Method::GET, "/metrics")).await;
        metrics.text().lines().any(|one| one == line).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_redirect_is_a_failed_attempt_and_is_not_followed() {
    let mut testbed = Testbed::start().await;
    let mut elsewhere = WebhookReceiver::start().await;
    testbed.merchant.redirect_next(&elsewhere.url);
    let payment = testbed.create(json!({})).await;
    testbed.sandbox.act(&payment.id, "conciliate").await;
    let first = testbed.merchant.next().await;
    let second = testbed.merchant.next().await;
    expect_same(&first, &second);
    assert!(elsewhere.drain().is_empty());
}

#[tokio::test]
async fn a_private_destination_is_refused_unless_it_is_allowed() {
    let mut testbed = Testbed::start_with(|settings| {
        settings.account().name = "private".into();
        settings.account().allow_private_destinations.clear();
    })
    .await;
    let payment = testbed.create(json!({})).await;
    testbed.sandbox.act(&payment.id, "conciliate").await;
    counted(
        &testbed,
        "chasqui_deliveries_total{account=\"private\",result=\"destination_refused\"} 1",
    )
    .await;
    assert!(testbed.merchant.drain().is_empty());
    testbed.api.until_status(&payment, "confirmed").await;
}

#[tokio::test]
async fn a_payment_without_a_notify_url_is_delivered_to_its_accounts() {
    let merchant = WebhookReceiver::start().await;
    let line = format!("notify_url = {:?}", merchant.url);
    let mut testbed = Testbed::start_with(|settings| settings.account().more.push(line)).await;
    testbed.merchant = merchant;
    let payment = testbed.api.create(json!({})).await;
    testbed.sandbox.act(&payment.id, "conciliate").await;
    assert_eq!(testbed.merchant.next().await.payment_id(), payment.id);
}

#[tokio::test]
async fn only_a_confirmation_is_ever_delivered() {
    let mut testbed = Testbed::start().await;
    for action in ["authorize", "reject", "abuse", "expire"] {
        let payment = testbed.create(json!({})).await;
        testbed.sandbox.act(&payment.id, action).await;
        let expected = match action {
            "authorize" => "verifying",
            "expire" => "expired",
            _ => "rejected",
        };
        testbed.api.until_status(&payment, expected).await;
    }
    assert!(testbed.deliveries_so_far().await.is_empty());
}

#[tokio::test]
async fn a_delivery_is_signed_by_standard_webhooks() {
    let mut testbed = Testbed::start().await;
    let payment = testbed.create(json!({})).await;
    testbed.sandbox.act(&payment.id, "conciliate").await;
    let delivery = testbed.merchant.next().await;
    let expected = delivery.standard_signature(WEBHOOK_SECRET);
    assert_eq!(delivery.header("webhook-signature"), expected);
}

#[tokio::test]
async fn a_notification_signed_minutes_ago_is_signed_again_for_the_merchant() {
    let mut testbed = Testbed::start().await;
    let payment = testbed.create(json!({})).await;
    let notification = body(&payment.id, &json!({}));
    let began = now_ms();
    // Recent enough for the gateway, too old for a merchant that checks `t`.
    let t = (began - 5 * 60 * 1000).to_string();
    let kept = signature(KHIPU_SECRET, &t, &notification);
    let answer = testbed.api.notify(Some(&kept), notification.clone()).await;
    answer.expect(200);

    let delivery = testbed.merchant.next().await;
    assert_eq!(delivery.body, notification);
    assert_eq!(delivery.header("chasqui-source"), "notification");
    let header = delivery.header("x-khipu-signature");
    assert!(is_signed(header, KHIPU_SECRET, &delivery.body), "{header}");
    let (t, _) = header
        .strip_prefix("t=")
        .and_then(|rest| rest.split_once(','))
        .expect("a time");
    let t: u128 = t.parse().expect("milliseconds");
    assert!((began..=now_ms()).contains(&t), "{t} is not fresh");
}
