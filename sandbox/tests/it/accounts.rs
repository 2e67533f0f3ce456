//! Several collection accounts in one sandbox.

use khipu_sandbox::{SandboxAccount, SandboxOptions};
use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{Receiver, Sandbox};

const BOOKS: &str = "key-libros";
const BOOKS_SECRET: &str = "secret-libros";
const BOOKS_ID: u64 = 77;

async fn start() -> Sandbox {
    Sandbox::start_with(SandboxOptions {
        accounts: vec![SandboxAccount {
            name: "libros".to_owned(),
            receiver_id: BOOKS_ID,
            api_key: BOOKS.to_owned(),
            secret: BOOKS_SECRET.to_owned(),
        }],
        ..SandboxOptions::default()
    })
    .await
}

async fn create_for_books(sandbox: &Sandbox, notify_url: &str) -> String {
    let order = json!({
        "amount": 9990, "currency": "CLP", "subject": "Un libro",
        "notify_url": notify_url, "notify_api_version": "3.0",
    });
    let answer = sandbox
        .call_as(BOOKS, Method::POST, "/v3/payments", order)
        .await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer.json()["payment_id"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn another_accounts_payment_is_404_on_every_route() {
    let sandbox = start().await;
    let own = create_for_books(&sandbox, "").await;
    let done = create_for_books(&sandbox, "").await;
    sandbox.done(&done, "conciliate").await;
    let full = json!({ "type": "full", "payment_id": done });
    for (method, path, body) in [
        (Method::GET, format!("/v3/payments/{own}"), Value::Null),
        (Method::DELETE, format!("/v3/payments/{own}"), Value::Null),
        (
            Method::POST,
            format!("/v3/payments/{done}/confirm"),
            Value::Null,
        ),
        (
            Method::POST,
            format!("/v3/payments/{done}/refunds"),
            Value::Null,
        ),
        (Method::POST, "/v3/refunds".to_owned(), full),
        (
            Method::GET,
            format!("/v3/merchants/{BOOKS_ID}/paymentMethods"),
            Value::Null,
        ),
    ] {
        let body = (!body.is_null()).then_some(body);
        let refused = sandbox.call(method.clone(), &path, body.clone()).await;
        assert_eq!(refused.status, 404, "{method} {path}: {}", refused.text);
        let body = body.unwrap_or(Value::Null);
        let answer = sandbox.call_as(BOOKS, method.clone(), &path, body).await;
        let is_second_refund = path == "/v3/refunds";
        let expected = if is_second_refund { 400 } else { 200 };
        assert_eq!(answer.status, expected, "{method} {path}: {}", answer.text);
    }
}

#[tokio::test]
async fn notifications_carry_the_accounts_receiver_id_and_signature() {
    let sandbox = start().await;
    let mut receiver = Receiver::start(&[]).await;
    let options = SandboxOptions::default();
    let books = create_for_books(&sandbox, &receiver.url).await;
    let default = sandbox.create_notified(&receiver).await;
    for (id, receiver_id, secret, other) in [
        (books, BOOKS_ID, BOOKS_SECRET, &*options.secret),
        (default, options.receiver_id, &options.secret, BOOKS_SECRET),
    ] {
        sandbox.done(&id, "conciliate").await;
        let arrival = receiver.next().await;
        assert_eq!(arrival.payment_id(), id);
        assert_eq!(arrival.json()["receiver_id"], receiver_id);
        assert!(arrival.is_signed_with(secret));
        assert!(!arrival.is_signed_with(other));
    }
}

#[tokio::test]
async fn each_account_has_its_own_refund_wallet() {
    let sandbox = start().await;
    let id = create_for_books(&sandbox, "").await;
    sandbox.done(&id, "conciliate").await;
    let balance = async |key: &str| {
        let path = "/v3/refund-wallet/balance";
        let answer = sandbox.call_as(key, Method::GET, path, Value::Null).await;
        answer.json()["balance"].as_str().unwrap().to_owned()
    };
    let default_key = SandboxOptions::default().api_key;
    let before = balance(&default_key).await;
    let full = json!({ "type": "full", "payment_id": id });
    let refund = sandbox
        .call_as(BOOKS, Method::POST, "/v3/refunds", full)
        .await;
    assert_eq!(refund.status, 200, "{}", refund.text);
    assert_eq!(balance(&default_key).await, before);
    assert_ne!(balance(BOOKS).await, before);
}

#[tokio::test]
async fn the_controls_see_every_accounts_payments() {
    let sandbox = start().await;
    let ids = [
        sandbox.create(json!({})).await,
        create_for_books(&sandbox, "").await,
    ];
    let listed = sandbox.get("/sandbox/payments").await.json();
    let receivers: Vec<_> = listed
        .as_array()
        .unwrap()
        .iter()
        .map(|one| &one["receiver_id"])
        .collect();
    assert_eq!(receivers, [990_939, BOOKS_ID]);
    for id in ids {
        sandbox.done(&id, "authorize").await;
    }
}
