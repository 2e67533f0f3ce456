//! The payer tries again after a payment was rejected, cancelled or expired, and pays. Khipu's notification is lost each
//! time, so that only a poll can find the payment.

use std::time::{Duration, Instant};

use chasqui_tests::gateway_client::TestPayment;
use chasqui_tests::gateway_settings::GatewaySettings;
use chasqui_tests::testbed::Testbed;
use chasqui_tests::websocket_watcher::WebSocketWatcher;
use redis_processes::{Options, RedisServer};
use serde_json::{Value, json};

use crate::both_stores::on_both_stores;
use crate::return_hop::{hop, visit};

/// From a confirmation that a poll found to its delivery, with a margin.
const DELIVERED_WITHIN: Duration = Duration::from_secs(25);

on_both_stores! {
    a_rejected_payment_that_is_paid_is_confirmed_on_every_page_and_delivered_once
    a_payer_who_comes_back_after_a_rejection_never_looks_at_it_again
    a_payer_who_comes_back_while_khipu_is_silent_is_being_verified
    a_payer_who_comes_back_to_a_standing_rejection_sees_it
    a_page_links_to_the_payment_until_the_payer_has_resumed
    a_cancelled_payment_that_was_paid_all_the_same_is_confirmed
    a_rejection_that_becomes_abuse_offers_no_way_to_pay_any_more
}

async fn start(storage: Option<String>) -> Testbed {
    let testbed = Testbed::start_with(|settings: &mut GatewaySettings| {
        if let Some(storage) = storage {
            settings.storage = storage;
        }
    })
    .await;
    let lost = json!({ "notify": { "drop": 1 } });
    testbed.sandbox.set_behaviour(lost).await;
    testbed
}

async fn page(testbed: &Testbed, payment: &TestPayment) -> WebSocketWatcher {
    testbed.watch(payment).await
}

async fn a_rejected_payment_that_is_paid_is_confirmed_on_every_page_and_delivered_once(
    mut testbed: Testbed,
) {
    let payment = testbed.create(json!({})).await;
    let mut open = page(&testbed, &payment).await;
    testbed.sandbox.act(&payment.id, "reject").await;
    let rejected = open.until("rejected").await;
    assert_eq!(rejected["final"], false, "{rejected}");
    assert_eq!(rejected["reason"], "rejected-by-payer", "{rejected}");

    testbed.sandbox.act(&payment.id, "authorize").await;
    let verifying = open.until("verifying").await;
    assert_eq!(verifying["by"], "khipu", "{verifying}");
    assert!(verifying["version"].as_u64() > rejected["version"].as_u64());
    testbed.sandbox.act(&payment.id, "conciliate").await;
    let confirmed = open.until("confirmed").await;
    assert_eq!(
        (&confirmed["version"], &confirmed["final"]),
        (&json!(1000), &json!(true))
    );
    let mut new = page(&testbed, &payment).await;
    assert_eq!(new.status().await["status"], "confirmed");

    let delivery = testbed.merchant.next_within(DELIVERED_WITHIN).await;
    assert_eq!(delivery.payment_id(), payment.id);
    testbed.sandbox.set_behaviour(json!({})).await;
    let others = testbed.deliveries_so_far().await;
    assert!(others.is_empty(), "delivered once: {others:?}");
}

/// The first status of the page to which the return hop leads.
async fn returned(testbed: &Testbed, payment: &TestPayment) -> Value {
    let path = hop(testbed, payment, "return_url").await;
    visit(testbed, &path, "es").await.expect(200);
    page(testbed, payment).await.status().await
}

async fn a_payer_who_comes_back_after_a_rejection_never_looks_at_it_again(testbed: Testbed) {
    let payment = testbed.create(json!({})).await;
    let mut open = page(&testbed, &payment).await;
    testbed.sandbox.act(&payment.id, "reject").await;
    open.until("rejected").await;
    drop(open);
    testbed.sandbox.act(&payment.id, "authorize").await;
    let shown = returned(&testbed, &payment).await;
    assert_eq!(
        (&shown["status"], &shown["by"]),
        (&json!("verifying"), &json!("khipu"))
    );
    testbed.sandbox.act(&payment.id, "conciliate").await;
    testbed.api.until_status(&payment, "confirmed").await;
}

