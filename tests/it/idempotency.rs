//! `Idempotency-Key`: a merchant may send a creation twice, and there is one payment, in spite of any failure in between.

use chasqui_tests::aborting_client::AbortingClient;
use chasqui_tests::deadline::eventually;
use chasqui_tests::gateway_client::{
    GatewayClient, HttpResponse, TestPayment, order, send, try_send,
};
use chasqui_tests::gateway_process::GatewayProcess;
use chasqui_tests::gateway_settings::{AccountSettings, GatewaySettings};
use chasqui_tests::khipu_proxy::KhipuProxy;
use chasqui_tests::sandbox::Sandbox;
use chasqui_tests::testbed::Testbed;
use futures_util::StreamExt;
use futures_util::future::join_all;
use futures_util::stream::FuturesUnordered;
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use tokio::net::TcpSocket;

const KEY: &str = "8e03978e-40d5-43dd-bc93-6894a57f9324";

/// How many send the same request at once.
const AT_ONCE: usize = 16;

fn creation(api: &GatewayClient, key: &str, more: &Value) -> RequestBuilder {
    api.call(Method::POST, "/v3/payments")
        .header("idempotency-key", key)
        .body(order(more.clone()).to_string())
}

async fn create(api: &GatewayClient, more: &Value) -> HttpResponse {
    send(creation(api, KEY, more)).await
}

#[track_caller]
fn expect_replay(again: &HttpResponse, first: &HttpResponse) {
    assert_eq!(first.header("idempotency-replayed"), "", "it was the first");
    assert_eq!(again.header("idempotency-replayed"), "true");
    assert_eq!(again.status, first.status, "{}", again.text());
    assert_eq!(again.body, first.body);
    let (token, first_token) = ("chasqui-status-token", first.header("chasqui-status-token"));
    assert_eq!(again.header(token).is_empty(), first_token.is_empty());
    for name in ["content-type", "cache-control"] {
        assert_eq!(again.header(name), first.header(name), "{name}");
    }
    assert_ne!(
        again.header("x-request-id"),
        first.header("x-request-id"),
        "a repeat is a request of its own"
    );
}

#[track_caller]
fn expect_under_way(answer: HttpResponse) {
    let answer = answer.expect_problem(409, "in_flight");
    let seconds: u64 = answer.header("retry-after").parse().expect("seconds");
    assert!(seconds > 0);
}

/// The ids of all payments at Khipu.
async fn made(sandbox: &Sandbox) -> Vec<String> {
    let id = |payment: &Value| payment["payment_id"].as_str().expect("an id").to_owned();
    sandbox.payments().await.iter().map(id).collect()
}

/// The id of the only payment at Khipu.
async fn only_one(sandbox: &Sandbox) -> String {
    let mut ids = made(sandbox).await;
    assert_eq!(ids.len(), 1, "{ids:?}");
    ids.remove(0)
}

#[tokio::test]
async fn the_same_request_gets_the_same_bytes_and_there_is_one_payment() {
    let testbed = Testbed::start().await;
    let first = create(&testbed.api, &json!({})).await.expect(200);
    for _ in 0..3 {
        expect_replay(&create(&testbed.api, &json!({})).await, &first);
    }
    let payment = TestPayment::from(&first);
    assert_eq!(only_one(&testbed.sandbox).await, payment.id);
    assert_eq!(testbed.api.status(&payment).await["status"], "pending");
}

