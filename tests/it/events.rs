//! `events_url`: every change of a payment's status, in order, signed, and apart from deliveries.

use std::time::Duration;

use chasqui_tests::gateway_settings::WEBHOOK_SECRET;
use chasqui_tests::in_process_gateway::InProcessGateway;
use chasqui_tests::testbed::Testbed;
use chasqui_tests::webhook_receiver::{ReceivedDelivery, WebhookReceiver};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::both_stores::on_both_stores;

on_both_stores! {
    every_change_is_sent_in_order_reversals_included
    a_shop_that_failed_gets_the_same_event_again_before_later_ones
    a_slow_events_url_holds_up_no_delivery
    an_event_that_was_not_sent_before_a_restart_is_sent_after_it
}

struct Shop {
    testbed: Testbed,
    /// Its events_url.
    events: WebhookReceiver,
    /// Of a SQLite file, which outlives a gateway.
    directory: TempDir,
}

async fn start(storage: Option<String>) -> Shop {
    let directory = tempfile::tempdir().expect("a directory");
    let file = format!("sqlite:{}", directory.path().join("chasqui.db").display());
    let events = WebhookReceiver::start().await;
    let line = format!("events_url = {:?}", events.url);
    let testbed = Testbed::start_with(|settings| {
        settings.account().more.push(line);
        settings.storage = storage.unwrap_or(file);
    })
    .await;
    Shop {
        testbed,
        events,
        directory,
    }
}

/// An event is signed and is no notification. Returns its type and its data.
#[track_caller]
fn opened(event: &ReceivedDelivery) -> (String, Value) {
    assert_eq!(event.header("x-khipu-signature"), "");
    assert_eq!(event.header("content-type"), "application/json");
    assert_eq!(
        event.header("webhook-signature"),
        event.standard_signature(WEBHOOK_SECRET)
    );
    let mut body = event.json();
    assert_eq!(body["timestamp"], body["data"]["at"]);
    assert_eq!(body.get("payment_id"), None, "not in Khipu's form");
    let name = body["type"].as_str().expect("a type").to_owned();
    (name, body["data"].take())
}

async fn every_change_is_sent_in_order_reversals_included(
    Shop {
        testbed,
        mut events,
        ..
    }: Shop,
) {
    let payment = testbed
        .create(json!({ "transaction_id": "order 77" }))
        .await;
    let mut ids = Vec::new();
    for (action, status) in [
        ("authorize", "verifying"),
        ("conciliate", "confirmed"),
        ("reverse", "reversed"),
    ] {
        testbed.sandbox.act(&payment.id, action).await;
        // Khipu notifies of a confirmation only; a visit has it asked about the others.
        testbed.api.until_status(&payment, status).await;
        let event = events.next().await;
        let (name, data) = opened(&event);
        assert_eq!(name, format!("payment.{status}"));
        assert_eq!(data["payment_id"], payment.id.as_str());
        assert_eq!(data["status"], status);
        assert_eq!(data["transaction_id"], "order 77");
        let id = event.header("webhook-id").to_owned();
        assert_eq!(id, format!("evt_{}_{}", payment.id, data["version"]));
        ids.push(id);
    }
    ids.dedup();
    assert_eq!(ids.len(), 3);
    assert!(events.drain().is_empty());
}

async fn a_shop_that_failed_gets_the_same_event_again_before_later_ones(
    Shop {
        testbed,
        mut events,
        ..
    }: Shop,
) {
    events.respond_next(&[500]);
    let payment = testbed.create(json!({})).await;
    testbed.sandbox.act(&payment.id, "authorize").await;
    testbed.api.until_status(&payment, "verifying").await;
    let first = events.next().await;
    testbed.sandbox.act(&payment.id, "conciliate").await;
    testbed.api.until_status(&payment, "confirmed").await;
    let again = events.next().await;
    assert_eq!(first.header("webhook-id"), again.header("webhook-id"));
    assert_eq!(first.body, again.body);
    let (name, _) = opened(&events.next().await);
    assert_eq!(name, "payment.confirmed");
    assert_eq!(events.concurrent_attempts(), 0);
}

async fn a_slow_events_url_holds_up_no_delivery(
    Shop {
        mut testbed,
        mut events,
        ..
    }: Shop,
) {
    events.delay_responses(Duration::from_secs(60));
    for _ in 0..40 {
        let payment = testbed.create(json!({})).await;
        testbed.sandbox.act(&payment.id, "conciliate").await;
    }
    for _ in 0..40 {
        testbed.merchant.next().await;
    }
    events.next().await;
}

async fn an_event_that_was_not_sent_before_a_restart_is_sent_after_it(shop: Shop) {
    let Shop {
        testbed,
        mut events,
        directory: _directory,
    } = shop;
    events.respond_next(&[503]);
    let payment = testbed.create(json!({})).await;
    testbed.sandbox.act(&payment.id, "conciliate").await;
    let first = events.next().await;
    testbed.gateway.stop().await;
    let _gateway = InProcessGateway::start(&testbed.settings).await;
    let again = events.next().await;
    assert_eq!(first.header("webhook-id"), again.header("webhook-id"));
    assert_eq!(first.body, again.body);
}
