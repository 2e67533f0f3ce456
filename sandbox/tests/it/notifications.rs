//! Notifications, received by a real merchant endpoint.

use khipu_sandbox::SandboxOptions;
use serde_json::json;

use crate::harness::{Receiver, Sandbox};

#[tokio::test]
async fn a_conciliated_payment_is_notified_and_its_signature_verifies_over_the_raw_bytes() {
    let sandbox = Sandbox::start().await;
    let mut receiver = Receiver::start(&[]).await;
    let id = sandbox
        .create(json!({
            "notify_url": receiver.url, "notify_api_version": "3.0", "bank_id": "Bawde",
            "transaction_id": "A/1", "custom": "c", "body": "b", "responsible_user_email": "r@example.com",
        }))
        .await;
    sandbox.done(&id, "authorize").await;
    let payment = sandbox.done(&id, "conciliate").await;
    let arrival = receiver.next().await;
    assert_eq!(arrival.content_type, "application/json");
    assert!(arrival.is_signed_with(&SandboxOptions::default().secret));
    assert!(!arrival.is_signed_with(&SandboxOptions::default().api_key));
    let text = std::str::from_utf8(&arrival.body).unwrap();
    assert!(text.contains(r#""transaction_id":"A\/1""#) && !text.contains("://"));

    let body = arrival.json();
    let order: Vec<_> = [
        "payment_id",
        "receiver_id",
        "subject",
        "amount",
        "discount",
        "currency",
        "body",
        "receipt_url",
        "bank",
        "bank_id",
        "payer_name",
        "payer_email",
        "personal_identifier",
        "bank_account_number",
        "out_of_date_conciliation",
        "transaction_id",
        "authorizer_operation_code",
        "responsible_user_email",
        "payment_method",
        "conciliation_date",
        "custom",
    ]
    .iter()
    .map(|field| {
        let value = body
            .get(*field)
            .unwrap_or_else(|| panic!("{field} is missing"));
        assert_eq!(Some(value), payment.get(*field), "{field}");
        text.find(&format!(r#""{field}":"#)).unwrap()
    })
    .collect();
    assert!(order.is_sorted(), "fields in Khipu's order");
    assert_eq!(
        body.as_object().unwrap().len(),
        order.len(),
        "no status, nothing else"
    );
    assert_eq!(body["amount"], "24990.0000");
}

#[tokio::test]
async fn a_payment_that_the_receiver_marks_as_paid_is_notified() {
    let sandbox = Sandbox::start().await;
    let mut receiver = Receiver::start(&[]).await;
    let id = sandbox.create_notified(&receiver).await;
    sandbox.done(&id, "mark-paid").await;
    assert_eq!(receiver.next().await.payment_id(), id);
}

#[tokio::test]
async fn only_a_conciliation_is_notified() {
    let sandbox = Sandbox::start().await;
    let mut receiver = Receiver::start(&[]).await;
    for actions in [&["authorize", "reject"][..], &["abuse"], &["expire"]] {
        let id = sandbox.create_notified(&receiver).await;
        for action in actions {
            sandbox.done(&id, action).await;
        }
    }
    for other in [
        json!({ "notify_url": receiver.url, "notify_api_version": "1.3" }),
        json!({ "notify_url": receiver.url }),
        json!({ "notify_api_version": "3.0" }),
    ] {
        let id = sandbox.create(other).await;
        sandbox.done(&id, "conciliate").await;
    }
    // A later one is notified, so any of those would have arrived before it.
    let id = sandbox.create_notified(&receiver).await;
    sandbox.done(&id, "conciliate").await;
    sandbox.done(&id, "reverse").await;
    assert_eq!(receiver.next().await.payment_id(), id);
    assert_eq!(sandbox.attempts_until(1).await.len(), 1);
    assert!(receiver.is_empty());
}

#[tokio::test]
async fn a_notification_can_be_suppressed() {
    let sandbox = Sandbox::start().await;
    let mut receiver = Receiver::start(&[]).await;
    for action in ["conciliate", "mark-paid"] {
        let id = sandbox.create_notified(&receiver).await;
        let path = format!("/sandbox/payments/{id}/actions");
        let quiet = json!({ "action": action, "notify": false });
        let answer = sandbox.post(&path, quiet).await;
        assert_eq!(
            (answer.status, &answer.json()["status"]),
            (200, &json!("done"))
        );
    }
    // A later one is notified, so those would have arrived before it.
    let id = sandbox.create_notified(&receiver).await;
    let path = format!("/sandbox/payments/{id}/actions");
    let notified = json!({ "action": "conciliate", "notify": true });
    assert_eq!(sandbox.post(&path, notified).await.status, 200);
    assert_eq!(receiver.next().await.payment_id(), id);
    assert_eq!(sandbox.attempts_until(1).await.len(), 1);
    assert!(receiver.is_empty());
}

#[tokio::test]
async fn notify_is_refused_with_an_action_that_is_never_notified() {
    let sandbox = Sandbox::start().await;
    let id = sandbox.create(json!({})).await;
    let path = format!("/sandbox/payments/{id}/actions");
    let refused = sandbox
        .post(&path, json!({ "action": "reject", "notify": false }))
        .await;
    assert_eq!(refused.status, 400);
    assert!(refused.text.contains("notify") && refused.text.contains("reject"));
    assert_eq!(sandbox.status(&id).await.0, "pending");
}

#[tokio::test]
async fn attempts_are_counted_by_what_happened_to_them() {
    let sandbox = Sandbox::start().await;
    let mut receiver = Receiver::start(&[401]).await;
    let counts = async || sandbox.get("/sandbox/notifications/counts").await.json();
    let conciliate = async || {
        let id = sandbox.create_notified(&receiver).await;
        sandbox.done(&id, "conciliate").await;
    };
    sandbox
        .behave(json!({ "notify": { "corrupt_signature": 1 } }))
        .await;
    conciliate().await;
    sandbox.attempts_until(2).await;
    sandbox
        .behave(json!({ "notify": { "duplicate": 1 } }))
        .await;
    conciliate().await;
    sandbox.attempts_until(4).await;
    assert_eq!(
        counts().await,
        json!({ "attempts": 4, "accepted": 3, "dropped": 0, "duplicated": 1, "corrupted": 2 })
    );
    for _ in 0..4 {
        receiver.next().await;
    }
    sandbox
        .call(reqwest::Method::POST, "/sandbox/reset", None)
        .await;
    assert_eq!(counts().await["attempts"], 0);
}

#[tokio::test]
async fn retries_have_the_same_body_and_a_fresh_signature_until_a_200() {
    let sandbox = Sandbox::start().await;
    let mut receiver = Receiver::start(&[500, 302, 204]).await;
    let id = sandbox.create_notified(&receiver).await;
    sandbox.done(&id, "conciliate").await;
    let mut arrivals = Vec::new();
    for _ in 0..4 {
        arrivals.push(receiver.next().await);
    }
    for pair in arrivals.windows(2) {
        assert_eq!(pair[0].body, pair[1].body);
        assert!(pair[0].t() < pair[1].t(), "signed again");
        assert!(pair[1].is_signed_with(&SandboxOptions::default().secret));
    }
    let attempts = sandbox.attempts_until(4).await;
    let statuses: Vec<_> = attempts
        .iter()
        .map(|a| a["status"].as_u64().unwrap())
        .collect();
    let numbers: Vec<_> = attempts
        .iter()
        .map(|a| a["attempt"].as_u64().unwrap())
        .collect();
    assert_eq!(
        (statuses, numbers),
        (vec![500, 302, 204, 200], vec![1, 2, 3, 4])
    );
    let first = &attempts[0];
    assert_eq!(first["payment_id"], id);
    assert_eq!(first["url"], receiver.url);
    assert_eq!(first["signature"], arrivals[0].signature);
    assert_eq!(first["body"].as_str().unwrap().as_bytes(), arrivals[0].body);
    assert!(first["at"].as_str().unwrap().ends_with('Z'));
    assert_eq!(first["error"], json!(null));
}

#[tokio::test]
async fn a_receiver_that_is_down_gets_a_retry() {
    let sandbox = Sandbox::start().await;
    let gone = {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        format!("http://{}/hook", listener.local_addr().unwrap())
    };
    let id = sandbox
        .create(json!({ "notify_url": gone, "notify_api_version": "3.0" }))
        .await;
    sandbox.done(&id, "conciliate").await;
    let attempts = sandbox.attempts_until(3).await;
    assert!(attempts[0]["status"].is_null());
    assert!(!attempts[0]["error"].as_str().unwrap().is_empty());
    let of_one = sandbox
        .get(&format!("/sandbox/notifications?payment_id={id}"))
        .await;
    assert!(of_one.json().as_array().unwrap().len() >= 3);
    let of_none = sandbox.get("/sandbox/notifications?payment_id=x").await;
    assert_eq!(of_none.json(), json!([]));
}

#[tokio::test]
async fn a_thousand_payments_are_conciliated_and_notified_once_each() {
    let sandbox = Sandbox::start().await;
    let mut receiver = Receiver::start(&[]).await;
    let mut ids = std::collections::BTreeSet::new();
    for _ in 0..1000 {
        ids.insert(sandbox.create_notified(&receiver).await);
    }
    let actions = ids.iter().map(|id| sandbox.done(id, "conciliate"));
    for action in actions {
        action.await;
    }
    let mut notified = std::collections::BTreeSet::new();
    for _ in 0..1000 {
        notified.insert(receiver.next().await.payment_id());
    }
    assert_eq!(ids, notified);
    assert_eq!(sandbox.attempts_until(1000).await.len(), 1000);
}
