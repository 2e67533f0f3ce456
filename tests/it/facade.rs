//! `/v3`: Khipu's own API, with Chasqui in its place.

use chasqui_tests::aborting_client::AbortingClient;
use chasqui_tests::gateway_client::{GatewayClient, order, send};
use chasqui_tests::gateway_settings::{AccountSettings, GatewaySettings, KHIPU_API_KEY};
use chasqui_tests::in_process_gateway::InProcessGateway;
use chasqui_tests::sandbox::Sandbox;
use chasqui_tests::testbed::Testbed;
use reqwest::Method;
use serde_json::{Value, json};

#[tokio::test]
async fn the_merchant_sees_its_own_urls_again() {
    let testbed = Testbed::start().await;
    let urls = json!({
        "return_url": "https://shop.example/thanks",
        "cancel_url": "https://shop.example/cart",
        "notify_url": "https://shop.example/khipu",
    });
    for urls in [urls, json!({ "notify_url": "" })] {
        let payment = testbed.create(urls.clone()).await;
        let answer = testbed
            .api
            .get(&format!("/v3/payments/{}", payment.id))
            .await;
        let fields = answer.expect(200).json();
        for name in ["return_url", "cancel_url", "notify_url"] {
            let expected = urls.get(name).cloned().unwrap_or_else(|| json!(""));
            assert_eq!(fields[name], expected, "{name}");
        }
        assert_eq!(fields["amount"], "24990.0000");
    }
}

#[tokio::test]
async fn the_key_is_needed_and_khipus_own_key_does_not_do() {
    let testbed = Testbed::start().await;
    for (method, path) in [
        (Method::POST, "/v3/payments"),
        (Method::GET, "/v3/payments/zfxnocsow6mz"),
        (Method::DELETE, "/v3/payments/zfxnocsow6mz"),
        (Method::GET, "/v3/banks"),
        (Method::POST, "/v1/payments/zfxnocsow6mz/status-token"),
        (Method::GET, "/v1/payments?transaction_id=order-1"),
    ] {
        send(testbed.api.request(method.clone(), path))
            .await
            .expect_problem(401, "missing_api_key");
        send(testbed.api.with_key(KHIPU_API_KEY).call(method, path))
            .await
            .expect_problem(401, "invalid_api_key");
    }
}

#[tokio::test]
async fn banks_are_khipus_own() {
    let testbed = Testbed::start().await;
    let banks = testbed.api.get("/v3/banks").await.expect(200).json();
    assert!(
        banks["banks"]
            .as_array()
            .is_some_and(|banks| !banks.is_empty()),
        "{banks}"
    );
}

#[tokio::test]
async fn an_unknown_payment_is_404_and_so_is_another_accounts() {
    let other = AccountSettings::other();
    let other_key = other.api_key.clone();
    let testbed = Testbed::start_with(|settings| settings.accounts.push(other)).await;
    let payment = testbed.create(json!({})).await;
    let own = format!("/v3/payments/{}", payment.id);
    let stranger = testbed.api.with_key(&other_key);
    stranger
        .get(&own)
        .await
        .expect_problem(404, "unknown_payment");
    send(stranger.call(Method::DELETE, &own))
        .await
        .expect_problem(404, "unknown_payment");
    stranger
        .post(&format!("/v1/payments/{}/status-token", payment.id), "")
        .await
        .expect_problem(404, "unknown_payment");
    for path in ["/v3/payments/unknown00000", "/v3/payments/not%20an%20id"] {
        testbed
            .api
            .get(path)
            .await
            .expect_problem(404, "unknown_payment");
    }
    assert_eq!(testbed.api.status(&payment).await["status"], "pending");
}

#[tokio::test]
async fn a_deleted_payment_is_cancelled_and_a_late_confirmation_still_counts() {
    let mut testbed = Testbed::start().await;
    let payment = testbed.create(json!({})).await;
    let mut watcher = testbed.watch(&payment).await;
    watcher.status().await;
    send(
        testbed
            .api
            .call(Method::DELETE, &format!("/v3/payments/{}", payment.id)),
    )
    .await
    .expect(200);
    assert_eq!(watcher.until("cancelled").await["version"], 16);

    testbed.sandbox.act(&payment.id, "conciliate").await;
    assert_eq!(testbed.merchant.next().await.payment_id(), payment.id);
    watcher.until("confirmed").await;
    assert_eq!(watcher.closed().await.0, 1000);
}

#[tokio::test]
async fn a_deletion_whose_client_disconnected_still_cancels_the_payment() {
    let (testbed, khipu_proxy) = Testbed::start_with_khipu_proxy(|_| {}).await;
    let payment = testbed.create(json!({})).await;
    khipu_proxy.hold_responses();
    let path = format!("/v3/payments/{}", payment.id);
    let client = AbortingClient::send(testbed.api.call(Method::DELETE, &path)).await;
    khipu_proxy.until_held(1).await;
    client.disconnect().await;
    // Khipu's response to the deletion is held back; nothing else reports the deletion.
    khipu_proxy.respond_with(503, &[], "");
    khipu_proxy.release_responses();
    testbed.api.until_status(&payment, "cancelled").await;
}

#[tokio::test]
async fn a_confirmed_payment_is_never_read_as_an_older_answer_of_khipus() {
    let (mut testbed, khipu_proxy) = Testbed::start_with_khipu_proxy(|_| {}).await;
    let payment = testbed.create(json!({})).await;
    khipu_proxy.hold_responses();
    let mut watcher = testbed.watch(&payment).await;
    watcher.status().await;
    // Khipu's response, pending, is held back.
    khipu_proxy.until_held(1).await;
    testbed.sandbox.act(&payment.id, "conciliate").await;
    assert_eq!(testbed.merchant.next().await.payment_id(), payment.id);
    let path = format!("/v3/payments/{}", payment.id);
    let (answer, ()) = tokio::join!(testbed.api.get(&path), async {
        khipu_proxy.until_held(2).await;
        khipu_proxy.release_responses();
    });
    assert_eq!(answer.expect(200).json()["status"], "done");
}

