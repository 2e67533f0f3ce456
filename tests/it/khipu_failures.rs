//! Khipu does not answer, is slow or is down: what watchers and merchants get nevertheless.

use std::time::{Duration, Instant};

use chasqui_tests::gateway_settings::KHIPU_SECRET;
use chasqui_tests::notification::is_signed;
use chasqui_tests::testbed::Testbed;
use serde_json::json;

#[tokio::test]
async fn when_the_webhook_never_comes_khipu_is_asked_and_the_merchant_gets_a_delivery() {
    let mut testbed = Testbed::start().await;
    testbed
        .sandbox
        .set_behaviour(json!({ "notify": { "drop": 1 } }))
        .await;
    let payment = testbed
        .create(json!({ "transaction_id": "order-1", "custom": "a/b" }))
        .await;
    let mut watcher = testbed.watch(&payment).await;
    testbed.sandbox.act(&payment.id, "conciliate").await;
    let conciliated = Instant::now();
    watcher.until("confirmed").await;
    assert!(testbed.merchant.drain().is_empty());

    let delivery = testbed.merchant.next().await;
    assert!(
        conciliated.elapsed() >= Duration::from_secs(10),
        "khipu's own bytes were not waited for: {:?}",
        conciliated.elapsed()
    );
    assert_eq!(delivery.header("chasqui-source"), "reconciliation");
    assert_eq!(delivery.header("chasqui-status"), "confirmed");
    let signature = delivery.header("x-khipu-signature");
    assert!(is_signed(signature, KHIPU_SECRET, &delivery.body));
    let (body, at_khipu) = (delivery.json(), testbed.sandbox.payment(&payment.id).await);
    for name in [
        "payment_id",
        "receiver_id",
        "subject",
        "amount",
        "currency",
        "transaction_id",
        "conciliation_date",
        "custom",
        "bank_id",
        "payment_method",
        "out_of_date_conciliation",
    ] {
        assert_eq!(body[name], at_khipu[name], "{name}");
    }
    assert!(body["amount"].is_string(), "{body}");
    for name in ["status", "status_detail", "notify_url", "payment_url"] {
        assert!(body.get(name).is_none(), "a notification has no {name}");
    }
}

#[tokio::test]
async fn khipus_own_bytes_are_delivered_if_they_come_after_all() {
    let mut testbed = Testbed::start().await;
    testbed
        .sandbox
        .set_behaviour(json!({ "notify": { "drop": 1 } }))
        .await;
    let payment = testbed.create(json!({})).await;
    let mut watcher = testbed.watch(&payment).await;
    testbed.sandbox.act(&payment.id, "conciliate").await;
    watcher.until("confirmed").await;
    testbed.sandbox.set_behaviour(json!({})).await;

    let delivery = testbed.merchant.next().await;
    let notified = testbed.sandbox.notified(&payment.id, 200).await;
    assert_eq!(delivery.header("chasqui-source"), "notification");
    assert_eq!(delivery.body, notified["body"].as_str().expect("a body"));
    assert!(testbed.deliveries_so_far().await.is_empty());
}

#[tokio::test]
async fn watchers_get_the_status_when_khipu_recovers() {
    let testbed = Testbed::start().await;
    let payment = testbed.create(json!({})).await;
    let failures = json!({ "notify": { "drop": 1 }, "api": { "error_rate": 1 } });
    testbed.sandbox.set_behaviour(failures).await;
    let mut watcher = testbed.watch(&payment).await;
    assert_eq!(watcher.status().await["status"], "pending");
    testbed.sandbox.act(&payment.id, "conciliate").await;
    testbed
        .sandbox
        .set_behaviour(json!({ "notify": { "drop": 1 } }))
        .await;
    watcher.until("confirmed").await;
}

#[tokio::test]
async fn corrupt_doubled_and_reordered_notifications_end_at_the_same_status() {
    let mut testbed = Testbed::start().await;
    let failures = json!({ "notify": { "corrupt_signature": 0.3, "duplicate": 0.5, "reorder": 0.3, "drop": 0.2 } });
    testbed.sandbox.set_behaviour(failures).await;
    let mut watchers = Vec::new();
    for _ in 0..10 {
        let payment = testbed.create(json!({})).await;
        let watcher = testbed.watch(&payment).await;
        watchers.push((payment, watcher));
    }
    for (payment, _) in &watchers {
        testbed.sandbox.act(&payment.id, "conciliate").await;
    }
    for (payment, watcher) in &mut watchers {
        watcher.until("confirmed").await;
        testbed.sandbox.notified(&payment.id, 200).await;
    }
    testbed.sandbox.set_behaviour(json!({})).await;
    let deliveries = testbed.deliveries_so_far().await;
    let mut delivered: Vec<_> = deliveries.iter().map(|one| one.payment_id()).collect();
    delivered.sort();
    let mut expected: Vec<_> = watchers
        .iter()
        .map(|(payment, _)| payment.id.clone())
        .collect();
    expected.sort();
    assert_eq!(delivered, expected, "each once");
}

