//! Refunds under an `Idempotency-Key`: once, in spite of lost answers and crashes.

use std::time::{Duration, Instant};

use chasqui_tests::deadline::eventually;
use chasqui_tests::gateway_client::{GatewayClient, HttpResponse, TestPayment, send, try_send};
use chasqui_tests::gateway_process::GatewayProcess;
use chasqui_tests::gateway_settings::{AccountSettings, GatewaySettings, KHIPU_API_KEY};
use chasqui_tests::khipu_proxy::KhipuProxy;
use chasqui_tests::sandbox::Sandbox;
use chasqui_tests::testbed::Testbed;
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use crate::both_stores::on_both_stores;

on_both_stores! {
    a_refund_that_was_done_though_khipu_answered_500_is_found_and_not_done_again
    a_refund_that_was_not_done_is_never_tried_again_under_its_key
    two_refunds_of_the_same_amount_are_not_taken_for_each_other
    nothing_is_refunded_if_the_refunds_before_it_cannot_be_read
    the_same_refund_gets_the_same_bytes_and_is_done_once
    an_answer_that_cannot_be_read_is_no_refund
    a_refund_without_a_key_is_not_taken_for_one_whose_answer_was_lost
    a_refund_from_before_the_key_was_sent_again_is_not_taken_for_it
    a_refund_while_another_of_its_payment_runs_is_refused_with_its_reason
}

const KEY: &str = "refund-of-order-17";

async fn start(storage: Option<String>) -> (Testbed, KhipuProxy) {
    Testbed::start_with_khipu_proxy(|settings| {
        if let Some(storage) = storage {
            settings.storage = storage;
        }
        settings.khipu.push("timeout = \"5s\"".into());
    })
    .await
}

/// Both operations, each with the body of a partial refund.
fn operations(payment_id: &str, amount: u32) -> [(String, String); 2] {
    let wallet =
        json!({ "type": "partial", "payment_id": payment_id, "amount": amount.to_string() });
    [
        (
            format!("/v3/payments/{payment_id}/refunds"),
            json!({ "amount": amount }).to_string(),
        ),
        ("/v3/refunds".to_owned(), wallet.to_string()),
    ]
}

fn refund(api: &GatewayClient, key: &str, (path, body): &(String, String)) -> RequestBuilder {
    let request = api.call(Method::POST, path).header("idempotency-key", key);
    request
        .header("content-type", "application/json")
        .body(body.clone())
}

async fn paid(testbed: &Testbed) -> TestPayment {
    let payment = testbed.create(json!({})).await;
    testbed.sandbox.act(&payment.id, "conciliate").await;
    testbed.api.until_status(&payment, "confirmed").await;
    payment
}

async fn refunds_at_khipu(sandbox: &Sandbox, payment_id: &str) -> Vec<Value> {
    let payment = sandbox.payment(payment_id).await;
    payment["refunds"].as_array().cloned().unwrap_or_default()
}

#[track_caller]
fn expect_found(answer: &HttpResponse) {
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.header("idempotency-replayed"), "true");
}

async fn a_refund_that_was_done_though_khipu_answered_500_is_found_and_not_done_again(
    (testbed, khipu_proxy): (Testbed, KhipuProxy),
) {
    for n in 0..2 {
        let payment = paid(&testbed).await;
        let operation = &operations(&payment.id, 1000)[n];
        let key = &format!("{KEY}-{n}");
        fail_after_effect(&testbed, &khipu_proxy, key, operation).await;
        let again = send(refund(&testbed.api, key, operation)).await;
        expect_found(&again);
        let refunds = refunds_at_khipu(&testbed.sandbox, &payment.id).await;
        assert_eq!(refunds.len(), 1, "{}: {refunds:?}", operation.0);
        if n == 1 {
            let answer = again.json();
            assert_eq!(answer["id"], refunds[0]["id"]);
            assert_eq!(answer["payment_id"], payment.id);
            assert_eq!(answer["refunded_amount"], "1000.0000");
            assert_eq!(answer["total_refunded"], "1000.0000");
            assert_eq!(answer["remaining"], "23990.0000");
        }
        let once_more = send(refund(&testbed.api, key, operation)).await;
        expect_found(&once_more);
        assert_eq!(once_more.body, again.body);
    }
}

