//! Every setting of `PUT /sandbox/behaviour`.

use std::time::{Duration, Instant};

use khipu_sandbox::SandboxOptions;
use serde_json::{Value, json};

use crate::harness::{Receiver, Sandbox, eventually};

async fn conciliated(sandbox: &Sandbox, receiver: &Receiver) -> String {
    let id = sandbox.create_notified(receiver).await;
    sandbox.done(&id, "conciliate").await;
    id
}

#[tokio::test]
async fn a_put_replaces_all_and_absent_fields_take_defaults() {
    let sandbox = Sandbox::start().await;
    let defaults = sandbox.get("/sandbox/behaviour").await.json();
    assert_eq!(
        defaults,
        json!({
            "conciliation_delay_ms": 4000, "refund_delay_ms": 4000,
            "notify": { "drop": 0.0, "duplicate": 0.0, "delay_ms": 0, "reorder": 0.0, "corrupt_signature": 0.0 },
            "api": { "latency_ms": 0, "answer_delay_ms": 0, "error_rate": 0.0, "status": 500, "fail_after_effect": 0.0 },
        })
    );
    let put = json!({ "conciliation_delay_ms": null, "notify": { "drop": 0.5 } });
    let shown = sandbox.put("/sandbox/behaviour", put).await.json();
    assert_eq!(shown["conciliation_delay_ms"], Value::Null);
    assert_eq!(shown["notify"]["drop"], 0.5);
    sandbox.behave(json!({})).await;
    assert_eq!(sandbox.get("/sandbox/behaviour").await.json(), defaults);
}

#[tokio::test]
async fn an_unknown_field_is_named_and_nothing_changes() {
    let sandbox = Sandbox::start().await;
    let before = sandbox.get("/sandbox/behaviour").await.json();
    for (body, field) in [
        (json!({ "notify": { "dorp": 1 } }), "dorp"),
        (json!({ "latency": 1 }), "latency"),
        (json!({ "notify": { "drop": 2 } }), "notify.drop"),
        (json!({ "api": { "status": 200 } }), "api.status"),
    ] {
        let refused = sandbox.put("/sandbox/behaviour", body).await;
        assert_eq!(refused.status, 400);
        let message = refused.json()["message"].as_str().unwrap().to_owned();
        assert!(message.contains(field), "{message}");
    }
    assert_eq!(sandbox.get("/sandbox/behaviour").await.json(), before);
}

#[tokio::test]
async fn drop_sends_nothing_and_keeps_retrying() {
    let sandbox = Sandbox::start().await;
    let mut receiver = Receiver::start(&[]).await;
    sandbox.behave(json!({ "notify": { "drop": 1 } })).await;
    let id = conciliated(&sandbox, &receiver).await;
    let attempts = sandbox.attempts_until(3).await;
    assert!(
        attempts
            .iter()
            .all(|attempt| attempt["injected"] == json!(["drop"]))
    );
    assert!(receiver.is_empty());
    sandbox.behave(json!({})).await;
    assert_eq!(receiver.next().await.payment_id(), id);
}

#[tokio::test]
async fn duplicate_sends_the_same_bytes_and_signature_twice() {
    let sandbox = Sandbox::start().await;
    let mut receiver = Receiver::start(&[]).await;
    sandbox
        .behave(json!({ "notify": { "duplicate": 1 } }))
        .await;
    conciliated(&sandbox, &receiver).await;
    let (one, two) = (receiver.next().await, receiver.next().await);
    assert_eq!((one.body, one.signature), (two.body, two.signature));
    let attempts = sandbox.attempts_until(2).await;
    assert_eq!(attempts.len(), 2);
    assert!(attempts.iter().all(|attempt| attempt["attempt"] == 1));
}

#[tokio::test]
async fn delay_ms_holds_the_first_attempt() {
    let sandbox = Sandbox::start().await;
    let mut receiver = Receiver::start(&[]).await;
    sandbox
        .behave(json!({ "notify": { "delay_ms": 300 } }))
        .await;
    let begun = Instant::now();
    conciliated(&sandbox, &receiver).await;
    receiver.next().await;
    assert!(begun.elapsed() >= Duration::from_millis(300));
}

#[tokio::test]
async fn reorder_lets_the_next_notification_overtake() {
    let sandbox = Sandbox::start().await;
    let mut receiver = Receiver::start(&[]).await;
    sandbox.behave(json!({ "notify": { "reorder": 1 } })).await;
    let first = conciliated(&sandbox, &receiver).await;
    let second = conciliated(&sandbox, &receiver).await;
    assert_eq!(receiver.next().await.payment_id(), second);
    assert_eq!(receiver.next().await.payment_id(), first);
}

#[tokio::test]
async fn reorder_releases_the_last_notification() {
    let sandbox = Sandbox::start().await;
    let mut receiver = Receiver::start(&[]).await;
    sandbox.behave(json!({ "notify": { "reorder": 1 } })).await;
    let only = conciliated(&sandbox, &receiver).await;
    assert_eq!(receiver.next().await.payment_id(), only);
}

#[tokio::test]
async fn corrupt_signature_does_not_verify() {
    let sandbox = Sandbox::start().await;
    let mut receiver = Receiver::start(&[401]).await;
    sandbox
        .behave(json!({ "notify": { "corrupt_signature": 1 } }))
        .await;
    conciliated(&sandbox, &receiver).await;
    let wrong = receiver.next().await;
    assert!(!wrong.is_signed_with(&SandboxOptions::default().secret));
    let attempts = sandbox.attempts_until(1).await;
    assert_eq!(attempts[0]["injected"], json!(["corrupt_signature"]));
}

