//! `/webhooks/khipu/{account}`: what is authentic, and what is refused.

use chasqui_tests::gateway_client::Created;
use chasqui_tests::gateway_settings::{KHIPU_API_KEY, KHIPU_SECRET};
use chasqui_tests::notification::{body, hex_signature, now_ms, signature, signed};
use chasqui_tests::testbed::Stage;
use serde_json::{Value, json};

/// A stage with one payment of 24990 CLP.
pub(crate) async fn payment() -> (Stage, Created) {
    let stage = Stage::start().await;
    let payment = stage.create(json!({})).await;
    (stage, payment)
}

pub(crate) async fn word(stage: &Stage, payment: &Created) -> Value {
    stage.api.status(payment).await["status"].clone()
}

/// Posts a body that Khipu's secret signed; expects 200.
pub(crate) async fn accepted(stage: &Stage, body: &str) {
    stage
        .api
        .notify(Some(&signed(body)), body.to_owned())
        .await
        .expect(200);
}

/// Posts it, expects this refusal and that nothing came of it.
pub(crate) async fn refused(stage: &Stage, payment: &Created, header: Option<&str>, body: &str) {
    stage
        .api
        .notify(header, body.to_owned())
        .await
        .expect_problem(401, "invalid_signature");
    assert_eq!(word(stage, payment).await, "pending");
}

#[tokio::test]
async fn one_that_khipu_signed_confirms_at_once() {
    let (stage, payment) = payment().await;
    accepted(&stage, &body(&payment.id, &json!({}))).await;
    assert_eq!(word(&stage, &payment).await, "confirmed");
}

#[tokio::test]
async fn one_signed_with_another_secret_is_refused() {
    let (stage, payment) = payment().await;
    let body = body(&payment.id, &json!({}));
    let forged = signature("not-the-secret", &now_ms().to_string(), &body);
    refused(&stage, &payment, Some(&forged), &body).await;
}

#[tokio::test]
async fn one_signed_with_the_api_key_is_refused() {
    let (stage, payment) = payment().await;
    let body = body(&payment.id, &json!({}));
    let forged = signature(KHIPU_API_KEY, &now_ms().to_string(), &body);
    refused(&stage, &payment, Some(&forged), &body).await;
}

#[tokio::test]
async fn one_without_a_signature_is_refused() {
    let (stage, payment) = payment().await;
    let body = body(&payment.id, &json!({}));
    refused(&stage, &payment, None, &body).await;
    refused(&stage, &payment, Some(""), &body).await;
    refused(&stage, &payment, Some("t=1,s="), &body).await;
}

#[tokio::test]
async fn one_with_a_signature_in_hex_is_refused() {
    let (stage, payment) = payment().await;
    let body = body(&payment.id, &json!({}));
    let hex = hex_signature(KHIPU_SECRET, &now_ms().to_string(), &body);
    refused(&stage, &payment, Some(&hex), &body).await;
}

#[tokio::test]
async fn one_whose_json_was_written_anew_is_refused() {
    let (stage, payment) = payment().await;
    let body = body(&payment.id, &json!({}));
    assert!(body.contains("\\/"), "khipu escapes slashes");
    let rewritten = serde_json::from_str::<Value>(&body)
        .expect("JSON")
        .to_string();
    refused(&stage, &payment, Some(&signed(&body)), &rewritten).await;
}

#[tokio::test]
async fn an_old_secret_is_still_believed_while_it_is_listed() {
    let stage = Stage::start_with(|settings| {
        settings
            .account()
            .khipu_secrets
            .insert(0, "the-next-secret-not-real".into());
    })
    .await;
    let payment = stage.create(json!({})).await;
    accepted(&stage, &body(&payment.id, &json!({}))).await;
    assert_eq!(word(&stage, &payment).await, "confirmed");
}

/// Signed correctly, but at `t`: kept, and Khipu decides.
async fn stale(t: String) {
    let (stage, unpaid) = payment().await;
    let old = body(&unpaid.id, &json!({}));
    let header = signature(KHIPU_SECRET, &t, &old);
    stage.api.notify(Some(&header), old).await.expect(200);
    // Khipu does not confirm it: neither now nor after it was asked.
    stage.sandbox.act(&unpaid.id, "authorize").await;
    stage.api.until_status(&unpaid, "verifying").await;

    let paid = stage.create(json!({})).await;
    stage
        .sandbox
        .behave(json!({ "notify": { "drop": 1 } }))
        .await;
    stage.sandbox.act(&paid.id, "conciliate").await;
    let old = body(&paid.id, &json!({}));
    let header = signature(KHIPU_SECRET, &t, &old);
    stage.api.notify(Some(&header), old).await.expect(200);
    stage.api.until_status(&paid, "confirmed").await;
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
    let (stage, payment) = payment().await;
    let late = body(&payment.id, &json!({}));
    let t = (now_ms() - 9 * 60 * 1000).to_string();
    let header = signature(KHIPU_SECRET, &t, &late);
    stage.api.notify(Some(&header), late).await.expect(200);
    assert_eq!(word(&stage, &payment).await, "confirmed");
}

