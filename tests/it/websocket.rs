//! `/v1/payments/{id}/status` as WebSocket: the handshake, the caps, and every way in which a connection ends.

use std::time::Duration;

use chasqui::token::StatusTokens;
use chasqui_payment::{AccountName, PaymentId, Secret};
use chasqui_tests::deadline::within;
use chasqui_tests::gateway_client::TestPayment;
use chasqui_tests::gateway_settings::{ACCOUNT, SHOP_ORIGIN, SIGNING_KEY};
use chasqui_tests::testbed::Testbed;
use chasqui_tests::websocket_watcher::{WatcherEvent, WebSocketWatcher, from_origin, request};
use serde_json::json;
use tokio::io::AsyncReadExt;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};

/// A valid token for any payment, made with the gateway's own key.
pub(crate) fn token_for(payment_id: &str) -> TestPayment {
    let tokens = StatusTokens::new(&[Secret::new(SIGNING_KEY)], Duration::from_secs(3600));
    let id = PaymentId::parse(payment_id).expect("an id");
    let account = AccountName::parse(ACCOUNT).expect("a name");
    let token = tokens.mint(&id, &account, chasqui_core::clock::now());
    TestPayment {
        id: payment_id.into(),
        token: token.text,
        fields: json!({}),
    }
}

fn retry_after_ms(reason: &str) -> u64 {
    reason
        .strip_prefix("retry_after_ms=")
        .and_then(|text| text.parse().ok())
        .unwrap_or_else(|| panic!("no retry_after_ms in {reason:?}"))
}

#[tokio::test]
async fn only_our_own_subprotocol_is_echoed_never_the_token() {
    let testbed = Testbed::start().await;
    let payment = testbed.create(json!({})).await;
    let request = request(&testbed.gateway.url, &payment.id, &payment.token);
    let (mut watcher, response) = WebSocketWatcher::handshake(request)
        .await
        .expect("a handshake");
    assert_eq!(response.headers()["sec-websocket-protocol"], "chasqui.v1");
    assert!(!response.headers().contains_key("sec-websocket-extensions"));
    assert_eq!(watcher.status().await["status"], "pending");
}

#[tokio::test]
async fn a_bad_token_closes_4401_after_the_handshake() {
    let testbed = Testbed::start().await;
    let (one, other) = (
        testbed.create(json!({})).await,
        testbed.create(json!({})).await,
    );
    for token in [other.token.as_str(), "nonsense", ""] {
        let wrong = TestPayment {
            token: token.into(),
            ..one.clone()
        };
        assert_eq!(testbed.watch(&wrong).await.closed().await.0, 4401);
    }
}

#[tokio::test]
async fn a_payment_unknown_to_khipu_closes_4404() {
    let testbed = Testbed::start().await;
    let mut watcher = testbed.watch(&token_for("unknown00000")).await;
    assert_eq!(watcher.closed().await.0, 4404);
}

#[tokio::test]
async fn a_wrong_khipu_api_key_closes_with_a_retryable_code() {
    let testbed = Testbed::start_with(|settings| {
        settings.account().khipu_api_key = "mistyped-not-real".into()
    })
    .await;
    let token = token_for("unknown00000");
    assert_eq!(testbed.watch(&token).await.closed().await.0, 4503);
    let answer = testbed.api.poll(&token, "", None).await;
    let answer = answer.expect_problem(503, "unavailable");
    assert!(!answer.header("retry-after").is_empty());
    let answer = testbed.api.poll(&token, "?wait=1", None).await;
    answer.expect_problem(503, "unavailable");
}

#[tokio::test]
async fn a_foreign_origin_is_refused_before_the_handshake() {
    let testbed = Testbed::start().await;
    let payment = testbed.create(json!({})).await;
    let request = || request(&testbed.gateway.url, &payment.id, &payment.token);
    let refusal = WebSocketWatcher::handshake(from_origin(request(), "https://evil.example"))
        .await
        .expect_err("refused");
    assert_eq!(refusal.status(), 403);
    for origin in [SHOP_ORIGIN, &testbed.gateway.url] {
        let (mut watcher, _) = WebSocketWatcher::handshake(from_origin(request(), origin))
            .await
            .expect("a handshake");
        assert_eq!(watcher.status().await["status"], "pending");
    }
}

