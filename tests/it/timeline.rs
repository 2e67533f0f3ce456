//! A payment's history as its merchant reads it, and the erasure of its payer's data.

use chasqui_tests::deadline::eventually;
use chasqui_tests::gateway_client::{GatewayClient, HttpResponse, TestPayment, send};
use chasqui_tests::khipu_proxy::KhipuProxy;
use chasqui_tests::testbed::Testbed;
use reqwest::Method;
use serde_json::{Value, json};

use crate::both_stores::on_both_stores;
use crate::return_hop::{hop, visit};

on_both_stores! {
    the_whole_story_of_a_payment_is_in_its_timeline
    a_page_that_polls_in_a_loop_does_not_fill_the_timeline
    a_receipt_for_what_was_not_sent_is_not_recorded
    an_open_delivery_keeps_its_bytes
    a_stored_notification_is_sent_again_although_khipu_fails
    after_the_erasure_a_delivery_is_rebuilt_from_khipu
    after_the_erasure_nothing_is_sent_that_khipu_does_not_confirm
}

async fn start(storage: Option<String>) -> (Testbed, KhipuProxy) {
    Testbed::start_with_khipu_proxy(|settings| {
        if let Some(storage) = storage {
            settings.storage = storage;
        }
    })
    .await
}

async fn timeline(api: &GatewayClient, payment: &TestPayment) -> Value {
    let answer = api
        .get(&format!("/v1/payments/{}/timeline", payment.id))
        .await;
    answer.expect(200).json()
}

pub(crate) fn events(timeline: &Value) -> Vec<String> {
    let entries = timeline["entries"].as_array().expect("entries");
    let names = entries
        .iter()
        .map(|entry| entry["event"].as_str().expect("a name"));
    names.map(str::to_owned).collect()
}

/// Waits for an event, which is recorded after what it is about.
pub(crate) async fn until(api: &GatewayClient, payment: &TestPayment, event: &str) -> Value {
    eventually(event, async || {
        let timeline = timeline(api, payment).await;
        events(&timeline)
            .iter()
            .any(|name| name == event)
            .then_some(timeline)
    })
    .await
}

async fn the_whole_story_of_a_payment_is_in_its_timeline((mut testbed, _): (Testbed, KhipuProxy)) {
    let order = json!({
        "transaction_id": "order-17",
        "return_url": "https://shop.example/thanks",
        "expires_date": "2030-01-01T00:00:00.000Z",
        "payer_name": "Luz Payer",
    });
    let payment = testbed.create(order).await;
    visit(&testbed, &hop(&testbed, &payment, "return_url").await, "es").await;
    until(&testbed.api, &payment, "returned").await;
    let mut watcher = testbed.watch(&payment).await;
    until(&testbed.api, &payment, "watched").await;
    testbed.merchant.respond_next(&[500]);
    testbed.sandbox.act(&payment.id, "conciliate").await;
    watcher.until("confirmed").await;
    watcher.acknowledge(1000).await;
    testbed.merchant.next().await;
    testbed.merchant.next().await;
    until(&testbed.api, &payment, "seen").await;
    let found = eventually("the delivery is done", async || {
        let timeline = timeline(&testbed.api, &payment).await;
        (timeline["delivery"]["state"] == "done").then_some(timeline)
    })
    .await;

    assert_eq!(found["payment_id"], payment.id.as_str());
    assert_eq!(found["transaction_id"], "order-17");
    assert_eq!(found["expires_at"], "2030-01-01T00:00:00.000Z");
    assert_eq!(found["status"], testbed.api.status(&payment).await);
    assert_eq!(
        found["delivery"],
        json!({ "state": "done", "attempts": 2, "next_at": null })
    );
    let entries = found["entries"].as_array().expect("entries");
    let times: Vec<_> = entries
        .iter()
        .map(|entry| entry["at"].as_str().expect("a time"))
        .collect();
    assert_eq!(found["created_at"], times[0]);
    assert!(times.is_sorted(), "oldest first: {times:?}");
    let story = |event: &str| -> Vec<Value> {
        let of_event = entries.iter().filter(|entry| entry["event"] == event);
        of_event
            .map(|entry| {
                let mut entry = entry.clone();
                let fields = entry.as_object_mut().expect("an object");
                fields.retain(|name, _| !["at", "event", "duration_ms"].contains(&name.as_str()));
                entry
            })
            .collect()
    };
    assert_eq!(events(&found)[0], "created");
    assert_eq!(story("returned"), [json!({})]);
    assert_eq!(story("watched"), [json!({ "transport": "websocket" })]);
    assert_eq!(story("seen"), [json!({ "version": 1000 })]);
    assert_eq!(
        story("notified"),
        [json!({ "verdict": "agrees", "copies": 1 })]
    );
    let observed = story("observed");
    let payer =
        json!({ "source": "payer", "status": "verifying", "version": 12, "accepted": true });
    let khipu = json!({ "source": "notification", "status": "confirmed", "version": 1000, "accepted": true });
    assert!(
        observed.contains(&payer) && observed.contains(&khipu),
        "{observed:?}"
    );
    assert_eq!(
        story("attempted"),
        [
            json!({ "number": 1, "result": "500" }),
            json!({ "number": 2, "result": "200" })
        ]
    );
    let place = |event: &str| events(&found).iter().position(|name| name == event);
    assert!(place("notified") < place("attempted"));
    assert!(!found.to_string().contains("Payer"), "no payer's data");
}

