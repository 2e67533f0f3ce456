//! `POST /sandbox/payments/{id}/actions`, the list and the reset.

use serde_json::json;

use crate::harness::{Receiver, Sandbox};

#[tokio::test]
async fn a_payment_goes_from_pending_through_verifying_to_done() {
    let sandbox = Sandbox::start().await;
    let id = sandbox.create(json!({})).await;
    let verifying = sandbox.done(&id, "authorize").await;
    assert_eq!(
        (&verifying["status"], &verifying["status_detail"]),
        (&json!("verifying"), &json!("pending"))
    );
    assert_eq!(verifying["conciliation_date"], json!(null));
    assert_eq!(verifying["bank_id"], "Bawdf");
    let done = sandbox.done(&id, "conciliate").await;
    assert_eq!(
        (&done["status"], &done["status_detail"]),
        (&json!("done"), &json!("normal"))
    );
    assert!(done["conciliation_date"].as_str().unwrap().ends_with('Z'));
    assert!(!done["receipt_url"].as_str().unwrap().is_empty());
    assert_eq!(done["payment_method"], "simplified_transfer");
    assert_eq!(done["out_of_date_conciliation"], false);
    assert_eq!(
        done,
        sandbox.payment(&id).await,
        "the answer is what GET shows"
    );
}

#[tokio::test]
async fn each_action_sets_khipus_status_and_detail() {
    let sandbox = Sandbox::start().await;
    for (actions, status, detail) in [
        (&["conciliate"][..], "done", "normal"),
        (&["reject"], "done", "rejected-by-payer"),
        (&["abuse"], "done", "marked-as-abuse"),
        (&["mark-paid"], "done", "marked-paid-by-receiver"),
        (
            &["authorize", "mark-paid"],
            "done",
            "marked-paid-by-receiver",
        ),
        (&["authorize", "reject"], "done", "rejected-by-payer"),
        (&["conciliate", "reverse"], "done", "reversed"),
        (&["mark-paid", "reverse"], "done", "reversed"),
        (&["expire"], "pending", "pending"),
        (&["authorize", "expire"], "verifying", "pending"),
        (&["authorize", "abuse"], "done", "marked-as-abuse"),
        (&["reject", "conciliate"], "done", "normal"),
        (&["abuse", "conciliate"], "done", "normal"),
        (&["reject", "authorize"], "verifying", "pending"),
        (&["abuse", "authorize"], "verifying", "pending"),
        (&["expire", "authorize"], "verifying", "pending"),
        (
            &["authorize", "reject", "expire"],
            "done",
            "rejected-by-payer",
        ),
        (&["reject", "authorize", "abuse"], "done", "marked-as-abuse"),
    ] {
        let id = sandbox.create(json!({})).await;
        for action in actions {
            sandbox.done(&id, action).await;
        }
        let expected = (status.to_owned(), detail.to_owned());
        assert_eq!(sandbox.status(&id).await, expected, "{actions:?}");
    }
}

#[tokio::test]
async fn impossible_actions_are_409_and_change_nothing() {
    let sandbox = Sandbox::start().await;
    for (before, action) in [
        (&[][..], "reverse"),
        (&["authorize"], "authorize"),
        (&["authorize"], "reverse"),
        (&["conciliate"], "authorize"),
        (&["conciliate"], "conciliate"),
        (&["conciliate"], "reject"),
        (&["conciliate"], "abuse"),
        (&["conciliate"], "mark-paid"),
        (&["conciliate"], "expire"),
        (&["reject", "authorize"], "authorize"),
        (&["reject"], "reject"),
        (&["reject"], "reverse"),
        (&["conciliate", "reverse"], "reverse"),
        (&["conciliate", "reverse"], "conciliate"),
        (&["conciliate"], "pay-refunds"),
    ] {
        let id = sandbox.create(json!({})).await;
        for action in before {
            sandbox.done(&id, action).await;
        }
        let was = sandbox.payment(&id).await;
        let refused = sandbox.act(&id, action).await;
        assert_eq!(refused.status, 409, "{before:?} then {action}");
        let message = refused.json()["message"].as_str().unwrap().to_owned();
        assert!(message.contains(action), "{message}");
        assert_eq!(was, sandbox.payment(&id).await);
    }
}

#[tokio::test]
async fn a_deleted_payment_takes_only_a_late_confirmation() {
    let sandbox = Sandbox::start().await;
    let id = sandbox.create(json!({})).await;
    let path = format!("/v3/payments/{id}");
    sandbox.call(reqwest::Method::DELETE, &path, None).await;
    for action in [
        "authorize",
        "reject",
        "abuse",
        "reverse",
        "mark-paid",
        "expire",
    ] {
        assert_eq!(sandbox.act(&id, action).await.status, 409, "{action}");
    }
    let late = sandbox.done(&id, "conciliate").await;
    assert_eq!(late["status_detail"], "normal");
}

