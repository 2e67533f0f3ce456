//! Requests that Khipu refuses, with every field at fault.

use serde_json::{Value, json};

use crate::harness::Sandbox;

/// The fields that a refusal names.
async fn refused_fields(sandbox: &Sandbox, path: &str, body: Value) -> Vec<String> {
    let answer = sandbox.post(path, body).await;
    assert_eq!(answer.status, 400, "{}", answer.text);
    let error = answer.json();
    assert_eq!(error["status"], 400);
    assert_eq!(error["message"], "Error de validación");
    let mut fields: Vec<_> = error["errors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|error| {
            assert!(!error["message"].as_str().unwrap().is_empty());
            error["field"].as_str().unwrap().to_owned()
        })
        .collect();
    fields.sort();
    fields
}

fn order(changes: &Value) -> Value {
    let mut order = json!({ "amount": 1000, "currency": "CLP", "subject": "Test" });
    order
        .as_object_mut()
        .unwrap()
        .extend(changes.as_object().unwrap().clone());
    order
}

#[tokio::test]
async fn each_broken_rule_of_a_payment_names_its_field() {
    let sandbox = Sandbox::start().await;
    let long = |length: usize| "x".repeat(length);
    let long_url = format!("https://shop.example/{}", long(1024));
    for (changes, field) in [
        (json!({ "amount": null }), "amount"),
        (json!({ "amount": 0 }), "amount"),
        (json!({ "amount": -1 }), "amount"),
        (json!({ "amount": "1.000,50" }), "amount"),
        (json!({ "amount": 0.4 }), "amount"),
        (json!({ "amount": "1.00001", "currency": "USD" }), "amount"),
        (json!({ "amount": true }), "amount"),
        (json!({ "currency": null }), "currency"),
        (json!({ "currency": "BTC" }), "currency"),
        (json!({ "subject": "" }), "subject"),
        (json!({ "subject": 5 }), "subject"),
        (json!({ "subject": long(256) }), "subject"),
        (json!({ "transaction_id": long(256) }), "transaction_id"),
        (json!({ "body": long(5121) }), "body"),
        (json!({ "bank_id": "Bawdfx" }), "bank_id"),
        (json!({ "return_url": long_url }), "return_url"),
        (json!({ "return_url": "javascript:alert(1)" }), "return_url"),
        (json!({ "cancel_url": "/relative" }), "cancel_url"),
        (json!({ "picture_url": "nope" }), "picture_url"),
        (json!({ "notify_url": "ftp://shop.example" }), "notify_url"),
        (json!({ "expires_date": "mañana" }), "expires_date"),
        (
            json!({ "expires_date": "2099-01-01T00:00:00" }),
            "expires_date",
        ),
        (
            json!({ "confirm_timeout_date": "x" }),
            "confirm_timeout_date",
        ),
        (json!({ "send_reminders": "yes" }), "send_reminders"),
        (json!({ "payer_email": "no-at-sign" }), "payer_email"),
        (
            json!({ "responsible_user_email": "a b@c" }),
            "responsible_user_email",
        ),
        (json!({ "integrator_fee": long(17) }), "integrator_fee"),
        (json!({ "integrator_fee": 100 }), "integrator_fee"),
        (
            json!({ "collect_account_uuid": long(256) }),
            "collect_account_uuid",
        ),
        (
            json!({ "mandatory_payment_method": long(256) }),
            "mandatory_payment_method",
        ),
        (
            json!({ "mandatory_payment_method": "CASH" }),
            "mandatory_payment_method",
        ),
        (
            json!({ "psp_client_merchant_name": "ab" }),
            "psp_client_merchant_name",
        ),
        (
            json!({ "contract_url": "https://shop.example/c.pdf" }),
            "fixed_payer_personal_identifier",
        ),
    ] {
        let fields = refused_fields(&sandbox, "/v3/payments", order(&changes)).await;
        assert_eq!(fields, [field], "{changes}");
    }
}

#[tokio::test]
async fn all_wrong_fields_are_reported_at_once() {
    let sandbox = Sandbox::start().await;
    let fields = refused_fields(&sandbox, "/v3/payments", json!({ "send_email": true })).await;
    assert_eq!(
        fields,
        ["amount", "currency", "payer_email", "payer_name", "subject"]
    );
}

#[tokio::test]
async fn the_limits_themselves_are_accepted() {
    let sandbox = Sandbox::start().await;
    sandbox
        .create(json!({
            "amount": "1000.1234", "currency": "CLF", "subject": "ñ".repeat(255), "body": "ñ".repeat(5120),
            "bank_id": "Bawdf", "integrator_fee": "1".repeat(16), "psp_client_merchant_name": "abc",
            "return_url": format!("https://s.example/{}", "x".repeat(1024 - 18)),
            "send_email": true, "payer_name": "Ana", "payer_email": "ana@example.com",
            "contract_url": "https://s.example/c.pdf", "fixed_payer_personal_identifier": "11.000.111-9",
        }))
        .await;
}

#[tokio::test]
async fn a_body_that_is_not_a_json_object_is_refused() {
    let sandbox = Sandbox::start().await;
    assert_eq!(sandbox.post("/v3/payments", json!([1])).await.status, 400);
    let broken = crate::harness::send(
        sandbox
            .request(reqwest::Method::POST, "/v3/payments")
            .header("x-api-key", "sandbox-api-key-not-real")
            .body("{"),
    )
    .await;
    assert_eq!(broken.status, 400);
    assert_eq!(broken.json()["status"], 400);
    let huge = json!({ "custom": "x".repeat(2 * 1024 * 1024) });
    let refused = sandbox.post("/v3/payments", huge).await;
    assert_eq!(refused.status, 413);
    assert_eq!(refused.json()["status"], 413);
    assert!(
        refused.json()["message"]
            .as_str()
            .unwrap()
            .contains("tamaño")
    );
}

#[tokio::test]
async fn refused_refunds_name_their_fields() {
    let sandbox = Sandbox::start().await;
    for (body, expected) in [
        (json!({}), vec!["payment_id", "type"]),
        (
            json!({ "payment_id": "x", "type": "partial" }),
            vec!["amount"],
        ),
        (json!({ "payment_id": "x", "type": "some" }), vec!["type"]),
        (
            json!({ "payment_id": "x", "type": "partial", "amount": "-1" }),
            vec!["amount"],
        ),
    ] {
        assert_eq!(
            refused_fields(&sandbox, "/v3/refunds", body).await,
            expected
        );
    }
    let body = json!({ "amount": "nope" });
    let fields = refused_fields(&sandbox, "/v3/payments/x/refunds", body).await;
    assert_eq!(fields, ["amount"]);
}

#[tokio::test]
async fn a_receiver_without_data_names_all_required_fields() {
    let sandbox = Sandbox::start().await;
    let fields = refused_fields(&sandbox, "/v3/receivers", json!({})).await;
    assert_eq!(fields.len(), 15);
    let fields = refused_fields(
        &sandbox,
        "/v3/receivers",
        json!({ "country_code": "CHL", "business_phone": "1", "bank_account_bank_id": "toolong" }),
    )
    .await;
    assert_eq!(fields.len(), 16);
}

#[tokio::test]
async fn a_prediction_needs_all_four_parameters() {
    let sandbox = Sandbox::start().await;
    let answer = sandbox.get("/v3/predict").await;
    assert_eq!(answer.status, 400);
    assert_eq!(answer.json()["errors"].as_array().unwrap().len(), 4);
}