#[tokio::test]
async fn an_amount_that_khipu_itself_answers_differently_is_never_confirmed() {
    let (testbed, khipu_proxy) = Testbed::start_with_khipu_proxy(|_| {}).await;
    let payment = testbed.create(json!({})).await;
    let answer = json!({
        "payment_id": payment.id, "amount": "24991.0000", "currency": "CLP", "status": "done", "status_detail": "normal"
    });
    khipu_proxy.respond_with(200, &[], &answer.to_string());
    let asked = testbed
        .api
        .get(&format!("/v3/payments/{}", payment.id))
        .await;
    assert_eq!(asked.expect(200).json()["status"], "done");
    assert_eq!(testbed.api.status(&payment).await["status"], "pending");
}

#[tokio::test]
async fn done_is_read_by_its_detail() {
    let (testbed, khipu_proxy) = Testbed::start_with_khipu_proxy(|_| {}).await;
    for (detail, expected) in [
        ("normal", "confirmed"),
        ("marked-paid-by-receiver", "confirmed"),
        ("partially-refunded", "confirmed"),
        ("rejected-by-payer", "rejected"),
        ("marked-as-abuse", "rejected"),
        ("reversed", "reversed"),
        ("fully-refunded", "reversed"),
        ("a-word-of-tomorrow", "verifying"),
        ("", "verifying"),
    ] {
        khipu_proxy.forward_again();
        let payment = testbed.create(json!({})).await;
        let answer = json!({
            "payment_id": payment.id, "amount": 24990, "currency": "CLP", "status": "done", "status_detail": detail
        });
        khipu_proxy.respond_with(200, &[], &answer.to_string());
        testbed
            .api
            .get(&format!("/v3/payments/{}", payment.id))
            .await
            .expect(200);
        assert_eq!(
            testbed.api.status(&payment).await["status"],
            expected,
            "{detail}"
        );
    }
}

#[tokio::test]
async fn a_payment_whose_time_is_over_expires_and_can_still_be_confirmed_late() {
    let testbed = Testbed::start().await;
    let payment = testbed.create(json!({})).await;
    let mut watcher = testbed.watch(&payment).await;
    watcher.status().await;
    testbed.sandbox.act(&payment.id, "expire").await;
    let status = watcher.until("expired").await;
    assert_eq!(
        (&status["version"], &status["final"]),
        (&json!(15), &json!(false))
    );
    testbed.sandbox.act(&payment.id, "conciliate").await;
    let status = watcher.until("confirmed").await;
    assert_eq!(status["late"], true, "{status}");
}

/// Khipu's answer to a creation has no date; until when it can be paid decides how long Khipu is asked.
#[tokio::test]
async fn a_payment_without_a_term_of_its_own_has_the_one_that_khipu_gives_it() {
    let directory = tempfile::tempdir().expect("a directory");
    let database = directory.path().join("chasqui.db");
    let storage = format!("sqlite:{}", database.display());
    let testbed = Testbed::start_with(|settings| settings.storage = storage).await;
    let payment = testbed.create(json!({})).await;
    let kept = || -> Option<i64> {
        let shell = rusqlite::Connection::open(&database).expect("a shell");
        let sql = "SELECT expires_at FROM payment WHERE id = ?1";
        shell
            .query_row(sql, [&payment.id], |row| row.get(0))
            .expect("the payment")
    };
    assert_eq!(kept(), None);
    let path = format!("/v3/payments/{}", payment.id);
    let at_khipu = testbed.api.get(&path).await.expect(200).json();
    let expires_date = at_khipu["expires_date"].as_str().expect("a date");
    let expected: jiff::Timestamp = expires_date.parse().expect("RFC 3339");
    assert_eq!(kept(), Some(expected.as_millisecond()));
}