/// Sends a refund that Khipu carries out and answers with 500.
async fn fail_after_effect(
    testbed: &Testbed,
    khipu_proxy: &KhipuProxy,
    key: &str,
    operation: &(String, String),
) {
    khipu_proxy.lose_next_post_response();
    send(refund(&testbed.api, key, operation))
        .await
        .expect_problem(502, "khipu_failed");
}

async fn a_refund_that_was_not_done_is_never_tried_again_under_its_key(
    (testbed, khipu_proxy): (Testbed, KhipuProxy),
) {
    let payment = paid(&testbed).await;
    for (key, operation) in ["one", "two"].iter().zip(operations(&payment.id, 500)) {
        khipu_proxy.respond_to_post_once(500, "{}");
        send(refund(&testbed.api, key, &operation))
            .await
            .expect_problem(502, "khipu_failed");
        for _ in 0..2 {
            send(refund(&testbed.api, key, &operation))
                .await
                .expect_problem(409, "outcome_unknown");
        }
    }
    assert!(
        refunds_at_khipu(&testbed.sandbox, &payment.id)
            .await
            .is_empty()
    );
}

async fn two_refunds_of_the_same_amount_are_not_taken_for_each_other(
    (testbed, khipu_proxy): (Testbed, KhipuProxy),
) {
    let payment = paid(&testbed).await;
    for (n, operation) in operations(&payment.id, 500).into_iter().enumerate() {
        let (lost, done) = (format!("lost-{n}"), format!("done-{n}"));
        khipu_proxy.respond_to_post_once(500, "{}");
        send(refund(&testbed.api, &lost, &operation))
            .await
            .expect_problem(502, "khipu_failed");
        send(refund(&testbed.api, &done, &operation))
            .await
            .expect(200);
        send(refund(&testbed.api, &lost, &operation))
            .await
            .expect_problem(409, "outcome_unknown");
        assert_eq!(
            refunds_at_khipu(&testbed.sandbox, &payment.id).await.len(),
            n + 1
        );
    }
}

async fn nothing_is_refunded_if_the_refunds_before_it_cannot_be_read(
    (testbed, khipu_proxy): (Testbed, KhipuProxy),
) {
    let payment = paid(&testbed).await;
    for (n, operation) in operations(&payment.id, 500).into_iter().enumerate() {
        let key = format!("key-{n}");
        khipu_proxy.respond_with(500, &[], "{}");
        let refused = send(refund(&testbed.api, &key, &operation)).await;
        assert!(!refused.header("retry-after").is_empty());
        refused.expect_problem(502, "khipu_unreadable");
        khipu_proxy.forward_again();
        assert_eq!(
            refunds_at_khipu(&testbed.sandbox, &payment.id).await.len(),
            n
        );
        send(refund(&testbed.api, &key, &operation))
            .await
            .expect(200);
        assert_eq!(
            refunds_at_khipu(&testbed.sandbox, &payment.id).await.len(),
            n + 1
        );
    }
}

async fn the_same_refund_gets_the_same_bytes_and_is_done_once(
    (testbed, _khipu_proxy): (Testbed, KhipuProxy),
) {
    let (payment, another) = (paid(&testbed).await, paid(&testbed).await);
    for (n, operation) in operations(&payment.id, 500).into_iter().enumerate() {
        let first = send(refund(&testbed.api, KEY, &operation))
            .await
            .expect(200);
        assert_eq!(first.header("idempotency-replayed"), "");
        let again = send(refund(&testbed.api, KEY, &operation)).await;
        expect_found(&again);
        assert_eq!(again.body, first.body);
        let others = &operations(&another.id, 500)[n];
        send(refund(&testbed.api, KEY, others))
            .await
            .expect_problem(422, "idempotency_key_reused");
        assert_eq!(
            refunds_at_khipu(&testbed.sandbox, &payment.id).await.len(),
            n + 1
        );
    }
}

