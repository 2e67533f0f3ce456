//! Deliveries as their merchant sees them, and sends them again.

use std::collections::BTreeSet;

use chasqui_tests::deadline::eventually;
use chasqui_tests::gateway_client::{GatewayClient, HttpResponse, TestPayment};
use chasqui_tests::testbed::Testbed;
use serde_json::{Value, json};

use crate::both_stores::on_both_stores;

on_both_stores! {
    a_dead_letter_is_listed_and_sent_again_under_the_same_id
    dead_letters_are_counted_and_sent_again_together
    pages_of_dead_letters_have_each_one_once
    an_open_delivery_is_listed_and_stays_as_it_is
    an_open_delivery_without_bytes_is_accepted_while_khipu_fails
    what_cannot_be_delivered_is_not_sent_again
    a_payment_that_was_reversed_unnoticed_is_not_sent_again
    a_mistaken_request_is_refused_by_its_field
}

async fn start(storage: Option<String>) -> (Testbed, GatewayClient) {
    Testbed::start_with_stranger(storage).await
}

/// Confirmed payments whose merchant wants no more attempts.
async fn dead_letters(testbed: &mut Testbed, count: usize) -> Vec<TestPayment> {
    let mut payments = Vec::new();
    for _ in 0..count {
        testbed.merchant.respond_next(&[410]);
        let payment = testbed.create(json!({})).await;
        testbed.sandbox.act(&payment.id, "conciliate").await;
        testbed.merchant.next().await;
        payments.push(payment);
    }
    eventually("all are dead", async || {
        (listed(testbed, "dead").await.len() == count).then_some(())
    })
    .await;
    payments
}

async fn page(testbed: &Testbed, query: &str) -> Value {
    let answer = testbed.api.get(&format!("/v1/deliveries{query}")).await;
    answer.expect(200).json()
}

async fn listed(testbed: &Testbed, state: &str) -> Vec<String> {
    ids(&page(testbed, &format!("?state={state}")).await)
}

fn ids(page: &Value) -> Vec<String> {
    let deliveries = page["deliveries"].as_array().expect("a list");
    let ids = deliveries
        .iter()
        .map(|it| it["payment_id"].as_str().expect("an id"));
    ids.map(str::to_owned).collect()
}

async fn redeliver(api: &GatewayClient, payment: &TestPayment) -> HttpResponse {
    api.post(&format!("/v1/payments/{}/redeliver", payment.id), "")
        .await
}

async fn a_dead_letter_is_listed_and_sent_again_under_the_same_id(
    (mut testbed, stranger): (Testbed, GatewayClient),
) {
    testbed.merchant.respond_next(&[410]);
    let payment = testbed.create(json!({})).await;
    testbed.sandbox.act(&payment.id, "conciliate").await;
    let first = testbed.merchant.next().await;
    let dead = eventually("it is dead", async || {
        let page = page(&testbed, "?state=dead").await;
        page["deliveries"].get(0).cloned()
    })
    .await;
    assert_eq!(dead["payment_id"], payment.id.as_str());
    assert_eq!(
        (&dead["state"], &dead["attempts"]),
        (&json!("dead"), &json!(1))
    );
    assert!(
        dead["last_result"]
            .as_str()
            .is_some_and(|text| text.starts_with("410"))
    );
    assert!(dead["last_at"].is_string());
    assert_eq!(dead["next_at"], Value::Null);

    redeliver(&stranger, &payment)
        .await
        .expect_problem(404, "unknown_payment");
    redeliver(&testbed.api, &payment).await.expect(202);
    let second = testbed.merchant.next().await;
    assert_eq!(first.header("webhook-id"), second.header("webhook-id"));
    assert_eq!(first.body, second.body);
    eventually("it is done", async || {
        let lists = [
            listed(&testbed, "dead").await,
            listed(&testbed, "open").await,
        ];
        lists.concat().is_empty().then_some(())
    })
    .await;
    assert!(testbed.deliveries_so_far().await.is_empty());
}

async fn dead_letters_are_counted_and_sent_again_together(
    (mut testbed, stranger): (Testbed, GatewayClient),
) {
    let payments = dead_letters(&mut testbed, 3).await;
    let all = async |api: &GatewayClient, body: Value| {
        let answer = api.post("/v1/deliveries/redeliver", body.to_string()).await;
        answer.expect(200).json()
    };
    let dry_run = json!({ "state": "dead", "dry_run": true });
    let counted = all(&testbed.api, dry_run.clone()).await;
    assert_eq!(counted, json!({ "count": 3, "has_more": false }));
    assert_eq!(listed(&testbed, "dead").await.len(), 3, "counted only");
    let others = all(&stranger, json!({ "state": "dead" })).await;
    assert_eq!(others["count"], 0);
    assert!(testbed.deliveries_so_far().await.is_empty());

    let reopened = all(&testbed.api, json!({ "state": "dead" })).await;
    assert_eq!(reopened["count"], 3);
    let mut delivered = BTreeSet::new();
    for _ in 0..3 {
        delivered.insert(testbed.merchant.next().await.payment_id());
    }
    assert_eq!(delivered, payments.into_iter().map(|it| it.id).collect());
    assert_eq!(all(&testbed.api, dry_run).await["count"], 0);
    assert!(testbed.deliveries_so_far().await.is_empty());
}

