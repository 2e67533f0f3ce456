//! `/webhooks/khipu/{account}`: what is authentic, and what is refused.

use chasqui_tests::gateway_client::TestPayment;
use chasqui_tests::gateway_settings::{KHIPU_API_KEY, KHIPU_SECRET};
use chasqui_tests::notification::{body, hex_signature, now_ms, signature, signed};
use chasqui_tests::testbed::Testbed;
use serde_json::{Value, json};

/// A testbed with one payment of 24990 CLP.
pub(crate) async fn payment() -> (Testbed, TestPayment) {
    let testbed = Testbed::start().await;
    let payment = testbed.create(json!({})).await;
    (testbed, payment)
}

pub(crate) async fn word(testbed: &Testbed, payment: &TestPayment) -> Value {
    testbed.api.status(payment).await["status"].clone()
}

/// Posts a body that Khipu's secret signed; expects 200.
pub(crate) async fn accepted(testbed: &Testbed, body: &str) {
    testbed
        .api
        .notify(Some(&signed(body)), body.to_owned())
        .await
        .expect(200);
}

/// Posts it, and expects this refusal and no effect.
pub(crate) async fn refused(
    testbed: &Testbed,
    payment: &TestPayment,
    header: Option<&str>,
    body: &str,
) {
    testbed
        .api
        .notify(header, body.to_owned())
        .await
        .expect_problem(401, "invalid_signature");
    assert_eq!(word(testbed, payment).await, "pending");
}

#[tokio::test]
async fn one_that_khipu_signed_confirms_at_once() {
    let (testbed, payment) = payment().await;
    accepted(&testbed, &body(&payment.id, &json!({}))).await;
    assert_eq!(word(&testbed, &payment).await, "confirmed");
}

#[tokio::test]
async fn one_signed_with_another_secret_is_refused() {
    let (testbed, payment) = payment().await;
    let body = body(&payment.id, &json!({}));
    let forged = signature("not-the-secret", &now_ms().to_string(), &body);
    refused(&testbed, &payment, Some(&forged), &body).await;
}

#[tokio::test]
async fn one_signed_with_the_api_key_is_refused() {
    let (testbed, payment) = payment().await;
    let body = body(&payment.id, &json!({}));
    let forged = signature(KHIPU_API_KEY, &now_ms().to_string(), &body);
    refused(&testbed, &payment, Some(&forged), &body).await;
}

#[tokio::test]
async fn one_without_a_signature_is_refused() {
    let (testbed, payment) = payment().await;
    let body = body(&payment.id, &json!({}));
    refused(&testbed, &payment, None, &body).await;
    refused(&testbed, &payment, Some(""), &body).await;
    refused(&testbed, &payment, Some("t=1,s="), &body).await;
}

#[tokio::test]
async fn one_with_a_signature_in_hex_is_refused() {
    let (testbed, payment) = payment().await;
    let body = body(&payment.id, &json!({}));
    let hex = hex_signature(KHIPU_SECRET, &now_ms().to_string(), &body);
    refused(&testbed, &payment, Some(&hex), &body).await;
}

#[tokio::test]
async fn one_whose_json_was_rewritten_is_refused() {
    let (testbed, payment) = payment().await;
    let body = body(&payment.id, &json!({}));
    assert!(body.contains("\\/"), "khipu escapes slashes");
    let rewritten = serde_json::from_str::<Value>(&body)
        .expect("JSON")
        .to_string();
    refused(&testbed, &payment, Some(&signed(&body)), &rewritten).await;
}

#[tokio::test]
async fn an_old_secret_is_still_believed_while_it_is_listed() {
    let testbed = Testbed::start_with(|settings| {
        settings
            .account()
            .khipu_secrets
            .insert(0, "the-next-secret-not-real".into());
    })
    .await;
    let payment = testbed.create(json!({})).await;
    accepted(&testbed, &body(&payment.id, &json!({}))).await;
    assert_eq!(word(&testbed, &payment).await, "confirmed");
}

/// Signed correctly, but at `t`: kept, and Khipu decides.
async fn stale(t: String) {
    let (testbed, unpaid) = payment().await;
    let old = body(&unpaid.id, &json!({}));
    let header = signature(KHIPU_SECRET, &t, &old);
    testbed.api.notify(Some(&header), old).await.expect(200);
    // Khipu does not confirm it: neither now nor after it was asked.
    testbed.sandbox.act(&unpaid.id, "authorize").await;
    testbed.api.until_status(&unpaid, "verifying").await;

    let paid = testbed.create(json!({})).await;
    testbed
        .sandbox
        .set_behaviour(json!({ "notify": { "drop": 1 } }))
        .await;
    testbed.sandbox.act(&paid.id, "conciliate").await;
    let old = body(&paid.id, &json!({}));
    let header = signature(KHIPU_SECRET, &t, &old);
    testbed.api.notify(Some(&header), old).await.expect(200);
    testbed.api.until_status(&paid, "confirmed").await;
}

#[tokio::test]
async fn one_that_was_signed_long_ago_is_kept_and_khipu_decides() {
    stale((now_ms() - 11 * 60 * 1000).to_string()).await;
}

#[tokio::test]
async fn one_that_will_be_signed_later_is_kept_and_khipu_decides() {
    stale((now_ms() + 11 * 60 * 1000).to_string()).await;
}