#[tokio::test]
async fn the_requests_id_is_echoed_or_made() {
    let testbed = Testbed::start().await;
    let banks = || testbed.api.call(Method::GET, "/v3/banks");
    let answer = send(banks().header("x-request-id", "order-7:try.1")).await;
    assert_eq!(answer.header("x-request-id"), "order-7:try.1");
    for made in [banks(), banks().header("x-request-id", "a b\"c")] {
        assert_eq!(send(made).await.header("x-request-id").len(), 32);
    }
    let refused = testbed.api.request(Method::GET, "/v3/banks");
    send(refused.header("x-request-id", "mine"))
        .await
        .expect_problem(401, "missing_api_key");
}

async fn expect_retryable(api: &GatewayClient, status: u16, code: &str) -> Value {
    let answer = api.post("/v3/payments", order(json!({})).to_string()).await;
    let answer = answer.expect_problem(status, code);
    let seconds: u64 = answer.header("retry-after").parse().expect("seconds");
    assert!(seconds > 0);
    answer.json()
}

#[tokio::test]
async fn a_failing_khipu_is_502_or_504_with_retry_after() {
    let testbed =
        Testbed::start_with(|settings| settings.khipu.push("timeout = \"500ms\"".into())).await;
    for status in [500, 503] {
        testbed
            .sandbox
            .set_behaviour(json!({ "api": { "error_rate": 1, "status": status } }))
            .await;
        expect_retryable(&testbed.api, 502, "khipu_failed").await;
    }
    testbed
        .sandbox
        .set_behaviour(json!({ "api": { "latency_ms": 20_000 } }))
        .await;
    expect_retryable(&testbed.api, 504, "khipu_timed_out").await;
}

#[tokio::test]
async fn a_khipu_that_cannot_be_reached_is_502_and_nothing_was_done() {
    let closed = tokio::net::TcpListener::bind("127.0.0.1:0").await;
    let address = closed
        .and_then(|listener| listener.local_addr())
        .expect("a port");
    let settings = GatewaySettings::new(&format!("http://{address}"));
    let gateway = InProcessGateway::start(&settings).await;
    let api = GatewayClient::new(&gateway.url, &settings.accounts[0].api_key);
    expect_retryable(&api, 502, "khipu_unreachable").await;
}

#[tokio::test]
async fn khipus_retry_after_is_passed_on() {
    let (testbed, khipu_proxy) = Testbed::start_with_khipu_proxy(|_| {}).await;
    for (status, code) in [(429, "khipu_refused"), (503, "khipu_failed")] {
        khipu_proxy.respond_with(status, &[("retry-after", "7")], "{}");
        let answer = testbed.api.get("/v3/banks").await;
        assert_eq!(answer.header("retry-after"), "7");
        let passed = if status == 429 { 429 } else { 502 };
        answer.expect_problem(passed, code);
    }
    khipu_proxy.respond_with(401, &[], r#"{"status":401,"message":"no"}"#);
    let answer = testbed.api.get("/v3/banks").await;
    answer.expect_problem(502, "khipu_credentials_refused");
    khipu_proxy.respond_with(200, &[], "<html>");
    let answer = testbed
        .api
        .post("/v3/payments", order(json!({})).to_string());
    answer.await.expect_problem(502, "khipu_malformed");
}

#[tokio::test]
async fn a_merchant_who_knows_only_its_own_transaction_id_finds_its_payments() {
    let sandbox = Sandbox::start().await;
    let mut settings = GatewaySettings::new(&sandbox.url);
    let other = AccountSettings::other();
    settings.accounts.push(other.clone());
    let gateway = InProcessGateway::start(&settings).await;
    let api = GatewayClient::new(&gateway.url, &settings.accounts[0].api_key);
    let others = api.with_key(&other.api_key);
    let order = || json!({ "transaction_id": "pedido 7/ñ" });
    let (first, second) = (api.create(order()).await, api.create(order()).await);
    api.create(json!({ "transaction_id": "pedido 8" })).await;
    others.create(order()).await;
    sandbox.act(&first.id, "conciliate").await;
    let confirmed = api.until_status(&first, "confirmed").await;

    const PATH: &str = "/v1/payments?transaction_id=pedido%207%2F%C3%B1";
    let answer = api.get(PATH).await.expect(200);
    assert_eq!(answer.header("content-type"), "application/json");
    assert_eq!(answer.header("cache-control"), "no-store");
    let pending = api.status(&second).await;
    assert_eq!(answer.json(), json!({ "payments": [pending, confirmed] }));

    let unknown = api.get("/v1/payments?transaction_id=pedido").await;
    assert_eq!(unknown.expect(200).json(), json!({ "payments": [] }));
    let too_long = format!("?transaction_id={}", "%C3%B1".repeat(256));
    for query in ["", "?transaction_id=", too_long.as_str()] {
        api.get(&format!("/v1/payments{query}"))
            .await
            .expect_problem(400, "invalid_transaction_id");
    }
    let longest = format!("/v1/payments?transaction_id={}", "%C3%B1".repeat(255));
    api.get(&longest).await.expect(200);
    api.get("/v1/payments?transaction_id=a&transaction_id=b")
        .await
        .expect_problem(400, "invalid_query");
}