#[tokio::test]
async fn latency_ms_slows_the_api_but_not_the_control_api() {
    let sandbox = Sandbox::start().await;
    sandbox
        .behave(json!({ "api": { "latency_ms": 200 } }))
        .await;
    let begun = Instant::now();
    assert_eq!(sandbox.get("/v3/banks").await.status, 200);
    assert!(begun.elapsed() >= Duration::from_millis(200));
}

/// A call made before a change may be answered after it, with the old state.
#[tokio::test]
async fn answer_delay_ms_outdates_answers() {
    let sandbox = Sandbox::start().await;
    sandbox
        .behave(json!({ "api": { "answer_delay_ms": 500 } }))
        .await;
    eventually(async || {
        let id = sandbox.create(json!({})).await;
        let asked = async { (sandbox.status(&id).await.0, Instant::now()) };
        let changed = async {
            sandbox.done(&id, "conciliate").await;
            Instant::now()
        };
        let ((status, answered_at), changed_at) = tokio::join!(asked, changed);
        (status == "pending" && answered_at > changed_at).then_some(())
    })
    .await;
}

#[tokio::test]
async fn error_rate_fails_without_effect_and_with_the_chosen_status() {
    let sandbox = Sandbox::start().await;
    sandbox
        .behave(json!({ "api": { "error_rate": 1, "status": 503 } }))
        .await;
    let order = json!({ "amount": 1, "currency": "CLP", "subject": "x" });
    let failed = sandbox.post("/v3/payments", order).await;
    assert_eq!(
        (failed.status, failed.json()["status"].as_u64()),
        (503, Some(503))
    );
    assert_eq!(sandbox.get("/sandbox/payments").await.json(), json!([]));
    sandbox.behave(json!({ "api": { "error_rate": 1 } })).await;
    assert_eq!(sandbox.get("/v3/banks").await.status, 500);
}

#[tokio::test]
async fn a_payment_can_be_read_while_the_api_fails() {
    let sandbox = Sandbox::start().await;
    let id = sandbox.create(json!({})).await;
    let payment = sandbox.payment(&id).await;
    sandbox.behave(json!({ "api": { "error_rate": 1 } })).await;
    let path = format!("/sandbox/payments/{id}");
    assert_eq!(sandbox.get(&path).await.json(), payment);
    let unknown = sandbox.get("/sandbox/payments/aaaaaaaaaaaa").await;
    assert_eq!(unknown.status, 404);
}

#[tokio::test]
async fn fail_after_effect_answers_500_after_the_effect() {
    let sandbox = Sandbox::start().await;
    let id = sandbox.create(json!({})).await;
    sandbox.done(&id, "conciliate").await;
    sandbox
        .behave(json!({ "api": { "fail_after_effect": 1, "status": 503 } }))
        .await;
    let refund = json!({ "type": "partial", "payment_id": id, "amount": "1000" });
    assert_eq!(sandbox.post("/v3/refunds", refund).await.status, 500);
    let missing = sandbox.get("/v3/payments/aaaaaaaaaaaa").await;
    assert_eq!(missing.status, 404, "what failed anyway fails as it would");
    sandbox.behave(json!({})).await;
    assert_eq!(sandbox.payment(&id).await["total_refunded"], "1000.0000");
}

#[tokio::test]
async fn the_same_seed_fails_the_same_calls() {
    let mut runs = Vec::new();
    for seed in [3, 3, 4] {
        let sandbox = Sandbox::start_with(SandboxOptions {
            seed,
            ..SandboxOptions::default()
        })
        .await;
        sandbox
            .behave(json!({ "api": { "error_rate": 0.5 } }))
            .await;
        let mut statuses = Vec::new();
        for _ in 0..32 {
            statuses.push(sandbox.get("/v3/banks").await.status);
        }
        runs.push(statuses);
    }
    assert_eq!(runs[0], runs[1]);
    assert_ne!(runs[0], runs[2]);
}

#[tokio::test]
async fn conciliation_delay_ms_governs_the_bank_page() {
    let sandbox = Sandbox::start().await;
    sandbox
        .behave(json!({ "conciliation_delay_ms": 100 }))
        .await;
    let id = sandbox.create(json!({})).await;
    let begun = Instant::now();
    sandbox
        .press(&format!("/payment/info/{id}/authorize"))
        .await;
    eventually(async || (sandbox.status(&id).await.0 == "done").then_some(())).await;
    assert!(begun.elapsed() >= Duration::from_millis(100));

    sandbox
        .behave(json!({ "conciliation_delay_ms": null }))
        .await;
    let never = sandbox.create(json!({})).await;
    sandbox
        .press(&format!("/payment/info/{never}/authorize"))
        .await;
    sandbox.behave(json!({ "conciliation_delay_ms": 0 })).await;
    let at_once = sandbox.create(json!({})).await;
    sandbox
        .press(&format!("/payment/info/{at_once}/authorize"))
        .await;
    eventually(async || (sandbox.status(&at_once).await.0 == "done").then_some(())).await;
    assert_eq!(sandbox.status(&never).await.0, "verifying");
}