#[tokio::test]
async fn while_the_first_is_in_progress_the_same_request_is_answered_409() {
    let (testbed, khipu_proxy) = Testbed::start_with_khipu_proxy(|_| {}).await;
    khipu_proxy.hold_responses();
    let mut answers: FuturesUnordered<_> = (0..AT_ONCE)
        .map(|_| send(creation(&testbed.api, KEY, &json!({}))))
        .collect();
    for _ in 1..AT_ONCE {
        expect_under_way(answers.next().await.expect("an answer"));
    }
    create(&testbed.api, &json!({ "subject": "Another" }))
        .await
        .expect_problem(422, "idempotency_key_reused");
    khipu_proxy.release_responses();
    let first = answers.next().await.expect("the first's").expect(200);
    expect_replay(&create(&testbed.api, &json!({})).await, &first);
    only_one(&testbed.sandbox).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_at_once_under_one_key_one_makes_the_payment() {
    const KEYS: usize = 20;
    let testbed = Testbed::start().await;
    for i in 0..KEYS {
        let key = format!("order-{i}");
        let answers = (0..AT_ONCE).map(|_| send(creation(&testbed.api, &key, &json!({}))));
        let (done, waiting): (Vec<_>, Vec<_>) = join_all(answers)
            .await
            .into_iter()
            .partition(|answer| answer.status == 200);
        waiting.into_iter().for_each(expect_under_way);
        let (first, again): (Vec<_>, Vec<_>) = done
            .into_iter()
            .partition(|answer| answer.header("idempotency-replayed").is_empty());
        assert_eq!(first.len(), 1, "each key is done once");
        for again in &again {
            expect_replay(again, &first[0]);
        }
    }
    assert_eq!(made(&testbed.sandbox).await.len(), KEYS);
}

#[tokio::test]
async fn another_body_under_the_same_key_is_refused() {
    let testbed = Testbed::start().await;
    let first = create(&testbed.api, &json!({})).await.expect(200);
    for other in [json!({ "amount": 24991 }), json!({ "custom": "" })] {
        create(&testbed.api, &other)
            .await
            .expect_problem(422, "idempotency_key_reused");
    }
    expect_replay(&create(&testbed.api, &json!({})).await, &first);
    only_one(&testbed.sandbox).await;
}

#[tokio::test]
async fn another_accounts_key_of_the_same_name_is_another_key() {
    let other = AccountSettings::other();
    let other_key = other.api_key.clone();
    let testbed = Testbed::start_with(|settings| settings.accounts.push(other)).await;
    let own = create(&testbed.api, &json!({})).await.expect(200);
    let others = create(&testbed.api.with_key(&other_key), &json!({ "amount": 1 })).await;
    let others = others.expect(200);
    assert_eq!(others.header("idempotency-replayed"), "");
    assert_ne!(own.json()["payment_id"], others.json()["payment_id"]);
    assert_eq!(made(&testbed.sandbox).await.len(), 2);
}

#[tokio::test]
async fn khipus_refusal_is_an_answer_and_khipu_is_not_asked_again() {
    let (testbed, khipu_proxy) = Testbed::start_with_khipu_proxy(|_| {}).await;
    let refused = json!({ "subject": "" });
    let first = create(&testbed.api, &refused).await;
    let first = first.expect_problem(400, "khipu_refused");
    for _ in 0..2 {
        expect_replay(&create(&testbed.api, &refused).await, &first);
    }
    assert_eq!(khipu_proxy.requests().len(), 1);
}

#[tokio::test]
async fn a_payment_made_by_a_khipu_that_failed_is_not_made_again_and_its_confirmation_arrives() {
    let mut testbed = Testbed::start().await;
    let order = json!({ "notify_url": testbed.merchant.url });
    testbed
        .sandbox
        .set_behaviour(json!({ "api": { "fail_after_effect": 1 } }))
        .await;
    create(&testbed.api, &order)
        .await
        .expect_problem(502, "khipu_failed");
    testbed.sandbox.set_behaviour(json!({})).await;
    for _ in 0..2 {
        create(&testbed.api, &order)
            .await
            .expect_problem(409, "outcome_unknown");
    }
    let id = only_one(&testbed.sandbox).await;
    testbed.sandbox.act(&id, "conciliate").await;
    assert_eq!(testbed.merchant.next().await.payment_id(), id);
    let status = testbed.api.get(&format!("/v1/payments/{id}/status")).await;
    assert_eq!(status.expect(200).json()["status"], "confirmed");
}

#[tokio::test]
async fn a_khipu_that_was_too_slow_is_not_asked_again() {
    let (testbed, khipu_proxy) = Testbed::start_with_khipu_proxy(|settings| {
        settings.khipu.push("timeout = \"500ms\"".into())
    })
    .await;
    khipu_proxy.hold_responses();
    create(&testbed.api, &json!({}))
        .await
        .expect_problem(504, "khipu_timed_out");
    khipu_proxy.release_responses();
    create(&testbed.api, &json!({}))
        .await
        .expect_problem(409, "outcome_unknown");
    only_one(&testbed.sandbox).await;
}

#[tokio::test]
async fn a_khipu_that_could_not_be_reached_is_asked_when_it_is_back() {
    // Bound, but not listening: connections are refused.
    let socket = TcpSocket::new_v4().expect("a socket");
    socket
        .bind(([127, 0, 0, 1], 0).into())
        .expect("a free port");
    let address = socket.local_addr().expect("bound");
    let testbed =
        Testbed::start_with(|settings| settings.khipu_url = format!("http://{address}")).await;
    for _ in 0..2 {
        create(&testbed.api, &json!({}))
            .await
            .expect_problem(502, "khipu_unreachable");
    }
    let listener = socket.listen(16).expect("it listens");
    let _khipu = KhipuProxy::on(listener, &testbed.sandbox.url);
    let first = create(&testbed.api, &json!({})).await.expect(200);
    expect_replay(&create(&testbed.api, &json!({})).await, &first);
    only_one(&testbed.sandbox).await;
}

#[tokio::test]
async fn a_temporary_failure_releases_the_key() {
    let (testbed, khipu_proxy) = Testbed::start_with_khipu_proxy(|_| {}).await;
    for (status, expected) in [(401, 502), (403, 502), (408, 408), (425, 425), (429, 429)] {
        khipu_proxy.respond_with(status, &[], r#"{"message":"no"}"#);
        let answer = create(&testbed.api, &json!({})).await;
        assert_eq!(answer.status, expected, "{}", answer.text());
    }
    khipu_proxy.forward_again();
    create(&testbed.api, &json!({})).await.expect(200);
    only_one(&testbed.sandbox).await;
}

#[tokio::test]
async fn a_merchant_that_hung_up_gets_the_answer_by_repeating() {
    let (testbed, khipu_proxy) = Testbed::start_with_khipu_proxy(|_| {}).await;
    khipu_proxy.hold_responses();
    let client = AbortingClient::send(creation(&testbed.api, KEY, &json!({}))).await;
    khipu_proxy.until_held(1).await;
    client.disconnect().await;
    expect_under_way(create(&testbed.api, &json!({})).await);
    khipu_proxy.release_responses();
    let answer = eventually("the answer is there", async || {
        let answer = create(&testbed.api, &json!({})).await;
        (answer.status != 409).then_some(answer)
    })
    .await
    .expect(200);
    assert_eq!(answer.header("idempotency-replayed"), "true");
    let payment = TestPayment::from(&answer);
    assert_eq!(only_one(&testbed.sandbox).await, payment.id);
    assert_eq!(testbed.api.status(&payment).await["status"], "pending");
}

#[tokio::test]
async fn a_request_that_an_instance_died_over_is_not_done_again() {
    let sandbox = Sandbox::start().await;
    let khipu_proxy = KhipuProxy::start(&sandbox.url).await;
    let settings = GatewaySettings::new(&khipu_proxy.url);
    let mut gateway = GatewayProcess::start(&settings).await;
    let api = GatewayClient::new(&gateway.url, &settings.accounts[0].api_key);
    khipu_proxy.hold_responses();
    let creating = tokio::spawn(try_send(creation(&api, KEY, &json!({}))));
    khipu_proxy.until_held(1).await;
    gateway.kill();
    assert!(
        creating.await.expect("no panic").is_none(),
        "the merchant has no delivery"
    );
    khipu_proxy.release_responses();
    gateway.restart().await;
    // The store cannot know that the instance that began it has ended.
    expect_under_way(create(&api, &json!({})).await);
    only_one(&sandbox).await;
}

#[tokio::test]
async fn an_answer_outlives_the_instance_that_gave_it() {
    let sandbox = Sandbox::start().await;
    let settings = GatewaySettings::new(&sandbox.url);
    let mut gateway = GatewayProcess::start(&settings).await;
    let api = GatewayClient::new(&gateway.url, &settings.accounts[0].api_key);
    let first = create(&api, &json!({})).await.expect(200);
    gateway.kill();
    gateway.restart().await;
    expect_replay(&create(&api, &json!({})).await, &first);
    only_one(&sandbox).await;
}

#[tokio::test]
async fn what_is_no_key_is_refused_before_anything_is_done() {
    let (testbed, khipu_proxy) = Testbed::start_with_khipu_proxy(|_| {}).await;
    let too_long = "k".repeat(256);
    for bad in ["", &too_long, "two words"] {
        send(creation(&testbed.api, bad, &json!({})))
            .await
            .expect_problem(400, "invalid_idempotency_key");
    }
    let two = creation(&testbed.api, KEY, &json!({})).header("idempotency-key", KEY);
    send(two)
        .await
        .expect_problem(400, "invalid_idempotency_key");
    assert!(khipu_proxy.requests().is_empty(), "khipu was asked");
    let longest = &too_long[1..];
    send(creation(&testbed.api, longest, &json!({})))
        .await
        .expect(200);
}

#[tokio::test]
async fn a_request_that_was_refused_here_can_be_mended_under_the_same_key() {
    let testbed = Testbed::start().await;
    create(&testbed.api, &json!({ "return_url": "ftp://shop.example" }))
        .await
        .expect_problem(400, "invalid_fields");
    let first = create(&testbed.api, &json!({})).await.expect(200);
    expect_replay(&create(&testbed.api, &json!({})).await, &first);
    only_one(&testbed.sandbox).await;
}

#[tokio::test]
async fn without_a_key_each_request_is_a_payment() {
    let testbed = Testbed::start().await;
    let (one, other) = (
        testbed.api.create(json!({})).await,
        testbed.api.create(json!({})).await,
    );
    assert_eq!(made(&testbed.sandbox).await, [one.id, other.id]);
}