#[tokio::test]
async fn an_oversized_message_closes_1009() {
    let testbed = Testbed::start().await;
    let payment = testbed.create(json!({})).await;
    let mut watcher = testbed.watch(&payment).await;
    watcher.status().await;
    watcher.send_text(r#"{"seen":11}"#.to_owned()).await;
    watcher.send_text("x".repeat(1024)).await;
    watcher.send_text("x".repeat(1025)).await;
    assert_eq!(watcher.closed().await.0, 1009);
}

/// An empty piece of a message, with more to come.
fn fragment(kind: Data) -> Message {
    Message::Frame(Frame::message(Vec::new(), OpCode::Data(kind), false))
}

#[tokio::test]
async fn more_than_32_messages_of_any_kind_in_a_minute_close_1008() {
    let testbed = Testbed::start().await;
    let kinds = [
        Message::text(r#"{"seen":1}"#),
        Message::binary(vec![7]),
        Message::Ping(Vec::new().into()),
        Message::Pong(Vec::new().into()),
    ];
    for kind in kinds {
        let payment = testbed.create(json!({})).await;
        let mut watcher = testbed.watch(&payment).await;
        watcher.status().await;
        for _ in 0..32 {
            watcher.send(kind.clone()).await;
        }
        testbed.sandbox.act(&payment.id, "authorize").await;
        watcher.until("verifying").await;
        watcher.send(kind.clone()).await;
        let closed = watcher.closed().await;
        assert_eq!(closed, (1008, "too many messages".into()), "{kind:?}");
    }
}

#[tokio::test]
async fn empty_fragments_count_although_their_message_never_ends() {
    let testbed = Testbed::start().await;
    let payment = testbed.create(json!({})).await;
    let mut watcher = testbed.watch(&payment).await;
    watcher.status().await;
    watcher.send(fragment(Data::Text)).await;
    for _ in 0..32 {
        watcher.send(fragment(Data::Continue)).await;
    }
    assert_eq!(watcher.closed().await.0, 1008);
}

#[tokio::test]
async fn one_watcher_too_many_of_a_payment_closes_4429_with_a_retry_time() {
    let testbed =
        Testbed::start_with(|settings| settings.limits.push("watchers_per_payment = 2".into()))
            .await;
    let (one, other) = (
        testbed.create(json!({})).await,
        testbed.create(json!({})).await,
    );
    let mut first = testbed.watch(&one).await;
    let mut second = testbed.watch(&one).await;
    first.status().await;
    second.status().await;
    let (code, reason) = testbed.watch(&one).await.closed().await;
    assert_eq!(code, 4429);
    assert!(retry_after_ms(&reason) > 0);
    assert_eq!(testbed.watch(&other).await.status().await["version"], 11);
}

#[tokio::test]
async fn one_watcher_too_many_of_an_address_closes_4429() {
    let testbed =
        Testbed::start_with(|settings| settings.limits.push("watchers_per_address = 1".into()))
            .await;
    let payment = testbed.create(json!({})).await;
    let mut first = testbed.watch(&payment).await;
    first.status().await;
    assert_eq!(testbed.watch(&payment).await.closed().await.0, 4429);
}

#[tokio::test]
async fn one_watcher_too_many_of_an_instance_closes_4503() {
    let testbed = Testbed::start_with(|settings| {
        settings
            .limits
            .extend(["watchers = 1".into(), "watchers_per_payment = 1".into()]);
    })
    .await;
    let payment = testbed.create(json!({})).await;
    let mut first = testbed.watch(&payment).await;
    first.status().await;
    assert_eq!(testbed.watch(&payment).await.closed().await.0, 4503);
}

#[tokio::test]
async fn many_watchers_of_a_payment_share_one_poll() {
    let (testbed, khipu_proxy) = Testbed::start_with_khipu_proxy(|_| {}).await;
    let payment = testbed.create(json!({})).await;
    khipu_proxy.hold_responses();
    let mut watchers = Vec::new();
    for _ in 0..20 {
        let mut watcher = testbed.watch(&payment).await;
        watcher.status().await;
        watchers.push(watcher);
    }
    khipu_proxy.until_held(1).await;
    testbed.sandbox.act(&payment.id, "conciliate").await;
    for watcher in &mut watchers {
        watcher.until("confirmed").await;
    }
    assert_eq!(khipu_proxy.request_count(&payment.id), 1);
    khipu_proxy.release_responses();
}

#[tokio::test]
async fn many_watchers_of_an_unknown_payment_share_one_lookup() {
    let (testbed, khipu_proxy) = Testbed::start_with_khipu_proxy(|_| {}).await;
    let direct = testbed
        .sandbox
        .create(json!({ "amount": 500, "currency": "CLP", "subject": "direct" }))
        .await;
    testbed.sandbox.act(&direct, "authorize").await;
    khipu_proxy.hold_responses();
    let token = token_for(&direct);
    let mut watchers = Vec::new();
    for _ in 0..10 {
        watchers.push(testbed.watch(&token).await);
    }
    khipu_proxy.until_held(1).await;
    for _ in 0..5 {
        // The store answers in order, so by then all ten lookups have found no payment.
        testbed.api.get("/healthz").await.expect(200);
    }
    assert_eq!(khipu_proxy.request_count(&direct), 1);
    khipu_proxy.release_responses();
    for watcher in &mut watchers {
        assert_eq!(watcher.status().await["status"], "verifying");
    }
}

#[tokio::test]
async fn an_idle_watcher_gets_heartbeats_that_a_script_can_see() {
    let testbed =
        Testbed::start_with(|settings| settings.limits.push("heartbeat_interval = \"1s\"".into()))
            .await;
    let payment = testbed.create(json!({})).await;
    let mut watcher = testbed.watch(&payment).await;
    watcher.status().await;
    for _ in 0..3 {
        watcher.heartbeat().await;
    }
    // No ping is due for two minutes.
    assert_eq!(watcher.pings, 0);
    testbed.sandbox.act(&payment.id, "conciliate").await;
    assert_eq!(watcher.until("confirmed").await["final"], true);
}

#[tokio::test]
async fn answers_to_pings_do_not_count_as_messages() {
    let testbed =
        Testbed::start_with(|settings| settings.limits.push("ping_interval = \"1s\"".into())).await;
    let payment = testbed.create(json!({})).await;
    let mut watcher = testbed.watch(&payment).await;
    watcher.status().await;
    for _ in 0..32 {
        watcher.send_text(r#"{"seen":1}"#.into()).await;
    }
    for _ in 0..3 {
        watcher.pinged().await;
    }
    watcher.send_text(r#"{"seen":1}"#.into()).await;
    assert_eq!(watcher.closed().await.0, 1008);
}

#[tokio::test]
async fn a_watcher_that_answers_pings_stays() {
    let testbed =
        Testbed::start_with(|settings| settings.limits.push("ping_interval = \"1s\"".into())).await;
    let payment = testbed.create(json!({})).await;
    let mut watcher = testbed.watch(&payment).await;
    for _ in 0..4 {
        watcher.pinged().await;
    }
    testbed.sandbox.act(&payment.id, "conciliate").await;
    assert_eq!(watcher.until("confirmed").await["final"], true);
}

#[tokio::test]
async fn a_watcher_that_answers_no_pings_is_closed() {
    let testbed =
        Testbed::start_with(|settings| settings.limits.push("ping_interval = \"1s\"".into())).await;
    let payment = testbed.create(json!({})).await;
    let mut watcher = testbed.watch(&payment).await;
    watcher.status().await;
    let mut stream = watcher.into_stream();
    let mut received = Vec::new();
    let ended = within("the gateway gives up", stream.read_to_end(&mut received)).await;
    // Two pings (0x89, no payload), then the end: an orderly one or a reset.
    assert!(
        received.ends_with(&[0x89, 0, 0x89, 0]) || ended.is_err(),
        "{received:?}"
    );
}

#[tokio::test]
async fn a_connection_at_its_maximum_age_closes_4508() {
    let testbed = Testbed::start_with(|settings| {
        settings.limits.extend([
            "ping_interval = \"1s\"".into(),
            "connection_lifetime = \"2s\"".into(),
        ]);
    })
    .await;
    let payment = testbed.create(json!({})).await;
    let mut watcher = testbed.watch(&payment).await;
    watcher.status().await;
    assert_eq!(watcher.closed().await.0, 4508);
}

#[tokio::test]
async fn a_final_status_is_sent_once_and_the_connection_closes() {
    let testbed = Testbed::start().await;
    let payment = testbed.create(json!({})).await;
    testbed.sandbox.act(&payment.id, "mark-paid").await;
    let status = testbed.api.until_status(&payment, "confirmed").await;
    let mut watcher = testbed.watch(&payment).await;
    assert_eq!(watcher.status().await, status);
    assert_eq!(
        watcher.next().await,
        WatcherEvent::Closed(1000, "final".into())
    );
}

#[tokio::test]
async fn the_receipt_of_a_payer_who_saw_it_ends_the_connection_at_once() {
    let testbed = Testbed::start().await;
    let payment = testbed.create(json!({})).await;
    testbed.sandbox.act(&payment.id, "conciliate").await;
    testbed.api.until_status(&payment, "confirmed").await;
    let mut watcher = testbed.watch(&payment).await;
    watcher.status().await;
    watcher.send_text(r#"{"seen":1000}"#.to_owned()).await;
    assert_eq!(watcher.closed().await, (1000, "final".into()));
}
