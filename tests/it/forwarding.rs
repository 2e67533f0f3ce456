//! Khipu's other operations, which go on to Khipu as they came, and who may use them.

use chasqui_tests::deadline::within;
use chasqui_tests::gateway_client::{GatewayClient, order, send};
use chasqui_tests::gateway_settings::{KHIPU_API_KEY, RECEIVER_ID};
use chasqui_tests::testbed::Testbed;
use reqwest::Method;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A testbed, and a client whose key may do everything.
async fn start_with_any_operation() -> (Testbed, GatewayClient) {
    let mut key = String::new();
    let testbed = Testbed::start_with(|settings| {
        let account = settings.account();
        key = account.add_api_key(r#"allow = ["payments", "refunds", "other"]"#);
    })
    .await;
    let api = testbed.api.with_key(&key);
    (testbed, api)
}

#[tokio::test]
async fn every_operation_answers_as_khipu_does() {
    let (testbed, api) = start_with_any_operation().await;
    let payment = testbed.create(json!({})).await;
    testbed.sandbox.act(&payment.id, "conciliate").await;
    let receiver = json!({
        "admin_first_name": "Ana",
        "admin_last_name": "Soto",
        "admin_email": "ana@shop.example",
        "admin_phone": "+56 2 2345 6789",
        "business_identifier": "12345678-5",
        "business_category": "Zapatería",
        "business_name": "Zapatos Soto",
        "business_phone": "+56 2 2345 6789",
        "business_address_line_1": "Calle 1",
        "business_address_line_2": "Santiago",
        "business_address_line_3": "Chile",
        "contact_full_name": "Ana Soto",
        "contact_job_title": "Dueña",
        "contact_email": "ana@shop.example",
        "contact_phone": "+56 2 2345 6789",
        "country_code": "CL",
    });
    let predict = "/v3/predict?payer_email=a%40shop.example&bank_id=Bawdf&amount=1000&currency=CLP";
    let methods = format!("/v3/merchants/{RECEIVER_ID}/paymentMethods");
    let confirm = format!("/v3/payments/{}/confirm", payment.id);
    let refund = format!("/v3/payments/{}/refunds", payment.id);
    let wallet = json!({ "type": "partial", "payment_id": payment.id, "amount": "100" });
    let at_khipu = GatewayClient::new(&testbed.sandbox.url, KHIPU_API_KEY);
    for (method, path, body, is_repeatable) in [
        (Method::GET, "/v3/banks", "".to_owned(), true),
        // Its answer names a time.
        (Method::GET, predict, "".to_owned(), false),
        (Method::GET, &methods, "".to_owned(), true),
        (
            Method::GET,
            "/v3/refund-wallet/balance",
            "".to_owned(),
            true,
        ),
        (Method::POST, &confirm, "".to_owned(), true),
        (Method::POST, "/v3/receivers", receiver.to_string(), false),
        (
            Method::POST,
            &refund,
            json!({ "amount": 1000 }).to_string(),
            true,
        ),
        (Method::POST, "/v3/refunds", wallet.to_string(), false),
    ] {
        let call = |api: &GatewayClient| {
            let request = api.call(method.clone(), path);
            send(
                request
                    .header("content-type", "application/json")
                    .body(body.clone()),
            )
        };
        let answer = call(&api).await.expect(200);
        assert_eq!(answer.header("content-type"), "application/json", "{path}");
        let khipus = call(&at_khipu).await.expect(200);
        if is_repeatable {
            assert_eq!(answer.body, khipus.body, "{path}");
        } else {
            let fields = |answer: serde_json::Value| -> Vec<String> {
                answer
                    .as_object()
                    .expect("an object")
                    .keys()
                    .cloned()
                    .collect()
            };
            assert_eq!(fields(answer.json()), fields(khipus.json()), "{path}");
        }
    }
}

#[tokio::test]
async fn only_three_headers_the_query_and_the_body_reach_khipu() {
    let (testbed, khipu_proxy) = Testbed::start_with_khipu_proxy(|_| {}).await;
    let request = testbed.api.call(Method::GET, "/v3/predict?amount=1&x=%20");
    let request = request
        .header("accept", "application/json, */*;q=0.1")
        .header("accept-language", "pt")
        .header("content-type", "application/json")
        .header("cookie", "session=1")
        .header("authorization", "Bearer mine")
        .header("x-forwarded-for", "192.0.2.1")
        .header("referer", "https://shop.example");
    send(request).await;
    let requests = khipu_proxy.requests();
    let call = requests.last().expect("khipu was called");
    assert_eq!(call.path, "/v3/predict");
    assert_eq!(call.query.as_deref(), Some("amount=1&x=%20"));
    assert_eq!(call.headers["x-api-key"], KHIPU_API_KEY);
    assert_eq!(call.headers["accept"], "application/json, */*;q=0.1");
    assert_eq!(call.headers["accept-language"], "pt");
    assert_eq!(call.headers["content-type"], "application/json");
    for dropped in ["cookie", "authorization", "x-forwarded-for", "referer"] {
        assert!(!call.headers.contains_key(dropped), "{dropped}");
    }
}

#[tokio::test]
async fn the_language_of_a_creation_reaches_khipu() {
    let (testbed, khipu_proxy) = Testbed::start_with_khipu_proxy(|_| {}).await;
    let request = testbed.api.call(Method::POST, "/v3/payments");
    let request = request.header("accept-language", "en");
    let body = order(json!({})).to_string();
    // Without a content type: the body is JSON all the same.
    send(request.body(body)).await.expect(200);
    let requests = khipu_proxy.requests();
    let call = requests.last().expect("khipu was called");
    assert_eq!(call.headers["accept-language"], "en");
    assert_eq!(call.headers["content-type"], "application/json");
}

#[tokio::test]
async fn an_operation_of_tomorrow_passes_for_a_key_that_may_use_any() {
    let mut key = String::new();
    let (testbed, khipu_proxy) = Testbed::start_with_khipu_proxy(|settings| {
        key = settings.account().add_api_key(r#"allow = ["other"]"#);
    })
    .await;
    let any = testbed.api.with_key(&key);
    khipu_proxy.respond_once(201, "tomorrow's answer, of any form");
    let answer = any.post("/v3/tomorrow/x_1?y=2", "sent").await.expect(201);
    assert_eq!(answer.text(), "tomorrow's answer, of any form");
    let requests = khipu_proxy.requests();
    let call = requests.last().expect("khipu was called");
    assert_eq!(
        (&call.method, &call.path[..]),
        (&Method::POST, "/v3/tomorrow/x_1")
    );
    assert_eq!(&call.body[..], b"sent");
    khipu_proxy.respond_once(404, "");
    any.get("/v3/tomorrow")
        .await
        .expect_problem(404, "khipu_refused");
    khipu_proxy.respond_once(403, r#"{"status":403,"message":"Sin contrato"}"#);
    let refused = any.post("/v3/receivers", "{}").await;
    let refused = refused.expect_problem(403, "khipu_refused").json();
    assert_eq!(refused["message"], "Sin contrato");
    khipu_proxy.respond_once(302, "");
    any.get("/v3/tomorrow")
        .await
        .expect_problem(502, "khipu_malformed");
    send(any.call(Method::TRACE, "/v3/tomorrow"))
        .await
        .expect_problem(405, "unknown_method");

    let before = khipu_proxy.requests().len();
    testbed
        .api
        .get("/v3/tomorrow")
        .await
        .expect_problem(404, "unknown_url");
    testbed
        .api
        .post("/v3/receivers", "{}")
        .await
        .expect_problem(403, "key_not_allowed");
    any.get("/v3/banks")
        .await
        .expect_problem(403, "key_not_allowed");
    assert_eq!(khipu_proxy.requests().len(), before, "khipu was called");
}

#[tokio::test]
async fn another_spelling_of_an_operation_is_404() {
    let (testbed, api) = start_with_any_operation().await;
    let creation = order(json!({})).to_string();
    for path in [
        "/v3/payments/",
        "/v3//payments",
        "//v3/payments",
        "/v3/%70ayments",
        "/v3/Payments",
        "/v3/./payments/",
        "/v3/payments;a=b",
        "/v3//refunds",
        "/v3/refunds/",
        "/v3/Refunds",
        "/V3/payments",
        "/v3/",
    ] {
        // As raw bytes: an HTTP client would tidy some of these up.
        let request = format!(
            "POST {path} HTTP/1.1\r\nhost: x\r\nx-api-key: {}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{creation}",
            api.key,
            creation.len()
        );
        let answer = raw_exchange(&testbed.gateway.url, &request).await;
        assert!(answer.starts_with("HTTP/1.1 404"), "{path}: {answer}");
    }
    assert!(testbed.sandbox.payments().await.is_empty());
}

#[tokio::test]
async fn a_caller_without_a_key_learns_nothing_of_what_exists() {
    let testbed = Testbed::start().await;
    for (method, path) in [
        (Method::GET, "/v3/tomorrow"),
        (Method::GET, "/v3/payments/"),
        (Method::GET, "/v1/tomorrow"),
        (Method::PUT, "/v3/payments"),
        (Method::PUT, "/v1/payments"),
        (Method::POST, "/v3/refunds"),
    ] {
        let request = testbed.api.request(method.clone(), path);
        send(request).await.expect_problem(401, "missing_api_key");
        let wrong = testbed.api.with_key("chq_wrong").call(method, path);
        send(wrong).await.expect_problem(401, "invalid_api_key");
    }
    testbed
        .api
        .get("/v1/tomorrow")
        .await
        .expect_problem(404, "unknown_url");
    send(testbed.api.call(Method::PUT, "/v3/payments"))
        .await
        .expect_problem(405, "unknown_method");
}

#[tokio::test]
async fn a_key_is_refused_once_it_has_expired() {
    let (mut expired, mut valid) = (String::new(), String::new());
    let testbed = Testbed::start_with(|settings| {
        let account = settings.account();
        expired = account.add_api_key(r#"expires_at = "2026-01-01T00:00:00Z""#);
        valid = account.add_api_key(r#"expires_at = "2999-01-01T00:00:00Z""#);
    })
    .await;
    let answer = testbed.api.with_key(&expired).get("/v3/banks").await;
    answer.expect_problem(401, "expired_api_key");
    testbed
        .api
        .with_key(&valid)
        .get("/v3/banks")
        .await
        .expect(200);
}

#[tokio::test]
async fn a_key_that_sends_too_much_is_told_when_to_come_back() {
    let mut other = String::new();
    let testbed = Testbed::start_with(|settings| {
        settings.limits.push("requests_per_second = 1".into());
        other = settings.account().add_api_key(r#"allow = ["payments"]"#);
    })
    .await;
    // A payment that does not exist: Khipu is asked once.
    let status = "/v1/payments?transaction_id=x";
    for _ in 0..2 {
        testbed.api.get(status).await.expect(200);
    }
    let limited = testbed.api.get(status).await;
    assert_eq!(limited.header("retry-after"), "1");
    limited.expect_problem(429, "rate_limited");
    testbed.api.with_key(&other).get(status).await.expect(200);
}

/// Sends a request's bytes as they are, and returns the answer's.
async fn raw_exchange(gateway_url: &str, request: &str) -> String {
    let address = gateway_url.trim_start_matches("http://");
    let mut stream = TcpStream::connect(address).await.expect("connected");
    stream.write_all(request.as_bytes()).await.expect("sent");
    let mut answer = Vec::new();
    within("the answer's end", stream.read_to_end(&mut answer))
        .await
        .expect("an answer");
    String::from_utf8_lossy(&answer).into_owned()
}