async fn a_payer_who_comes_back_while_khipu_is_silent_is_being_verified(testbed: Testbed) {
    let payment = testbed.create(json!({})).await;
    let mut open = page(&testbed, &payment).await;
    testbed.sandbox.act(&payment.id, "reject").await;
    open.until("rejected").await;
    let path = hop(&testbed, &payment, "return_url").await;
    let slow = json!({ "notify": { "drop": 1 }, "api": { "latency_ms": 20_000 } });
    testbed.sandbox.set_behaviour(slow).await;
    let began = Instant::now();
    visit(&testbed, &path, "es").await.expect(200);
    assert!(
        began.elapsed() < Duration::from_secs(4),
        "the payer was kept waiting for {:?}",
        began.elapsed()
    );
    let shown = open.until("verifying").await;
    assert_eq!(shown["by"], "payer", "{shown}");
}

async fn a_payer_who_comes_back_to_a_standing_rejection_sees_it(testbed: Testbed) {
    let payment = testbed.create(json!({})).await;
    let mut open = page(&testbed, &payment).await;
    testbed.sandbox.act(&payment.id, "reject").await;
    let rejected = open.until("rejected").await;
    let shown = returned(&testbed, &payment).await;
    assert_eq!(shown["version"], rejected["version"], "{shown}");
}

async fn a_page_links_to_the_payment_until_the_payer_has_resumed(testbed: Testbed) {
    let payment = testbed.create(json!({})).await;
    let payment_url = &payment.fields["payment_url"];
    let mut open = page(&testbed, &payment).await;
    let first = open.status().await;
    assert_eq!(&first["resume_url"], payment_url, "{first}");
    testbed.sandbox.act(&payment.id, "reject").await;
    let rejected = open.until("rejected").await;
    assert_eq!(&rejected["resume_url"], payment_url, "{rejected}");
    testbed.sandbox.act(&payment.id, "authorize").await;
    let verifying = open.until("verifying").await;
    assert_eq!(verifying.get("resume_url"), None, "{verifying}");
}

async fn a_cancelled_payment_that_was_paid_all_the_same_is_confirmed(testbed: Testbed) {
    let payment = testbed.create(json!({})).await;
    let mut open = page(&testbed, &payment).await;
    let path = format!("/v3/payments/{}", payment.id);
    let deleted = testbed.api.call(reqwest::Method::DELETE, &path);
    chasqui_tests::gateway_client::send(deleted)
        .await
        .expect(200);
    let cancelled = open.until("cancelled").await;
    assert_eq!(cancelled["final"], false, "{cancelled}");
    testbed.sandbox.act(&payment.id, "conciliate").await;
    open.until("confirmed").await;
}

async fn a_rejection_that_becomes_abuse_offers_no_way_to_pay_any_more(testbed: Testbed) {
    let payment = testbed.create(json!({})).await;
    let mut open = page(&testbed, &payment).await;
    testbed.sandbox.act(&payment.id, "reject").await;
    open.until("rejected").await;
    // Between two polls the payer tried again, and then called it abuse.
    let down = json!({ "notify": { "drop": 1 }, "api": { "error_rate": 1, "status": 500 } });
    testbed.sandbox.set_behaviour(down).await;
    testbed.sandbox.act(&payment.id, "authorize").await;
    testbed.sandbox.act(&payment.id, "abuse").await;
    testbed.sandbox.set_behaviour(json!({})).await;
    let mut new = page(&testbed, &payment).await;
    let marked = loop {
        let status = new.status().await;
        if status["reason"] == "marked-as-abuse" {
            break status;
        }
    };
    assert_eq!(marked["status"], "rejected", "{marked}");
    assert_eq!(marked.get("resume_url"), None, "{marked}");
}

/// Redis is left to the scenarios of several instances.
#[tokio::test]
async fn two_gateways_on_one_redis_end_at_the_newest_status() {
    let redis = RedisServer::start(&Options::default()).await;
    let testbed = start(Some(redis.url())).await;
    let second =
        chasqui_tests::in_process_gateway::InProcessGateway::start(&testbed.settings).await;
    let payment = testbed.create(json!({})).await;
    let mut here = page(&testbed, &payment).await;
    let mut there = WebSocketWatcher::open(&second.url, &payment).await;
    for (action, word) in [
        ("reject", "rejected"),
        ("authorize", "verifying"),
        ("reject", "rejected"),
        ("authorize", "verifying"),
        ("conciliate", "confirmed"),
    ] {
        testbed.sandbox.act(&payment.id, action).await;
        let (one, other) = tokio::join!(here.until(word), there.until(word));
        assert_eq!(one["version"], other["version"], "{word}");
    }
}