async fn an_answer_that_cannot_be_read_is_no_refund((testbed, khipu_proxy): (Testbed, KhipuProxy)) {
    let payment = paid(&testbed).await;
    for (n, operation) in operations(&payment.id, 500).into_iter().enumerate() {
        let key = format!("key-{n}");
        khipu_proxy.respond_to_post_once(200, "<html>maintenance");
        send(refund(&testbed.api, &key, &operation))
            .await
            .expect_problem(502, "khipu_malformed");
        send(refund(&testbed.api, &key, &operation))
            .await
            .expect_problem(409, "outcome_unknown");
    }
    let refunds = refunds_at_khipu(&testbed.sandbox, &payment.id).await;
    assert!(refunds.is_empty(), "{refunds:?}");
}

async fn a_refund_without_a_key_is_not_taken_for_one_whose_answer_was_lost(
    (testbed, khipu_proxy): (Testbed, KhipuProxy),
) {
    let payment = paid(&testbed).await;
    for (n, operation) in operations(&payment.id, 500).into_iter().enumerate() {
        let key = format!("lost-{n}");
        khipu_proxy.respond_to_post_once(500, "{}");
        send(refund(&testbed.api, &key, &operation))
            .await
            .expect_problem(502, "khipu_failed");
        let (path, body) = operation.clone();
        testbed.api.post(&path, body).await.expect(200);
        send(refund(&testbed.api, &key, &operation))
            .await
            .expect_problem(409, "outcome_unknown");
    }
}

async fn a_refund_from_before_the_key_was_sent_again_is_not_taken_for_it(
    (testbed, khipu_proxy): (Testbed, KhipuProxy),
) {
    let payment = paid(&testbed).await;
    let operation = operations(&payment.id, 500)[1].clone();
    // Refused without effect: the key is released.
    khipu_proxy.respond_to_post_once(429, "{}");
    send(refund(&testbed.api, KEY, &operation))
        .await
        .expect_problem(429, "khipu_refused");
    // Past the gateway, as in Khipu's panel.
    let (path, body) = operation.clone();
    let panel = GatewayClient::new(&testbed.sandbox.url, KHIPU_API_KEY);
    panel.post(&path, body).await.expect(200);
    khipu_proxy.respond_to_post_once(500, "{}");
    eventually("khipu's pause is over", async || {
        let answer = send(refund(&testbed.api, KEY, &operation)).await;
        (answer.status == 502).then_some(())
    })
    .await;
    send(refund(&testbed.api, KEY, &operation))
        .await
        .expect_problem(409, "outcome_unknown");
    let refunds = refunds_at_khipu(&testbed.sandbox, &payment.id).await;
    assert_eq!(refunds.len(), 1, "{refunds:?}");
}

async fn a_refund_while_another_of_its_payment_runs_is_refused_with_its_reason(
    (testbed, khipu_proxy): (Testbed, KhipuProxy),
) {
    let payment = paid(&testbed).await;
    let [first, second] = operations(&payment.id, 500);
    khipu_proxy.hold_post_responses();
    let running = tokio::spawn(send(refund(&testbed.api, KEY, &first)));
    eventually("khipu has the first refund", async || {
        let refunds = refunds_at_khipu(&testbed.sandbox, &payment.id).await;
        (!refunds.is_empty()).then_some(())
    })
    .await;
    let refused = send(refund(&testbed.api, "another", &second)).await;
    assert_eq!(refused.header("retry-after"), "2");
    let refused = refused.expect_problem(503, "refund_in_progress");
    let reason = format!("another refund of payment {} is in progress", payment.id);
    assert!(refused.text().contains(&reason), "{}", refused.text());
    khipu_proxy.release_responses();
    running.await.expect("no panic").expect(200);
    send(refund(&testbed.api, "another", &second))
        .await
        .expect(200);
    let refunds = refunds_at_khipu(&testbed.sandbox, &payment.id).await;
    assert_eq!(refunds.len(), 2, "{refunds:?}");
}

