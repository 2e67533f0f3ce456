//! Notifications that are authentic: whether they agree with the payment, and what becomes of those that do not.

use chasqui_tests::gateway_client::TestPayment;
use chasqui_tests::gateway_settings::{AccountSettings, RECEIVER_ID};
use chasqui_tests::notification::{body, now_ms, signature};
use chasqui_tests::testbed::Testbed;
use serde_json::json;

use crate::notifications::{accepted, payment, refused, word};

#[tokio::test]
async fn an_unknown_payment_is_adopted_as_khipu_describes_it() {
    let (testbed, known) = payment().await;
    let direct = testbed
        .sandbox
        .create(json!({ "amount": 500, "currency": "CLP", "subject": "direct" }))
        .await;
    testbed.sandbox.act(&direct, "conciliate").await;
    // The amount is wrong, but the notification is not believed anyway.
    accepted(&testbed, &body(&direct, &json!({ "amount": "1.0000" }))).await;

    let direct = TestPayment {
        id: direct.clone(),
        token: token(&testbed, &direct).await,
        ..known
    };
    testbed.api.until_status(&direct, "confirmed").await;
}

#[tokio::test]
async fn a_payment_that_khipu_does_not_know_either_is_answered_200_and_stays_unknown() {
    let (testbed, _) = payment().await;
    accepted(&testbed, &body("unknown00000", &json!({}))).await;
    testbed
        .api
        .get("/v1/payments/unknown00000/status")
        .await
        .expect_problem(404, "unknown_payment");
}

async fn token(testbed: &Testbed, payment_id: &str) -> String {
    let path = format!("/v1/payments/{payment_id}/status-token");
    let minted = testbed.api.post(&path, "").await.expect(200).json();
    assert!(minted["expires_at"].is_string(), "{minted}");
    minted["status_token"].as_str().expect("a token").into()
}

#[tokio::test]
async fn one_that_disagrees_with_the_payment_is_answered_200_and_never_confirms() {
    let mut testbed = Testbed::start().await;
    for wrong in [
        json!({ "amount": "24991.0000" }),
        json!({ "amount": "249900.0000" }),
        json!({ "amount": "" }),
        json!({ "amount": null }),
        json!({ "currency": "USD" }),
        json!({ "receiver_id": RECEIVER_ID + 1 }),
        json!({ "transaction_id": "another-order" }),
    ] {
        let payment = testbed.create(json!({})).await;
        accepted(&testbed, &body(&payment.id, &wrong)).await;
        assert_eq!(word(&testbed, &payment).await, "pending", "{wrong}");
    }
    assert!(testbed.deliveries_so_far().await.is_empty());
}

#[tokio::test]
async fn pesos_are_compared_whole() {
    let testbed = Testbed::start().await;
    let payment = testbed.create(json!({ "amount": 11900.5 })).await;
    accepted(
        &testbed,
        &body(&payment.id, &json!({ "amount": "11901.0000" })),
    )
    .await;
    assert_eq!(word(&testbed, &payment).await, "confirmed");
}

#[tokio::test]
async fn a_transaction_id_that_is_absent_null_or_empty_is_the_same() {
    let testbed = Testbed::start().await;
    for created in [
        json!({}),
        json!({ "transaction_id": null }),
        json!({ "transaction_id": "" }),
    ] {
        for form in ["absent", "null", "empty"] {
            let payment = testbed.create(created.clone()).await;
            let with_empty = body(&payment.id, &json!({ "transaction_id": "" }));
            let notification = match form {
                "absent" => body(&payment.id, &json!({ "transaction_id": null })),
                "null" => with_empty.replace(r#""transaction_id":"""#, r#""transaction_id":null"#),
                _ => with_empty,
            };
            accepted(&testbed, &notification).await;
            assert_eq!(
                word(&testbed, &payment).await,
                "confirmed",
                "created with {created}, notified with {form}"
            );
        }
    }
}

/// A second account at the same Khipu, with secrets of its own.
fn other_account() -> AccountSettings {
    AccountSettings {
        khipu_secrets: vec!["other-secret-not-real".into()],
        ..AccountSettings::other()
    }
}

#[tokio::test]
async fn another_accounts_secret_is_worth_nothing_here() {
    let testbed = Testbed::start_with(|settings| settings.accounts.push(other_account())).await;
    let payment = testbed.create(json!({})).await;
    let body = body(&payment.id, &json!({}));
    let header = signature("other-secret-not-real", &now_ms().to_string(), &body);
    refused(&testbed, &payment, Some(&header), &body).await;
}

#[tokio::test]
async fn another_accounts_payment_cannot_be_confirmed() {
    let testbed = Testbed::start_with(|settings| settings.accounts.push(other_account())).await;
    let payment = testbed.create(json!({})).await;
    let body = body(&payment.id, &json!({}));
    let header = signature("other-secret-not-real", &now_ms().to_string(), &body);
    testbed
        .api
        .notify_account("other", Some(&header), body)
        .await
        .expect_problem(400, "payment_of_another_account");
    assert_eq!(word(&testbed, &payment).await, "pending");
}

#[tokio::test]
async fn one_without_a_conciliation_is_kept_and_khipu_decides() {
    let (testbed, payment) = payment().await;
    accepted(
        &testbed,
        &body(&payment.id, &json!({ "conciliation_date": null })),
    )
    .await;
    assert_eq!(word(&testbed, &payment).await, "pending");
}

#[tokio::test]
async fn a_confirmation_after_the_expiry_is_marked_late() {
    let testbed = Testbed::start().await;
    let payment = testbed.create(json!({})).await;
    let late = body(&payment.id, &json!({ "out_of_date_conciliation": true }));
    accepted(&testbed, &late).await;
    let status = testbed.api.status(&payment).await;
    assert_eq!(status["status"], "confirmed", "{status}");
    assert_eq!(status["late"], true, "{status}");
}
