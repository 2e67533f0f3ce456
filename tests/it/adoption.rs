//! Payments that Khipu knows and the store does not: read from Khipu when a watcher or the payer asks for one.

use std::time::{Duration, Instant};

use chasqui_tests::gateway_client::{TestPayment, send};
use chasqui_tests::testbed::Testbed;
use redis_processes::{Options, RedisServer};
use reqwest::Method;
use serde_json::json;
use tempfile::TempDir;

use crate::return_hop::{hop, visit};
use crate::websocket::token_for;

#[tokio::test]
async fn a_payment_that_is_unknown_here_is_adopted_from_khipu() {
    let testbed = Testbed::start().await;
    let direct = testbed
        .sandbox
        .create(json!({ "amount": 500, "currency": "CLP", "subject": "direct" }))
        .await;
    testbed.sandbox.act(&direct, "authorize").await;
    let mut watcher = testbed.watch(&token_for(&direct)).await;
    assert_eq!(watcher.status().await["status"], "verifying");
    testbed.sandbox.act(&direct, "conciliate").await;
    watcher.until("confirmed").await;
}

/// Redis failed after the reference was bound.
#[tokio::test]
async fn a_payment_that_could_not_be_kept_when_it_was_made_is_adopted_when_its_payer_comes_back() {
    let redis = RedisServer::start(&Options::default()).await;
    let testbed = Testbed::start_with(|settings| settings.storage = redis.url()).await;
    let payment = testbed
        .create(json!({ "return_url": "https://shop.example/thanks" }))
        .await;
    let path = hop(&testbed, &payment, "return_url").await;
    let keys: Vec<String> = redis.ask(&["KEYS", &format!("*{}*", payment.id)]).await;
    assert!(!keys.is_empty());
    for key in &keys {
        redis.command(&["DEL", key]).await;
    }
    let answer = visit(&testbed, &path, "es").await.expect(303);
    assert!(
        answer
            .header("location")
            .starts_with("https://shop.example/thanks#chasqui=")
    );
    assert_eq!(testbed.api.status(&payment).await["status"], "verifying");
}

/// The store has only what leads to the payment, and Khipu does not answer: the shop may know the order.
#[tokio::test]
async fn a_payer_whose_payment_cannot_be_adopted_now_goes_on_to_the_shop() {
    let (_directory, testbed, path) = forgotten().await;
    let slow = json!({ "api": { "latency_ms": 20_000 } });
    testbed.sandbox.set_behaviour(slow).await;
    let head = send(testbed.api.request(Method::HEAD, &path))
        .await
        .expect(303);
    assert_eq!(head.header("location"), "https://shop.example/thanks");
    let answer = visit(&testbed, &path, "es").await.expect(303);
    assert_eq!(answer.header("location"), "https://shop.example/thanks");
}

#[tokio::test]
async fn a_head_adopts_nothing() {
    let (_directory, testbed, path) = forgotten().await;
    send(testbed.api.request(Method::HEAD, &path))
        .await
        .expect(303);
    let found = testbed.api.get("/v1/payments?transaction_id=order-1").await;
    assert_eq!(found.expect(200).json()["payments"], json!([]));
}

/// The answer to the creation was lost, so that Khipu's notification comes before the payment is known.
#[tokio::test]
async fn a_notification_that_comes_before_its_payment_is_known_is_delivered_at_once() {
    let (_directory, mut testbed, payment) = forgotten_payment().await;
    let began = Instant::now();
    testbed.sandbox.act(&payment.id, "conciliate").await;
    let delivery = testbed.merchant.next().await;
    assert_eq!(delivery.payment_id(), payment.id);
    assert_eq!(delivery.header("chasqui-source"), "notification");
    let waited = began.elapsed();
    assert!(waited < Duration::from_secs(6), "{waited:?}");
}

/// A payment that could not be stored at its creation, unlike what leads to it.
async fn forgotten() -> (TempDir, Testbed, String) {
    let (directory, testbed, payment) = forgotten_payment().await;
    let path = hop(&testbed, &payment, "return_url").await;
    (directory, testbed, path)
}

async fn forgotten_payment() -> (TempDir, Testbed, TestPayment) {
    let directory = tempfile::tempdir().expect("a directory");
    let database = directory.path().join("chasqui.db");
    let storage = format!("sqlite:{}", database.display());
    let testbed = Testbed::start_with(|settings| settings.storage = storage).await;
    let payment = testbed
        .create(json!({ "return_url": "https://shop.example/thanks", "transaction_id": "order-1" }))
        .await;
    let shell = rusqlite::Connection::open(&database).expect("a shell");
    for table in ["job", "record", "notification"] {
        let sql = format!("DELETE FROM {table} WHERE payment_id = ?1");
        shell.execute(&sql, [&payment.id]).expect("deleted");
    }
    shell
        .execute("DELETE FROM payment WHERE id = ?1", [&payment.id])
        .expect("deleted");
    (directory, testbed, payment)
}