async fn a_page_that_polls_in_a_loop_does_not_fill_the_timeline(
    (testbed, _): (Testbed, KhipuProxy),
) {
    let payment = testbed.create(json!({})).await;
    let path = format!("/v1/payments/{}/status", payment.id);
    for _ in 0..200 {
        let request = testbed.api.request(Method::GET, &path);
        send(request.bearer_auth(&payment.token)).await.expect(200);
    }
    let watched = until(&testbed.api, &payment, "watched").await;
    let watched = watched["entries"].as_array().expect("entries").iter();
    let polling: Vec<_> = watched
        .filter(|entry| entry["event"] == "watched")
        .collect();
    assert!((1..=8).contains(&polling.len()), "{polling:?}");
    assert_eq!(polling[0]["transport"], "polling");
    // A back end that reads the status is no payer.
    let unwatched = testbed.create(json!({})).await;
    let path = format!("/v1/payments/{}/status", unwatched.id);
    testbed.api.get(&path).await.expect(200);
    let events = events(&timeline(&testbed.api, &unwatched).await);
    assert!(!events.contains(&"watched".to_owned()), "{events:?}");
}

async fn a_receipt_for_what_was_not_sent_is_not_recorded((testbed, _): (Testbed, KhipuProxy)) {
    let payment = testbed.create(json!({})).await;
    let mut watcher = testbed.watch(&payment).await;
    watcher.until("pending").await;
    for version in [1000, 1, 10, 12] {
        watcher.acknowledge(version).await;
    }
    watcher.acknowledge(11).await;
    watcher.acknowledge(11).await;
    let timeline = until(&testbed.api, &payment, "seen").await;
    let entries = timeline["entries"].as_array().expect("entries").iter();
    let seen: Vec<_> = entries.filter(|entry| entry["event"] == "seen").collect();
    assert_eq!(seen.len(), 1, "{seen:?}");
    assert_eq!(seen[0]["version"], 11);
}

pub(crate) async fn erase(testbed: &Testbed, payment: &TestPayment) -> HttpResponse {
    let path = format!("/v1/payments/{}/personal-data", payment.id);
    send(testbed.api.call(Method::DELETE, &path)).await
}

async fn an_open_delivery_keeps_its_bytes((mut testbed, _): (Testbed, KhipuProxy)) {
    testbed.merchant.respond_next(&[503]);
    let payment = testbed.create(json!({})).await;
    testbed.sandbox.act(&payment.id, "conciliate").await;
    let first = testbed.merchant.next().await;
    erase(&testbed, &payment)
        .await
        .expect_problem(409, "delivery_open");
    let second = testbed.merchant.next().await;
    assert_eq!(first.body, second.body);
    let unknown = testbed
        .api
        .call(Method::DELETE, "/v1/payments/unknown00000/personal-data");
    send(unknown).await.expect_problem(404, "unknown_payment");
}

async fn a_stored_notification_is_sent_again_although_khipu_fails(
    (mut testbed, khipu): (Testbed, KhipuProxy),
) {
    let payment = testbed.create(json!({})).await;
    testbed.sandbox.act(&payment.id, "conciliate").await;
    let first = testbed.merchant.next().await;
    eventually("the delivery is done", async || {
        let timeline = timeline(&testbed.api, &payment).await;
        (timeline["delivery"]["state"] == "done").then_some(())
    })
    .await;
    khipu.respond_with(500, &[], "{}");
    let path = format!("/v1/payments/{}/redeliver", payment.id);
    testbed.api.post(&path, "").await.expect(202);
    let again = testbed.merchant.next().await;
    assert_eq!(first.body, again.body);
}

/// A payment whose delivery is done and whose payer's data was erased.
async fn erased(testbed: &mut Testbed) -> TestPayment {
    let payment = testbed.create(json!({ "custom": "kept" })).await;
    testbed.sandbox.act(&payment.id, "conciliate").await;
    testbed.merchant.next().await;
    eventually("it is erased", async || {
        (erase(testbed, &payment).await.status == 204).then_some(())
    })
    .await;
    let timeline = until(&testbed.api, &payment, "erased").await;
    assert_eq!(timeline["delivery"]["state"], "done");
    // Once erased it stays so, and a repetition is as good as the first time.
    erase(testbed, &payment).await.expect(204);
    payment
}

async fn after_the_erasure_a_delivery_is_rebuilt_from_khipu(
    (mut testbed, _): (Testbed, KhipuProxy),
) {
    let payment = erased(&mut testbed).await;
    let path = format!("/v1/payments/{}/redeliver", payment.id);
    testbed.api.post(&path, "").await.expect(202);
    let delivery = testbed.merchant.next().await;
    assert_eq!(delivery.header("chasqui-source"), "reconciliation");
    assert_eq!(
        delivery.header("webhook-id"),
        format!("msg_{}_confirmed", payment.id)
    );
    assert_eq!(delivery.json()["custom"], "kept");
    let timeline = until(&testbed.api, &payment, "redelivered").await;
    assert_eq!(timeline["status"]["status"], "confirmed");
}

async fn after_the_erasure_nothing_is_sent_that_khipu_does_not_confirm(
    (mut testbed, khipu): (Testbed, KhipuProxy),
) {
    let payment = erased(&mut testbed).await;
    khipu.respond_with(500, &[], "{}");
    let path = format!("/v1/payments/{}/redeliver", payment.id);
    testbed
        .api
        .post(&path, "")
        .await
        .expect_problem(410, "erased");
    let timeline = timeline(&testbed.api, &payment).await;
    assert_eq!(
        timeline["delivery"]["state"], "done",
        "nothing was reopened"
    );
    khipu.forward_again();
    assert!(testbed.deliveries_so_far().await.is_empty());
    testbed.api.post(&path, "").await.expect(202);
    testbed.merchant.next().await;
}
