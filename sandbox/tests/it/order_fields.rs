//! Fields of a creation that limit what can happen to the payment later.

use jiff::{SignedDuration, Timestamp};
use khipu_sandbox::{SandboxAccount, SandboxOptions};
use reqwest::Method;
use serde_json::json;

use crate::harness::Sandbox;

#[tokio::test]
async fn a_mandatory_payment_method_is_the_only_one_that_pays() {
    let sandbox = Sandbox::start().await;
    for (mandatory, page, name, other_page, other) in [
        (
            "REGULAR_TRANSFER",
            "manual",
            "regular_transfer",
            "simplified",
            "SIMPLIFIED_TRANSFER",
        ),
        (
            "simplified_transfer",
            "simplified",
            "simplified_transfer",
            "manual",
            "REGULAR_TRANSFER",
        ),
    ] {
        let order =
            json!({ "mandatory_payment_method": mandatory, "return_url": "https://shop.example/" });
        let id = sandbox.create(order).await;
        let path = format!("/sandbox/payments/{id}/actions");
        let refused = sandbox
            .post(
                &path,
                json!({ "action": "authorize", "payment_method": other }),
            )
            .await;
        assert_eq!(refused.status, 409, "{}", refused.text);
        assert!(
            refused.text.contains("mandatory_payment_method"),
            "{}",
            refused.text
        );

        let pressed = sandbox
            .press(&format!("/payment/{other_page}/{id}/authorize"))
            .await;
        let shown = sandbox.get(pressed.header("location")).await;
        assert!(shown.text.contains("un solo medio de pago"), "{mandatory}");
        assert!(
            shown
                .text
                .contains(&format!("href=\"/payment/{page}/{id}\""))
        );
        assert!(!shown.text.contains("<form"));
        assert_eq!(sandbox.status(&id).await.0, "pending");

        let pressed = sandbox
            .press(&format!("/payment/info/{id}/authorize"))
            .await;
        assert_eq!(pressed.header("location"), "https://shop.example/");
        let payment = sandbox.payment(&id).await;
        assert_eq!(payment["status"], "verifying");
        assert_eq!(payment["payment_method"], name);
    }
}

#[tokio::test]
async fn a_fixed_payer_is_the_only_one_who_pays() {
    let sandbox = Sandbox::start().await;
    let order = json!({ "fixed_payer_personal_identifier": "11.000.111-K" });
    let id = sandbox.create(order).await;
    let page = sandbox.get(&format!("/payment/info/{id}")).await;
    assert!(page.text.contains("11.000.111-K") && page.text.contains("Autorizar con otro RUT"));
    let pressed = sandbox
        .press(&format!("/payment/info/{id}/authorize-as-another"))
        .await;
    let shown = sandbox.get(pressed.header("location")).await;
    assert!(
        shown.text.contains("No puedes pagar este cobro"),
        "{}",
        shown.text
    );
    assert_eq!(sandbox.status(&id).await.0, "pending");

    let path = format!("/sandbox/payments/{id}/actions");
    let by = |identifier: &str| json!({ "action": "authorize", "personal_identifier": identifier });
    let refused = sandbox.post(&path, by("22.222.222-2")).await;
    assert_eq!(refused.status, 409);
    assert!(
        refused.text.contains("fixed_payer_personal_identifier"),
        "{}",
        refused.text
    );
    let authorized = sandbox.post(&path, by("11000111-k")).await;
    assert_eq!(authorized.status, 200, "{}", authorized.text);
    assert_eq!(authorized.json()["personal_identifier"], "11000111-k");
}

#[tokio::test]
async fn anyone_pays_without_a_fixed_payer() {
    let sandbox = Sandbox::start().await;
    let id = sandbox.create(json!({})).await;
    let page = sandbox.get(&format!("/payment/info/{id}")).await;
    assert!(!page.text.contains("Autorizar con otro RUT"));
    let path = format!("/sandbox/payments/{id}/actions");
    let by = json!({ "action": "authorize", "personal_identifier": "22.222.222-2", "payment_method": "regular_transfer" });
    let authorized = sandbox.post(&path, by).await.json();
    assert_eq!(authorized["personal_identifier"], "22.222.222-2");
    assert_eq!(authorized["payment_method"], "regular_transfer");
}

#[tokio::test]
async fn the_payers_fields_are_only_for_authorize() {
    let sandbox = Sandbox::start().await;
    let id = sandbox.create(json!({})).await;
    let path = format!("/sandbox/payments/{id}/actions");
    for (body, field) in [
        (
            json!({ "action": "reject", "personal_identifier": "1" }),
            "personal_identifier",
        ),
        (
            json!({ "action": "conciliate", "payment_method": "REGULAR_TRANSFER" }),
            "payment_method",
        ),
        (
            json!({ "action": "authorize", "payment_method": "CASH" }),
            "payment_method",
        ),
    ] {
        let refused = sandbox.post(&path, body).await;
        assert_eq!(refused.status, 400, "{}", refused.text);
        assert_eq!(refused.json()["errors"][0]["field"], field);
    }
}

#[tokio::test]
async fn after_the_payout_only_the_wallet_refunds() {
    let sandbox = Sandbox::start().await;
    let now = Timestamp::now();
    let in_an_hour = now + SignedDuration::from_hours(1);
    for (payout, expected) in [(now, 400), (in_an_hour, 200)] {
        let id = sandbox
            .create(json!({ "confirm_timeout_date": payout.to_string() }))
            .await;
        sandbox.done(&id, "conciliate").await;
        let path = format!("/v3/payments/{id}/refunds");
        let refund = sandbox.post(&path, json!({ "amount": 1000 })).await;
        assert_eq!(refund.status, expected, "{}", refund.text);
        let from_wallet = json!({ "type": "partial", "payment_id": id, "amount": "1000" });
        let refund = sandbox.post("/v3/refunds", from_wallet).await;
        assert_eq!(refund.status, 200, "{}", refund.text);
    }
}

#[tokio::test]
async fn an_individual_charges_50000_pesos_at_most() {
    let sandbox = Sandbox::start_with(SandboxOptions {
        accounts: vec![SandboxAccount {
            name: "ana".to_owned(),
            receiver_id: 77,
            api_key: "key-ana".to_owned(),
            secret: "secret-ana".to_owned(),
        }],
        individuals: vec!["ana".to_owned()],
        ..SandboxOptions::default()
    })
    .await;
    for (key, amount, currency, expected) in [
        ("key-ana", "50000", "CLP", 200),
        ("key-ana", "50000.4", "CLP", 200),
        ("key-ana", "50000.5", "CLP", 400),
        ("key-ana", "50001", "CLP", 400),
        ("key-ana", "50001", "USD", 200),
        (&SandboxOptions::default().api_key, "50001", "CLP", 200),
    ] {
        let order = json!({ "amount": amount, "currency": currency, "subject": "x" });
        let answer = sandbox
            .call_as(key, Method::POST, "/v3/payments", order)
            .await;
        assert_eq!(answer.status, expected, "{key} {amount}: {}", answer.text);
        if expected == 400 {
            assert_eq!(answer.json()["errors"][0]["field"], "amount");
        }
    }
}