#[tokio::test]
async fn duplicates_are_answered_200_and_delivered_once() {
    let mut stage = Stage::start().await;
    let payment = stage.create(json!({})).await;
    let mut watcher = stage.watch(&payment).await;
    let notification = body(&payment.id, &json!({}));
    futures_util::future::join_all((0..20).map(|_| accepted(&stage, &notification))).await;
    // A repetition by Khipu is signed anew.
    let again = signature(KHIPU_SECRET, &(now_ms() + 1000).to_string(), &notification);
    stage
        .api
        .notify(Some(&again), notification)
        .await
        .expect(200);

    watcher.until("confirmed").await;
    assert_eq!(watcher.closed().await.0, 1000);
    let deliveries = stage.deliveries_so_far().await;
    assert_eq!(deliveries.len(), 1, "{deliveries:?}");
}

#[tokio::test]
async fn a_confirmation_that_overtakes_verifying_is_never_taken_back() {
    let (stage, payment) = payment().await;
    let mut watcher = stage.watch(&payment).await;
    // Khipu itself still says pending, then verifying: what it is asked afterwards is older news.
    accepted(&stage, &body(&payment.id, &json!({}))).await;
    watcher.until("confirmed").await;
    stage.sandbox.act(&payment.id, "authorize").await;
    let seen_by_merchant = stage.api.get(&format!("/v3/payments/{}", payment.id)).await;
    assert_eq!(seen_by_merchant.expect(200).json()["status"], "verifying");
    assert_eq!(word(&stage, &payment).await, "confirmed");
    assert_eq!(watcher.closed().await.0, 1000);
}

/// Integrations that took each notification for news moved an order back that had been shipped, or refunded, since.
#[tokio::test]
async fn a_retry_does_not_move_a_payment_back() {
    let mut stage = Stage::start().await;
    let payment = stage.create(json!({})).await;
    stage.sandbox.act(&payment.id, "authorize").await;
    stage.sandbox.act(&payment.id, "conciliate").await;
    stage.merchant.next().await;
    stage.sandbox.act(&payment.id, "reverse").await;
    stage
        .api
        .get(&format!("/v3/payments/{}", payment.id))
        .await
        .expect(200);
    assert_eq!(word(&stage, &payment).await, "reversed");

    let first = stage.sandbox.notified(&payment.id, 200).await;
    let notification = first["body"].as_str().expect("a body").to_owned();
    accepted(&stage, &notification).await;
    assert_eq!(word(&stage, &payment).await, "reversed");
    assert!(
        stage.deliveries_so_far().await.is_empty(),
        "the merchant was told once already"
    );
}

#[tokio::test]
async fn an_oversized_one_is_refused_with_413() {
    const LIMIT: usize = (1024 + 64) * 1024;
    let (stage, payment) = payment().await;
    let large = body(&payment.id, &json!({ "custom": "x".repeat(LIMIT) }));
    stage
        .api
        .notify(Some(&signed(&large)), large)
        .await
        .expect_problem(413, "too_large");
    // As much as a merchant may have sent.
    let fits = body(&payment.id, &json!({ "custom": "x".repeat(1024 * 1024) }));
    accepted(&stage, &fits).await;
}

#[tokio::test]
async fn what_is_no_notification_is_refused_with_400() {
    let (stage, _) = payment().await;
    for nonsense in [
        "",
        "nonsense",
        "[]",
        "{}",
        r#"{"payment_id":""}"#,
        r#"{"payment_id":7.5}"#,
    ] {
        stage
            .api
            .notify(Some(&signed(nonsense)), nonsense)
            .await
            .expect_problem(400, "invalid_notification");
    }
}

#[tokio::test]
async fn a_notification_1_3_is_refused_with_words_that_help() {
    let (stage, _) = payment().await;
    let form = "api_version=1.3&notification_token=abc";
    for header in [None, Some(signed(form))] {
        let problem = stage
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
    let (stage, payment) = payment().await;
    let body = body(&payment.id, &json!({}));
    stage
        .api
        .notify_account("nobody", Some(&signed(&body)), body)
        .await
        .expect_problem(404, "unknown_account");
}
