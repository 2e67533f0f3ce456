//! Several accounts on one gateway: what one of them signs or asks about the payment of another is of no use to it, and
//! takes nothing from the other.

use chasqui_tests::deadline::eventually;
use chasqui_tests::gateway_client::Created;
use chasqui_tests::gateway_settings::{Account, RECEIVER_ID, Settings};
use chasqui_tests::notification::{body, now_ms, signature, signed};
use chasqui_tests::testbed::Stage;
use serde_json::json;

use crate::both_stores::on_both_stores;
use crate::notifications::accepted;

const OTHER_SECRET: &str = "other-secret-not-real";

on_both_stores! {
    an_account_cannot_squat_a_payment_by_notifying_of_it_first
    a_notification_of_the_owner_that_comes_second_is_kept_and_believed
    a_notification_that_cannot_be_told_whose_is_sent_again
    a_notification_of_anothers_payment_is_refused_and_changes_nothing
    a_transaction_id_that_khipu_trims_loses_nothing
    a_mismatch_is_asked_about_at_once_and_khipus_answer_decides
}

async fn start(storage: Option<String>) -> Stage {
    let stage = Stage::start_with(|settings: &mut Settings| {
        settings.accounts.push(Account {
            khipu_secrets: vec![OTHER_SECRET.into()],
            receiver_id: RECEIVER_ID + 1,
            ..Account::new("other")
        });
        if let Some(storage) = storage {
            settings.storage = storage;
        }
    })
    .await;
    let lost = json!({ "notify": { "drop": 1 } });
    stage.sandbox.behave(lost).await;
    stage
}

/// The other account signs a notification about a payment that is not its own, and unknown here.
async fn squat(stage: &Stage, payment_id: &str) {
    let forged = body(payment_id, &json!({ "receiver_id": RECEIVER_ID + 1 }));
    let header = signature(OTHER_SECRET, &now_ms().to_string(), &forged);
    let answer = stage.api.notify_account("other", Some(&header), forged);
    answer.await.expect(200);
}

/// A payment of the first account, made past the gateway.
async fn made_at_khipu(stage: &Stage) -> String {
    let order = json!({ "amount": 24990, "currency": "CLP", "subject": "direct" });
    stage.sandbox.create(order).await
}

/// The payment as its own merchant may watch it.
async fn owned(stage: &Stage, payment_id: &str) -> Created {
    let path = format!("/v1/payments/{payment_id}/status-token");
    let minted = stage.api.post(&path, "").await.expect(200).json();
    Created {
        id: payment_id.to_owned(),
        token: minted["status_token"].as_str().expect("a token").to_owned(),
        fields: json!({}),
    }
}

async fn an_account_cannot_squat_a_payment_by_notifying_of_it_first(stage: Stage) {
    let id = made_at_khipu(&stage).await;
    squat(&stage, &id).await;
    let payment = owned(&stage, &id).await;
    assert_eq!(stage.api.status(&payment).await["status"], "pending");
    let other = stage.api.with_key(&stage.settings.accounts[1].api_key);
    let path = format!("/v1/payments/{id}/status");
    other
        .get(&path)
        .await
        .expect_problem(404, "unknown_payment");
    let notification = body(&id, &json!({}));
    accepted(&stage, &notification).await;
    assert_eq!(stage.api.status(&payment).await["status"], "confirmed");
}

async fn a_notification_of_the_owner_that_comes_second_is_kept_and_believed(stage: Stage) {
    let id = made_at_khipu(&stage).await;
    squat(&stage, &id).await;
    stage.sandbox.act(&id, "conciliate").await;
    let notification = body(&id, &json!({}));
    accepted(&stage, &notification).await;
    let payment = owned(&stage, &id).await;
    assert_eq!(stage.api.status(&payment).await["status"], "confirmed");
}

async fn a_notification_that_cannot_be_told_whose_is_sent_again(stage: Stage) {
    let id = made_at_khipu(&stage).await;
    squat(&stage, &id).await;
    let down = json!({ "notify": { "drop": 1 }, "api": { "error_rate": 1, "status": 500 } });
    stage.sandbox.behave(down).await;
    let notification = body(&id, &json!({}));
    let header = signed(&notification);
    let answer = stage.api.notify(Some(&header), notification.clone());
    answer.await.expect_problem(503, "unavailable");
    stage
        .sandbox
        .behave(json!({ "notify": { "drop": 1 } }))
        .await;
    eventually("khipu's repetition is kept", async || {
        let answer = stage.api.notify(Some(&header), notification.clone()).await;
        (answer.status == 200).then_some(())
    })
    .await;
    let payment = owned(&stage, &id).await;
    assert_eq!(stage.api.status(&payment).await["status"], "confirmed");
}

async fn a_notification_of_anothers_payment_is_refused_and_changes_nothing(stage: Stage) {
    let payment = stage.create(json!({})).await;
    let forged = body(&payment.id, &json!({ "receiver_id": RECEIVER_ID + 1 }));
    let header = signature(OTHER_SECRET, &now_ms().to_string(), &forged);
    let answer = stage.api.notify_account("other", Some(&header), forged);
    answer
        .await
        .expect_problem(400, "payment_of_another_account");
    assert_eq!(stage.api.status(&payment).await["status"], "pending");
}

async fn a_transaction_id_that_khipu_trims_loses_nothing(stage: Stage) {
    let payment = stage
        .create(json!({ "transaction_id": " order-17 " }))
        .await;
    let trimmed = body(&payment.id, &json!({ "transaction_id": "order-17" }));
    accepted(&stage, &trimmed).await;
    assert_eq!(stage.api.status(&payment).await["status"], "confirmed");
}

async fn a_mismatch_is_asked_about_at_once_and_khipus_answer_decides(mut stage: Stage) {
    let payment = stage.create(json!({ "transaction_id": "order-17" })).await;
    // Nobody watches and nobody asks: the notification alone has Khipu asked.
    stage.sandbox.act(&payment.id, "conciliate").await;
    let mangled = body(&payment.id, &json!({ "transaction_id": "order 17" }));
    accepted(&stage, &mangled).await;
    let delivery = stage.merchant.next().await;
    assert_eq!(delivery.payment_id(), payment.id);
    assert_eq!(delivery.header("chasqui-source"), "reconciliation");
    assert_eq!(delivery.json()["transaction_id"], "order-17");
}
