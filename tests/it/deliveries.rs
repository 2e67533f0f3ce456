//! Deliveries to merchants: repeated until a 2xx, across restarts, and never to where they must not go.

use std::time::{Duration, Instant};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use chasqui_tests::deadline::eventually;
use chasqui_tests::gateway_client::{Api, send};
use chasqui_tests::gateway_process::Process;
use chasqui_tests::gateway_settings::{KHIPU_SECRET, Settings, WEBHOOK_SECRET};
use chasqui_tests::notification::{body, is_signed, now_ms, signature};
use chasqui_tests::sandbox::Sandbox;
use chasqui_tests::testbed::Stage;
use chasqui_tests::webhook_receiver::{Delivery, Merchant};
use hmac::{Hmac, KeyInit, Mac};
use reqwest::Method;
use serde_json::json;
use sha2::Sha256;

/// The first wait of the schedule is 5 s, ±20 %.
const FIRST_WAIT: std::ops::Range<Duration> = Duration::from_secs(4)..Duration::from_secs(12);

#[track_caller]
fn expect_same(first: &Delivery, second: &Delivery) {
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
    let mut stage = Stage::start().await;
    stage.merchant.will_answer(&[500]);
    let payment = stage.create(json!({})).await;
    stage.sandbox.act(&payment.id, "conciliate").await;
    let first = stage.merchant.next().await;
    let failed = Instant::now();
    let second = stage.merchant.next().await;
    assert!(
        FIRST_WAIT.contains(&failed.elapsed()),
        "{:?}",
        failed.elapsed()
    );
    expect_same(&first, &second);
    assert!(stage.deliveries_so_far().await.is_empty());
}

#[tokio::test]
async fn a_delivery_that_failed_is_repeated_after_a_restart() {
    let sandbox = Sandbox::start().await;
    let mut merchant = Merchant::start().await;
    let settings = Settings::new(&sandbox.url);
    let mut gateway = Process::start(&settings).await;
    let api = Api::new(&gateway.url, &settings.accounts[0].api_key);
    merchant.will_answer(&[500]);
    let payment = api.create(json!({ "notify_url": merchant.url })).await;
    sandbox.act(&payment.id, "conciliate").await;
    let first = merchant.next().await;
    // Stopping lets the attempt under way be recorded; a kill here would leave it to its lease, which lasts a minute.
    gateway.terminate();
    assert_eq!(gateway.ended().await.code(), Some(0));
    gateway.start_again().await;
    let second = merchant.next().await;
    expect_same(&first, &second);
}

#[tokio::test]
async fn a_merchant_that_is_gone_is_not_asked_again() {
    let mut stage = Stage::start_with(|settings| settings.account().name = "gone".into()).await;
    stage.merchant.will_answer(&[410]);
    let payment = stage.create(json!({})).await;
    stage.sandbox.act(&payment.id, "conciliate").await;
    stage.merchant.next().await;
    counted(&stage, "chasqui_dead_letters_total{account=\"gone\"} 1").await;
}

/// Waits for a line of the metrics. They are one set for all gateways in this process, so the account must be this
/// test's own.
async fn counted(stage: &Stage, line: &str) {
    let admin = Api::new(&stage.gateway.admin_url, "");
    eventually(line, async || {
        let metrics = send(admin.request(Method::GET, "/metrics")).await;
        metrics.text().lines().any(|one| one == line).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_merchant_that_points_elsewhere_has_failed_and_nobody_goes_there() {
    let mut stage = Stage::start().await;
    let mut elsewhere = Merchant::start().await;
    stage.merchant.will_redirect(&elsewhere.url);
    let payment = stage.create(json!({})).await;
    stage.sandbox.act(&payment.id, "conciliate").await;
    let first = stage.merchant.next().await;
    let second = stage.merchant.next().await;
    expect_same(&first, &second);
    assert!(elsewhere.arrived().is_empty());
}

#[tokio::test]
async fn a_private_destination_is_refused_unless_it_is_allowed() {
    let mut stage = Stage::start_with(|settings| {
        settings.account().name = "private".into();
        settings.account().allow_private_destinations.clear();
    })
    .await;
    let payment = stage.create(json!({})).await;
    stage.sandbox.act(&payment.id, "conciliate").await;
    counted(
        &stage,
        "chasqui_deliveries_total{account=\"private\",result=\"destination_refused\"} 1",
    )
    .await;
    assert!(stage.merchant.arrived().is_empty());
    stage.api.until_status(&payment, "confirmed").await;
}

#[tokio::test]
async fn a_payment_without_a_notify_url_is_delivered_to_its_accounts() {
    let merchant = Merchant::start().await;
    let line = format!("notify_url = {:?}", merchant.url);
    let mut stage = Stage::start_with(|settings| settings.account().more.push(line)).await;
    stage.merchant = merchant;
    let payment = stage.api.create(json!({})).await;
    stage.sandbox.act(&payment.id, "conciliate").await;
    assert_eq!(stage.merchant.next().await.payment_id(), payment.id);
}

#[tokio::test]
async fn only_a_confirmation_is_ever_delivered() {
    let mut stage = Stage::start().await;
    for action in ["authorize", "reject", "abuse", "expire"] {
        let payment = stage.create(json!({})).await;
        stage.sandbox.act(&payment.id, action).await;
        let expected = match action {
            "authorize" => "verifying",
            "expire" => "expired",
            _ => "rejected",
        };
        stage.api.until_status(&payment, expected).await;
    }
    assert!(stage.deliveries_so_far().await.is_empty());
}

#[tokio::test]
async fn a_delivery_is_signed_by_standard_webhooks() {
    let mut stage = Stage::start().await;
    let payment = stage.create(json!({})).await;
    stage.sandbox.act(&payment.id, "conciliate").await;
    let delivery = stage.merchant.next().await;
    let secret = WEBHOOK_SECRET.strip_prefix("whsec_").expect("a prefix");
    let secret = BASE64_STANDARD.decode(secret).expect("base64");
    let mut mac = Hmac::<Sha256>::new_from_slice(&secret).expect("any length");
    mac.update(delivery.header("webhook-id").as_bytes());
    mac.update(b".");
    mac.update(delivery.header("webhook-timestamp").as_bytes());
    mac.update(b".");
    mac.update(&delivery.body);
    let expected = format!("v1,{}", BASE64_STANDARD.encode(mac.finalize().into_bytes()));
    assert_eq!(delivery.header("webhook-signature"), expected);
}

#[tokio::test]
async fn a_notification_that_was_signed_minutes_ago_is_signed_anew_for_the_merchant() {
    let mut stage = Stage::start().await;
    let payment = stage.create(json!({})).await;
    let notification = body(&payment.id, &json!({}));
    let began = now_ms();
    // Young enough to be believed, too old for a handler that checks it.
    let t = (began - 5 * 60 * 1000).to_string();
    let kept = signature(KHIPU_SECRET, &t, &notification);
    let answer = stage.api.notify(Some(&kept), notification.clone()).await;
    answer.expect(200);

    let delivery = stage.merchant.next().await;
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