async fn pages_of_dead_letters_have_each_one_once(
    (mut testbed, stranger): (Testbed, GatewayClient),
) {
    let payments = dead_letters(&mut testbed, 3).await;
    let expected: Vec<_> = payments.iter().map(|it| it.id.clone()).collect();
    let first = page(&testbed, "?state=dead&limit=2").await;
    assert_eq!(
        (ids(&first), &first["has_more"]),
        (expected[..2].to_vec(), &json!(true))
    );
    let query = format!("?state=dead&limit=2&starting_after={}", expected[1]);
    let second = page(&testbed, &query).await;
    assert_eq!(
        (ids(&second), &second["has_more"]),
        (expected[2..].to_vec(), &json!(false))
    );
    let foreign = stranger.get(&format!("/v1/deliveries{query}")).await;
    foreign.expect_problem(400, "invalid_starting_after");
}

async fn an_open_delivery_is_listed_and_stays_as_it_is((mut testbed, _): (Testbed, GatewayClient)) {
    testbed.merchant.respond_next(&[503]);
    let payment = testbed.create(json!({})).await;
    testbed.sandbox.act(&payment.id, "conciliate").await;
    testbed.merchant.next().await;
    let open = eventually("its attempt is recorded", async || {
        let page = page(&testbed, "?state=open").await;
        let open = page["deliveries"].get(0).cloned();
        open.filter(|open| open["attempts"] == 1)
    })
    .await;
    assert_eq!(open["last_result"], "503");
    assert!(open["next_at"].as_str() > open["last_at"].as_str());
    redeliver(&testbed.api, &payment).await.expect(202);
    let after = page(&testbed, "?state=open").await;
    assert_eq!(after["deliveries"][0], open, "nothing changed");
}

async fn an_open_delivery_without_bytes_is_accepted_while_khipu_fails(
    (testbed, _): (Testbed, GatewayClient),
) {
    // Confirmed by asking, so that no notification is stored and the delivery waits for one.
    let lost = json!({ "notify": { "drop": 1 } });
    testbed.sandbox.set_behaviour(lost).await;
    let payment = testbed.create(json!({})).await;
    testbed.sandbox.act(&payment.id, "conciliate").await;
    testbed.api.until_status(&payment, "confirmed").await;
    assert_eq!(listed(&testbed, "open").await, [&*payment.id]);
    let down = json!({ "notify": { "drop": 1 }, "api": { "error_rate": 1, "status": 500 } });
    testbed.sandbox.set_behaviour(down).await;
    redeliver(&testbed.api, &payment).await.expect(202);
    assert_eq!(listed(&testbed, "open").await, [&*payment.id]);
}

async fn a_payment_that_was_reversed_unnoticed_is_not_sent_again(
    (mut testbed, _): (Testbed, GatewayClient),
) {
    let payment = testbed.create(json!({})).await;
    testbed.sandbox.act(&payment.id, "conciliate").await;
    testbed.merchant.next().await;
    eventually("it is done", async || {
        listed(&testbed, "open").await.is_empty().then_some(())
    })
    .await;
    // Khipu notifies of no reversal, and nothing visits the payment.
    testbed.sandbox.act(&payment.id, "reverse").await;
    redeliver(&testbed.api, &payment)
        .await
        .expect_problem(409, "not_confirmed");
    assert_eq!(testbed.api.status(&payment).await["status"], "reversed");
    assert!(testbed.deliveries_so_far().await.is_empty());
}

async fn what_cannot_be_delivered_is_not_sent_again((testbed, _): (Testbed, GatewayClient)) {
    let pending = testbed.create(json!({})).await;
    redeliver(&testbed.api, &pending)
        .await
        .expect_problem(409, "not_confirmed");
    let nowhere = testbed.api.create(json!({})).await;
    testbed.sandbox.act(&nowhere.id, "conciliate").await;
    testbed.api.until_status(&nowhere, "confirmed").await;
    redeliver(&testbed.api, &nowhere)
        .await
        .expect_problem(409, "no_notify_url");
    let unknown = testbed
        .api
        .post("/v1/payments/unknown00000/redeliver", "")
        .await;
    unknown.expect_problem(404, "unknown_payment");
    let reversed = testbed.create(json!({})).await;
    testbed.sandbox.act(&reversed.id, "conciliate").await;
    testbed.sandbox.act(&reversed.id, "reverse").await;
    testbed.api.until_status(&reversed, "reversed").await;
    redeliver(&testbed.api, &reversed)
        .await
        .expect_problem(409, "not_confirmed");
}

async fn a_mistaken_request_is_refused_by_its_field((testbed, _): (Testbed, GatewayClient)) {
    for (query, code) in [
        ("", "invalid_state"),
        ("?state=done", "invalid_state"),
        ("?state=dead&limit=0", "invalid_limit"),
        (
            "?state=dead&starting_after=unknown00000",
            "invalid_starting_after",
        ),
        ("?state=dead&starting_after=a/b", "invalid_starting_after"),
        ("?state=dead&page=2", "invalid_query"),
    ] {
        let answer = testbed.api.get(&format!("/v1/deliveries{query}")).await;
        answer.expect_problem(400, code);
    }
    for (body, code) in [
        ("", "invalid_body"),
        ("{}", "invalid_body"),
        (r#"{"state":"dead","dryrun":true}"#, "invalid_body"),
        (r#"{"state":"open"}"#, "invalid_state"),
    ] {
        let answer = testbed.api.post("/v1/deliveries/redeliver", body).await;
        answer.expect_problem(400, code);
    }
}