#[tokio::test]
async fn a_slow_query_after_a_refund_does_not_hold_its_answer_up() {
    let (testbed, khipu_proxy) = Testbed::start_with_khipu_proxy(|_| {}).await;
    let payment = paid(&testbed).await;
    let operation = operations(&payment.id, 500)[0].clone();
    khipu_proxy.hold_get_responses_after_post();
    let began = Instant::now();
    send(refund(&testbed.api, KEY, &operation))
        .await
        .expect(200);
    assert!(
        began.elapsed() < Duration::from_secs(5),
        "{:?}",
        began.elapsed()
    );
    khipu_proxy.release_responses();
}

#[tokio::test]
async fn a_form_that_is_not_known_here_is_refused_in_khipus_words_with_a_key_too() {
    let testbed = Testbed::start().await;
    let payment = paid(&testbed).await;
    for body in [
        json!({ "type": "some", "payment_id": payment.id }),
        json!({ "type": "full", "payment_id": 123_456_789_012_u64 }),
    ] {
        let operation = ("/v3/refunds".to_owned(), body.to_string());
        let refused = send(refund(
            &testbed.api,
            &body.to_string().replace(' ', ""),
            &operation,
        ))
        .await;
        refused.expect_problem(400, "khipu_refused");
    }
}

#[tokio::test]
async fn a_refund_that_an_instance_died_over_is_not_done_again() {
    let sandbox = Sandbox::start().await;
    let khipu_proxy = KhipuProxy::start(&sandbox.url).await;
    let settings = GatewaySettings::new(&khipu_proxy.url);
    let mut gateway = GatewayProcess::start(&settings).await;
    let api = GatewayClient::new(&gateway.url, &settings.accounts[0].api_key);
    let payment = api.create(json!({})).await;
    sandbox.act(&payment.id, "conciliate").await;
    api.until_status(&payment, "confirmed").await;
    let operation = operations(&payment.id, 1000)[1].clone();

    khipu_proxy.hold_post_responses();
    let refunding = tokio::spawn(try_send(refund(&api, KEY, &operation)));
    khipu_proxy.until_held(1).await;
    gateway.kill();
    assert!(refunding.await.expect("no panic").is_none());
    khipu_proxy.release_responses();
    gateway.restart().await;
    // The store cannot know that the instance that began it is gone.
    send(refund(&api, KEY, &operation))
        .await
        .expect_problem(409, "in_flight");
    let refunds = refunds_at_khipu(&sandbox, &payment.id).await;
    assert_eq!(refunds.len(), 1, "{refunds:?}");
}

#[tokio::test]
async fn a_full_refund_makes_the_payment_reversed() {
    let testbed = Testbed::start().await;
    let payment = paid(&testbed).await;
    let wallet = json!({ "type": "full", "payment_id": payment.id });
    testbed
        .api
        .post("/v3/refunds", wallet.to_string())
        .await
        .expect(200);
    assert_eq!(testbed.api.status(&payment).await["status"], "reversed");
}

#[tokio::test]
async fn an_account_refunds_and_confirms_its_own_payments_only() {
    let other = AccountSettings::other();
    let other_key = other.api_key.clone();
    let testbed = Testbed::start_with(|settings| settings.accounts.push(other)).await;
    let payment = paid(&testbed).await;
    let stranger = testbed.api.with_key(&other_key);
    for operation in operations(&payment.id, 1000) {
        send(refund(&stranger, KEY, &operation))
            .await
            .expect_problem(404, "unknown_payment");
        stranger
            .post(&operation.0, operation.1.clone())
            .await
            .expect_problem(404, "unknown_payment");
    }
    stranger
        .post(&format!("/v3/payments/{}/confirm", payment.id), "")
        .await
        .expect_problem(404, "unknown_payment");
    assert!(
        refunds_at_khipu(&testbed.sandbox, &payment.id)
            .await
            .is_empty()
    );
}
