//! Several accounts on one gateway: what one of them signs or asks about another's payment gives it nothing, and changes
//! nothing for the other.

use chasqui_tests::deadline::eventually;
use chasqui_tests::gateway_client::TestPayment;
use chasqui_tests::gateway_settings::{AccountSettings, GatewaySettings, RECEIVER_ID};
use chasqui_tests::notification::{body, now_ms, signature, signed};
use chasqui_tests::testbed::Testbed;
use serde_json::json;

use crate::both_stores::on_both_stores;
use crate::notifications::accepted;

const OTHER_SECRET: &str = "other-secret-not-real";

on_both_stores! {
    an_account_cannot_squat_a_payment_by_notifying_of_it_first
    a_notification_of_the_owner_that_comes_second_is_kept_and_believed
    a_notification_whose_account_cannot_be_checked_is_sent_again
    a_notification_of_anothers_payment_is_refused_and_changes_nothing
    a_transaction_id_that_khipu_trims_loses_nothing
    a_mismatch_is_checked_at_once_and_khipus_answer_decides
}

async fn start(storage: Option<String>) -> Testbed {
    let testbed = Testbed::start_with(|settings: &mut GatewaySettings| {
        settings.accounts.push(AccountSettings {
            khipu_secrets: vec![OTHER_SECRET.into()],
            receiver_id: RECEIVER_ID + 1,
            ..AccountSettings::new("other")
        });
        if let Some(storage) = storage {
            settings.storage = storage;
        }
    })
    .await;
    let lost = json!({ "notify": { "drop": 1 } });
    testbed.sandbox.set_behaviour(lost).await;
    testbed
}

/// The other account signs a notification about a payment that is not its own, and unknown here.
async fn squat(testbed: &Testbed, payment_id: &str) {
    let forged = body(payment_id, &json!({ "receiver_id": RECEIVER_ID + 1 }));
    let header = signature(OTHER_SECRET, &now_ms().to_string(), &forged);
    let answer = testbed.api.notify_account("other", Some(&header), forged);
    answer.await.expect(200);
}

/// A payment of the first account, created at Khipu without the gateway.
async fn made_at_khipu(testbed: &Testbed) -> String {
    let order = json!({ "amount": 24990, "currency": "CLP", "subject": "direct" });
    testbed.sandbox.create(order).await
}

/// The payment as its own merchant may watch it.
async fn owned(testbed: &Testbed, payment_id: &str) -> TestPayment {
    let path = format!("/v1/payments/{payment_id}/status-token");
    let minted = testbed.api.post(&path, "").await.expect(200).json();
    TestPayment {
        id: payment_id.to_owned(),
        token: minted["status_token"].as_str().expect("a token").to_owned(),
        fields: json!({}),
    }
}

async fn an_account_cannot_squat_a_payment_by_notifying_of_it_first(testbed: Testbed) {
    let id = made_at_khipu(&testbed).await;
    squat(&testbed, &id).await;
    let payment = owned(&testbed, &id).await;
    assert_eq!(testbed.api.status(&payment).await["status"], "pending");
    let other = testbed.api.with_key(&testbed.settings.accounts[1].api_key);
    let path = format!("/v1/payments/{id}/status");
    other
        .get(&path)
        .await
        .expect_problem(404, "unknown_payment");
    let notification = body(&id, &json!({}));
    accepted(&testbed, &notification).await;
    assert_eq!(testbed.api.status(&payment).await["status"], "confirmed");
}

async fn a_notification_of_the_owner_that_comes_second_is_kept_and_believed(testbed: Testbed) {
    let id = made_at_khipu(&testbed).await;
    squat(&testbed, &id).await;
    testbed.sandbox.act(&id, "conciliate").await;
    let notification = body(&id, &json!({}));
    accepted(&testbed, &notification).await;
    let payment = owned(&testbed, &id).await;
    assert_eq!(testbed.api.status(&payment).await["status"], "confirmed");
}

async fn a_notification_whose_account_cannot_be_checked_is_sent_again(testbed: Testbed) {
    let id = made_at_khipu(&testbed).await;
    squat(&testbed, &id).await;
    let down = json!({ "notify": { "drop": 1 }, "api": { "error_rate": 1, "status": 500 } });
    testbed.sandbox.set_behaviour(down).await;
    let notification = body(&id, &json!({}));
    let header = signed(&notification);
    let answer = testbed.api.notify(Some(&header), notification.clone());
    answer.await.expect_problem(503, "unavailable");
    testbed
        .sandbox
        .set_behaviour(json!({ "notify": { "drop": 1 } }))
        .await;
    eventually("khipu's repetition is kept", async || {
        let answer = testbed
            .api
            .notify(Some(&header), notification.clone())
            .await;
        (answer.status == 200).then_some(())
    })
    .await;
    let payment = owned(&testbed, &id).await;
    assert_eq!(testbed.api.status(&payment).await["status"], "confirmed");
}

async fn a_notification_of_anothers_payment_is_refused_and_changes_nothing(testbed: Testbed) {
    let payment = testbed.create(json!({})).await;
    let forged = body(&payment.id, &json!({ "receiver_id": RECEIVER_ID + 1 }));
    let header = signature(OTHER_SECRET, &now_ms().to_string(), &forged);
    let answer = testbed.api.notify_account("other", Some(&header), forged);
    answer
        .await
        .expect_problem(400, "payment_of_another_account");
    assert_eq!(testbed.api.status(&payment).await["status"], "pending");
}

async fn a_transaction_id_that_khipu_trims_loses_nothing(testbed: Testbed) {
    let payment = testbed
        .create(json!({ "transaction_id": " order-17 " }))
        .await;
    let trimmed = body(&payment.id, &json!({ "transaction_id": "order-17" }));
    accepted(&testbed, &trimmed).await;
    assert_eq!(testbed.api.status(&payment).await["status"], "confirmed");
}

async fn a_mismatch_is_checked_at_once_and_khipus_answer_decides(mut testbed: Testbed) {
    let payment = testbed
        .create(json!({ "transaction_id": "order-17" }))
        .await;
    // Without watchers and requests: only the notification makes the gateway poll Khipu.
    testbed.sandbox.act(&payment.id, "conciliate").await;
    let mangled = body(&payment.id, &json!({ "transaction_id": "order 17" }));
    accepted(&testbed, &mangled).await;
    let delivery = testbed.merchant.next().await;
    assert_eq!(delivery.payment_id(), payment.id);
    assert_eq!(delivery.header("chasqui-source"), "reconciliation");
    assert_eq!(delivery.json()["transaction_id"], "order-17");
}