#[tokio::test]
async fn one_whose_t_is_in_seconds_is_kept_and_khipu_decides() {
    stale((now_ms() / 1000).to_string()).await;
}

#[tokio::test]
async fn one_within_the_tolerance_confirms_at_once() {
    let (testbed, payment) = payment().await;
    let late = body(&payment.id, &json!({}));
    let t = (now_ms() - 9 * 60 * 1000).to_string();
    let header = signature(KHIPU_SECRET, &t, &late);
    testbed.api.notify(Some(&header), late).await.expect(200);
    assert_eq!(word(&testbed, &payment).await, "confirmed");
}

#[tokio::test]
async fn duplicates_are_answered_200_and_delivered_once() {
    let mut testbed = Testbed::start().await;
    let payment = testbed.create(json!({})).await;
    let mut watcher = testbed.watch(&payment).await;
    let notification = body(&payment.id, &json!({}));
    futures_util::future::join_all((0..20).map(|_| accepted(&testbed, &notification))).await;
    // Khipu signs each repetition again.
    let again = signature(KHIPU_SECRET, &(now_ms() + 1000).to_string(), &notification);
    testbed
        .api
        .notify(Some(&again), notification)
        .await
        .expect(200);

    watcher.until("confirmed").await;
    assert_eq!(watcher.closed().await.0, 1000);
    let deliveries = testbed.deliveries_so_far().await;
    assert_eq!(deliveries.len(), 1, "{deliveries:?}");
}

#[tokio::test]
async fn a_confirmation_that_overtakes_verifying_is_never_taken_back() {
    let (testbed, payment) = payment().await;
    let mut watcher = testbed.watch(&payment).await;
    // Khipu itself still answers pending, then verifying, which are older statuses.
    accepted(&testbed, &body(&payment.id, &json!({}))).await;
    watcher.until("confirmed").await;
    testbed.sandbox.act(&payment.id, "authorize").await;
    let seen_by_merchant = testbed
        .api
        .get(&format!("/v3/payments/{}", payment.id))
        .await;
    assert_eq!(seen_by_merchant.expect(200).json()["status"], "verifying");
    assert_eq!(word(&testbed, &payment).await, "confirmed");
    assert_eq!(watcher.closed().await.0, 1000);
}

/// An integration that takes each notification for a change would move a shipped or refunded order back.
#[tokio::test]
async fn a_retry_does_not_move_a_payment_back() {
    let mut testbed = Testbed::start().await;
    let payment = testbed.create(json!({})).await;
    testbed.sandbox.act(&payment.id, "authorize").await;
    testbed.sandbox.act(&payment.id, "conciliate").await;
    testbed.merchant.next().await;
    testbed.sandbox.act(&payment.id, "reverse").await;
    testbed
        .api
        .get(&format!("/v3/payments/{}", payment.id))
        .await
        .expect(200);
    assert_eq!(word(&testbed, &payment).await, "reversed");

    let first = testbed.sandbox.notified(&payment.id, 200).await;
    let notification = first["body"].as_str().expect("a body").to_owned();
    accepted(&testbed, &notification).await;
    assert_eq!(word(&testbed, &payment).await, "reversed");
    assert!(
        testbed.deliveries_so_far().await.is_empty(),
        "the merchant has one delivery already"
    );
}

#[tokio::test]
async fn an_oversized_one_is_refused_with_413() {
    const LIMIT: usize = (1024 + 64) * 1024;
    let (testbed, payment) = payment().await;
    let large = body(&payment.id, &json!({ "custom": "x".repeat(LIMIT) }));
    testbed
        .api
        .notify(Some(&signed(&large)), large)
        .await
        .expect_problem(413, "too_large");
    // As much as a merchant may have sent.
    let fits = body(&payment.id, &json!({ "custom": "x".repeat(1024 * 1024) }));
    accepted(&testbed, &fits).await;
}

#[tokio::test]
async fn what_is_no_notification_is_refused_with_400() {
    let (testbed, _) = payment().await;
    for nonsense in [
        "",
        "nonsense",
        "[]",
        "{}",
        r#"{"payment_id":""}"#,
        r#"{"payment_id":7.5}"#,
    ] {
        testbed
            .api
            .notify(Some(&signed(nonsense)), nonsense)
            .await
            .expect_problem(400, "invalid_notification");
    }
}

#[tokio::test]
async fn a_notification_1_3_is_refused_with_words_that_help() {
    let (testbed, _) = payment().await;
    let form = "api_version=1.3&notification_token=abc";
    for header in [None, Some(signed(form))] {
        let problem = testbed
            .api
            .notify(header.as_deref(), form)
            .await
            .expect_problem(400, "invalid_notification");
        let detail = problem.json()["detail"].clone();
        assert!(
            detail.as_str().is_some_and(|text| text.contains("3.0")),
            "{detail}"
        );
    }
}

#[tokio::test]
async fn an_unknown_account_is_answered_404() {
    let (testbed, payment) = payment().await;
    let body = body(&payment.id, &json!({}));
    testbed
        .api
        .notify_account("unknown", Some(&signed(&body)), body)
        .await
        .expect_problem(404, "unknown_account");
}
