//! Refunds on both routes, and their states.

use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{Sandbox, eventually};

#[tokio::test]
async fn partial_refunds_add_up_and_never_exceed_the_remainder() {
    let sandbox = Sandbox::start().await;
    let id = sandbox.create(json!({})).await;
    let path = format!("/v3/payments/{id}/refunds");
    let part = || json!({ "amount": 10_000 });
    assert_eq!(sandbox.post(&path, part()).await.status, 400, "not paid");
    sandbox.done(&id, "conciliate").await;
    for _ in 0..2 {
        assert_eq!(sandbox.post(&path, part()).await.status, 200);
    }
    let payment = sandbox.payment(&id).await;
    assert_eq!(payment["status_detail"], "partially-refunded");
    assert_eq!(payment["total_refunded"], "20000.0000");
    let refunds = payment["refunds"].as_array().unwrap();
    assert_eq!(refunds.len(), 2);
    assert_eq!(refunds[0]["amount"], "10000.0000");
    assert_eq!(refunds[0]["currency"], "CLP");
    assert_ne!(refunds[0]["id"], refunds[1]["id"]);

    let too_much = sandbox.post(&path, part()).await;
    assert_eq!(too_much.status, 400);
    assert_eq!(too_much.json()["errors"][0]["field"], "amount");
    let rest = sandbox.call(Method::POST, &path, None).await;
    assert_eq!(rest.status, 200, "an empty body gives back the rest");
    assert_eq!(sandbox.status(&id).await.1, "fully-refunded");
    assert_eq!(sandbox.post(&path, json!({})).await.status, 400);
}

#[tokio::test]
async fn refunds_from_the_wallet_answer_the_remainder_and_lower_the_balance() {
    let sandbox = Sandbox::start().await;
    let id = sandbox.create(json!({})).await;
    sandbox.done(&id, "conciliate").await;
    let before = sandbox.get("/v3/refund-wallet/balance").await.json();
    assert_eq!(before["currency"], "CLP");
    assert!(before["add_funds_url"].is_string());
    let part = json!({ "type": "partial", "payment_id": id, "amount": "990" });
    let refund = sandbox.post("/v3/refunds", part).await.json();
    assert!(refund["id"].is_string());
    assert_eq!(refund["payment_id"], id);
    assert_eq!(refund["refunded_amount"], "990.0000");
    assert_eq!(refund["total_refunded"], "990.0000");
    assert_eq!(refund["remaining"], "24000.0000");
    assert_eq!(refund["currency"], "CLP");
    let after = sandbox.get("/v3/refund-wallet/balance").await.json();
    let balance = |answer: &Value| answer["balance"].as_str().unwrap().parse::<f64>().unwrap();
    assert!((balance(&before) - balance(&after) - 990.0).abs() < 1e-6);
    let full = json!({ "type": "full", "payment_id": id });
    let refund = sandbox.post("/v3/refunds", full).await.json();
    assert_eq!(refund["remaining"], "0.0000");
    assert_eq!(sandbox.status(&id).await.1, "fully-refunded");
}

/// The status of each refund of a payment.
async fn states(sandbox: &Sandbox, id: &str) -> Vec<String> {
    let payment = sandbox.payment(id).await;
    let refunds = payment["refunds"].as_array().unwrap().iter();
    refunds
        .map(|refund| refund["status"].as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test]
async fn a_refund_is_pending_until_the_action_pays_it() {
    let sandbox = Sandbox::start().await;
    sandbox.behave(json!({ "refund_delay_ms": null })).await;
    let id = sandbox.create(json!({})).await;
    sandbox.done(&id, "conciliate").await;
    let path = format!("/v3/payments/{id}/refunds");
    let wallet = json!({ "type": "partial", "payment_id": id, "amount": "990" });
    sandbox.post(&path, json!({ "amount": 4000 })).await;
    sandbox.post("/v3/refunds", wallet).await;
    assert_eq!(states(&sandbox, &id).await, ["pending", "pending"]);
    let paid = sandbox.done(&id, "pay-refunds").await;
    assert_eq!(paid["status_detail"], "partially-refunded");
    assert_eq!(states(&sandbox, &id).await, ["paid", "paid"]);
    assert_eq!(sandbox.act(&id, "pay-refunds").await.status, 409);

    sandbox.post(&path, json!({})).await;
    assert_eq!(states(&sandbox, &id).await, ["paid", "paid", "pending"]);
}

#[tokio::test]
async fn a_refund_is_paid_after_the_behaviours_delay() {
    let sandbox = Sandbox::start().await;
    sandbox.behave(json!({ "refund_delay_ms": 20 })).await;
    let id = sandbox.create(json!({})).await;
    sandbox.done(&id, "conciliate").await;
    let path = format!("/v3/payments/{id}/refunds");
    assert_eq!(sandbox.post(&path, json!({})).await.status, 200);
    eventually(async || (states(&sandbox, &id).await == ["paid"]).then_some(())).await;
    assert_eq!(sandbox.status(&id).await.1, "fully-refunded");
}