#[tokio::test]
async fn an_expired_payment_can_still_be_conciliated_out_of_date() {
    let sandbox = Sandbox::start().await;
    let id = sandbox.create(json!({})).await;
    let expired = sandbox.done(&id, "expire").await;
    let expires: jiff::Timestamp = expired["expires_date"].as_str().unwrap().parse().unwrap();
    let ago = jiff::Timestamp::now().duration_since(expires);
    assert!(ago > jiff::SignedDuration::from_hours(3));
    assert_eq!(
        sandbox.done(&id, "conciliate").await["out_of_date_conciliation"],
        true
    );
}

#[tokio::test]
async fn a_payer_can_resume_after_giving_up_and_the_confirmation_is_notified() {
    let sandbox = Sandbox::start().await;
    let mut receiver = Receiver::start(&[]).await;
    for given_up in [
        &["reject"][..],
        &["authorize", "reject"],
        &["abuse"],
        &["authorize", "reject", "authorize", "abuse"],
    ] {
        let id = sandbox.create_notified(&receiver).await;
        for action in given_up {
            sandbox.done(&id, action).await;
        }
        let resumed = sandbox.done(&id, "authorize").await;
        assert_eq!(resumed["status"], "verifying", "{given_up:?}");
        assert_eq!(resumed["status_detail"], "pending", "{given_up:?}");
        assert_eq!(resumed["conciliation_date"], json!(null), "{given_up:?}");
        let done = sandbox.done(&id, "conciliate").await;
        assert_eq!(done["status_detail"], "normal", "{given_up:?}");
        assert_eq!(done["out_of_date_conciliation"], false, "{given_up:?}");
        let arrival = receiver.next().await;
        assert_eq!(arrival.payment_id(), id, "{given_up:?}");
        assert_eq!(
            arrival.json()["conciliation_date"],
            done["conciliation_date"]
        );
    }
    assert!(receiver.is_empty(), "giving up is not notified");
}

#[tokio::test]
async fn a_payer_who_resumes_after_expiry_is_conciliated_out_of_date() {
    let sandbox = Sandbox::start().await;
    let mut receiver = Receiver::start(&[]).await;
    for before in [
        &["expire"][..],
        &["authorize", "expire"],
        &["reject", "expire"],
    ] {
        let id = sandbox.create_notified(&receiver).await;
        for action in before {
            sandbox.done(&id, action).await;
        }
        let resumed = sandbox.done(&id, "authorize").await;
        assert_eq!(resumed["status"], "verifying", "{before:?}");
        let done = sandbox.done(&id, "conciliate").await;
        assert_eq!(done["status_detail"], "normal", "{before:?}");
        assert_eq!(done["out_of_date_conciliation"], true, "{before:?}");
        let body = receiver.next().await.json();
        assert_eq!(body["out_of_date_conciliation"], true, "{before:?}");
    }
}

#[tokio::test]
async fn an_unknown_action_or_payment_is_named() {
    let sandbox = Sandbox::start().await;
    let id = sandbox.create(json!({})).await;
    let unknown = sandbox.act(&id, "explode").await;
    assert_eq!(unknown.status, 400);
    assert!(unknown.text.contains("explode") && unknown.text.contains("mark-paid"));
    assert_eq!(sandbox.act("aaaaaaaaaaaa", "authorize").await.status, 404);
}

#[tokio::test]
async fn the_list_shows_every_payment_oldest_first() {
    let sandbox = Sandbox::start().await;
    let mut ids = Vec::new();
    for _ in 0..3 {
        ids.push(sandbox.create(json!({})).await);
    }
    let listed = sandbox.get("/sandbox/payments").await.json();
    let listed: Vec<_> = listed
        .as_array()
        .unwrap()
        .iter()
        .map(|payment| payment["payment_id"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(listed, ids);
}

#[tokio::test]
async fn reset_deletes_all_payments_and_restores_the_behaviour() {
    let sandbox = Sandbox::start().await;
    let mut receiver = Receiver::start(&[]).await;
    let id = sandbox.create_notified(&receiver).await;
    sandbox.done(&id, "conciliate").await;
    receiver.next().await;
    sandbox.attempts_until(1).await;
    sandbox
        .behave(json!({ "api": { "error_rate": 1.0 } }))
        .await;

    let reset = sandbox
        .call(reqwest::Method::POST, "/sandbox/reset", None)
        .await;
    assert_eq!(reset.status, 200);
    assert_eq!(sandbox.get(&format!("/v3/payments/{id}")).await.status, 404);
    assert_eq!(sandbox.get("/sandbox/payments").await.json(), json!([]));
    assert!(sandbox.attempts().await.is_empty());
    let behaviour = sandbox.get("/sandbox/behaviour").await.json();
    assert_eq!(behaviour["api"]["error_rate"], 0.0);
    assert_eq!(behaviour["conciliation_delay_ms"], 4000);
    assert_eq!(behaviour["refund_delay_ms"], 4000);
}
