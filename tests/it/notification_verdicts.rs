//! Notifications that are authentic: whether they agree with the payment, and what becomes of those that do not.

use chasqui_tests::gateway_client::Created;
use chasqui_tests::gateway_settings::{Account, RECEIVER_ID};
use chasqui_tests::notification::{body, now_ms, signature};
use chasqui_tests::testbed::Stage;
use serde_json::json;

use crate::notifications::{accepted, payment, refused, word};

#[tokio::test]
async fn an_unknown_payment_is_adopted_with_what_khipu_says_of_it() {
    let (stage, known) = payment().await;
    let direct = stage
        .sandbox
        .create(json!({ "amount": 500, "currency": "CLP", "subject": "direct" }))
        .await;
    stage.sandbox.act(&direct, "conciliate").await;
    // The amount is wrong, but nothing is believed of it anyway.
    accepted(&stage, &body(&direct, &json!({ "amount": "1.0000" }))).await;

    let direct = Created {
        id: direct.clone(),
        token: token(&stage, &direct).await,
        ..known
    };
    stage.api.until_status(&direct, "confirmed").await;
}

#[tokio::test]
async fn a_payment_that_khipu_does_not_know_either_is_answered_200_and_stays_unknown() {
    let (stage, _) = payment().await;
    accepted(&stage, &body("unknown00000", &json!({}))).await;
    stage
        .api
        .get("/v1/payments/unknown00000/status")
        .await
        .expect_problem(404, "unknown_payment");
}

async fn token(stage: &Stage, payment_id: &str) -> String {
    let path = format!("/v1/payments/{payment_id}/status-token");
    let minted = stage.api.post(&path, "").await.expect(200).json();
    assert!(minted["expires_at"].is_string(), "{minted}");
    minted["status_token"].as_str().expect("a token").into()
}

#[tokio::test]
async fn one_that_disagrees_with_the_payment_is_answered_200_and_never_confirms() {
    let mut stage = Stage::start().await;
    for wrong in [
        json!({ "amount": "24991.0000" }),
        json!({ "amount": "249900.0000" }),
        json!({ "amount": "" }),
        json!({ "amount": null }),
        json!({ "currency": "USD" }),
        json!({ "receiver_id": RECEIVER_ID + 1 }),
        json!({ "transaction_id": "another-order" }),
    ] {
        let payment = stage.create(json!({})).await;
        accepted(&stage, &body(&payment.id, &wrong)).await;
        assert_eq!(word(&stage, &payment).await, "pending", "{wrong}");
    }
    assert!(stage.deliveries_so_far().await.is_empty());
}

#[tokio::test]
async fn pesos_are_compared_whole() {
    let stage = Stage::start().await;
    let payment = stage.create(json!({ "amount": 11900.5 })).await;
    accepted(
        &stage,
        &body(&payment.id, &json!({ "amount": "11901.0000" })),
    )
    .await;
    assert_eq!(word(&stage, &payment).await, "confirmed");
}

#[tokio::test]
async fn a_transaction_id_that_is_absent_null_or_empty_is_the_same() {
    let stage = Stage::start().await;
    for created in [
        json!({}),
        json!({ "transaction_id": null }),
        json!({ "transaction_id": "" }),
    ] {
        for told in ["absent", "null", "empty"] {
            let payment = stage.create(created.clone()).await;
            let with_empty = body(&payment.id, &json!({ "transaction_id": "" }));
            let notification = match told {
                "absent" => body(&payment.id, &json!({ "transaction_id": null })),
                "null" => with_empty.replace(r#""transaction_id":"""#, r#""transaction_id":null"#),
                _ => with_empty,
            };
            accepted(&stage, &notification).await;
            assert_eq!(
                word(&stage, &payment).await,
                "confirmed",
                "created with {created}, notified with {told}"
            );
        }
    }
}

/// A second account at the same Khipu, with secrets of its own.
fn other_account() -> Account {
    Account {
        khipu_secrets: vec!["other-secret-not-real".into()],
        ..Account::other()
    }
}

#[tokio::test]
async fn another_accounts_secret_is_worth_nothing_here() {
    let stage = Stage::start_with(|settings| settings.accounts.push(other_account())).await;
    let payment = stage.create(json!({})).await;
    let body = body(&payment.id, &json!({}));
    let header = signature("other-secret-not-real", &now_ms().to_string(), &body);
    refused(&stage, &payment, Some(&header), &body).await;
}

#[tokio::test]
async fn another_accounts_payment_cannot_be_confirmed() {
    let stage = Stage::start_with(|settings| settings.accounts.push(other_account())).await;
    let payment = stage.create(json!({})).await;
    let body = body(&payment.id, &json!({}));
    let header = signature("other-secret-not-real", &now_ms().to_string(), &body);
    stage
        .api
        .notify_account("other", Some(&header), body)
        .await
        .expect_problem(400, "payment_of_another_account");
    assert_eq!(word(&stage, &payment).await, "pending");
}

#[tokio::test]
async fn one_that_says_nothing_of_a_conciliation_is_kept_and_khipu_decides() {
    let (stage, payment) = payment().await;
    accepted(
        &stage,
        &body(&payment.id, &json!({ "conciliation_date": null })),
    )
    .await;
    assert_eq!(word(&stage, &payment).await, "pending");
}

#[tokio::test]
async fn a_confirmation_after_the_expiry_says_so() {
    let stage = Stage::start().await;
    let payment = stage.create(json!({})).await;
    let late = body(&payment.id, &json!({ "out_of_date_conciliation": true }));
    accepted(&stage, &late).await;
    let status = stage.api.status(&payment).await;
    assert_eq!(status["status"], "confirmed", "{status}");
    assert_eq!(status["late"], true, "{status}");
}
