//! `/v3`: Khipu's own API, with Chasqui in its place.

use chasqui_tests::aborting_client::AbortingClient;
use chasqui_tests::gateway_client::{GatewayClient, TestPayment, order, send};
use chasqui_tests::gateway_settings::{ACCOUNT, AccountSettings, GatewaySettings, KHIPU_API_KEY};
use chasqui_tests::in_process_gateway::InProcessGateway;
use chasqui_tests::sandbox::Sandbox;
use chasqui_tests::testbed::Testbed;
use reqwest::Method;
use serde_json::{Value, json};

#[tokio::test]
async fn a_payment_is_created_with_khipus_own_answer_a_token_and_a_url() {
    let testbed = Testbed::start().await;
    let payment = testbed.create(json!({})).await;
    for name in [
        "payment_id",
        "payment_url",
        "simplified_transfer_url",
        "transfer_url",
        "app_url",
        "status_token",
    ] {
        assert!(
            payment.fields[name].is_string(),
            "{name}: {}",
            payment.fields
        );
    }
    assert_eq!(
        payment.fields["status_url"],
        format!("{}/v1/payments/{}/status", testbed.gateway.url, payment.id)
    );
    let at_khipu = testbed.sandbox.payment(&payment.id).await;
    assert_eq!(at_khipu["notify_api_version"], "3.0");
    let notify_url = at_khipu["notify_url"].as_str().expect("a URL");
    let ours = format!("{}/webhooks/khipu/{ACCOUNT}?ref=", testbed.gateway.url);
    assert!(notify_url.starts_with(&ours), "{notify_url}");
}

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
async fn unknown_fields_pass_both_ways_and_amounts_stay_as_they_came() {
    let (testbed, khipu_proxy) = Testbed::start_with_khipu_proxy(|_| {}).await;
    let sent = r#"{"amount":1000.10,"currency":"USD","subject":"a\/b","tomorrow":{"b":1,"a":[1.50]},"big":12345678901234567890}"#;
    testbed.api.post("/v3/payments", sent).await.expect(200);
    let calls = khipu_proxy.requests();
    let call = calls.last().expect("khipu was called");
    let body = String::from_utf8_lossy(&call.body);
    for part in [
        r#""amount":1000.10,"#,
        r#""tomorrow":{"b":1,"a":[1.50]}"#,
        r#""big":12345678901234567890"#,
    ] {
        assert!(body.contains(part), "{part} is missing from {body}");
    }
    assert_eq!(call.headers["x-api-key"], KHIPU_API_KEY);

    let answered = r#"{"payment_id":"tomorrow0001","amount":1.50,"tomorrow":{"b":1.0,"a":[]}}"#;
    khipu_proxy.respond_with(200, &[], answered);
    let answer = testbed.api.post("/v3/payments", sent).await.expect(200);
    let text = answer.text();
    let untouched = answered.trim_end_matches('}');
    assert!(text.starts_with(untouched), "{text}");
    assert!(TestPayment::from(answer.json()).token.len() > 100);
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
async fn khipus_own_refusal_passes_with_its_words_and_fields() {
    let testbed = Testbed::start().await;
    let refused = json!({ "subject": "", "bank_id": "too-long" });
    let answer = testbed
        .api
        .post("/v3/payments", order(refused).to_string())
        .await;
    let problem = answer.expect_problem(400, "khipu_refused").json();
    assert_eq!(problem["message"], "Error de validación");
    let fields: Vec<_> = problem["errors"]
        .as_array()
        .expect("errors")
        .iter()
        .map(|error| (error["field"].as_str(), error["message"].is_string()))
        .collect();
    assert!(fields.contains(&(Some("subject"), true)), "{problem}");
    assert!(fields.contains(&(Some("bank_id"), true)), "{problem}");
}

#[tokio::test]
async fn what_chasqui_cannot_accept_itself_is_refused_in_the_same_shape() {
    let testbed = Testbed::start().await;
    for (field, wrong) in [
        ("amount", json!({ "amount": "a lot" })),
        ("amount", json!({ "amount": null })),
        ("currency", json!({ "currency": "pesos" })),
        ("expires_date", json!({ "expires_date": "tomorrow" })),
    ] {
        let answer = testbed
            .api
            .post("/v3/payments", order(wrong).to_string())
            .await;
        let problem = answer.expect_problem(400, "invalid_fields").json();
        assert_eq!(problem["errors"][0]["field"], field, "{problem}");
    }
    let answer = testbed.api.post("/v3/payments", "{}").await;
    let problem = answer.expect_problem(400, "invalid_fields").json();
    assert_eq!(problem["message"], "Error de validación");
    let errors = ["amount", "currency", "subject"]
        .map(|field| json!({ "field": field, "message": "is required" }));
    assert_eq!(problem["errors"], json!(errors));
    let answer = testbed.api.post("/v3/payments", "amount=1").await;
    answer.expect_problem(400, "invalid_json");
    let large = order(json!({ "custom": "x".repeat(1024 * 1024) })).to_string();
    let answer = testbed.api.post("/v3/payments", large).await;
    answer.expect_problem(413, "too_large");
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
    answer.expect_problem(401, "khipu_credentials_refused");
    khipu_proxy.respond_with(200, &[], "<html>");
    let answer = testbed
        .api
        .post("/v3/payments", order(json!({})).to_string());
    answer.await.expect_problem(502, "khipu_malformed");
}

#[tokio::test]
async fn a_creation_that_failed_after_its_effect_is_adopted_with_the_merchants_urls() {
    let mut testbed = Testbed::start().await;
    testbed
        .sandbox
        .set_behaviour(json!({ "api": { "fail_after_effect": 1 } }))
        .await;
    let notified_at = json!({ "notify_url": testbed.merchant.url });
    let answer = testbed
        .api
        .post("/v3/payments", order(notified_at).to_string());
    answer.await.expect_problem(502, "khipu_failed");
    testbed.sandbox.set_behaviour(json!({})).await;

    let made = testbed.sandbox.payments().await;
    let id = made[0]["payment_id"].as_str().expect("an id").to_owned();
    testbed.sandbox.act(&id, "conciliate").await;
    assert_eq!(testbed.merchant.next().await.payment_id(), id);
    let status = testbed.api.get(&format!("/v1/payments/{id}/status")).await;
    assert_eq!(status.expect(200).json()["status"], "confirmed");
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
