//! `/v1/payments/{id}/status` as JSON: who may ask, what is answered, how long it is held.

use std::time::{Duration, Instant};

use chasqui_tests::gateway_client::{HttpResponse, TestPayment, send};
use chasqui_tests::gateway_settings::{AccountSettings, SHOP_ORIGIN};
use chasqui_tests::testbed::Testbed;
use reqwest::Method;
use serde_json::json;

async fn from_origin(testbed: &Testbed, payment: &TestPayment, origin: &str) -> HttpResponse {
    let path = format!("/v1/payments/{}/status", payment.id);
    let request = testbed.api.request(Method::GET, &path);
    send(request.bearer_auth(&payment.token).header("origin", origin)).await
}

#[tokio::test]
async fn it_has_an_etag_is_never_stored_and_is_not_sent_twice() {
    let testbed = Testbed::start().await;
    let payment = testbed.create(json!({})).await;
    let first = testbed.api.poll(&payment, "", None).await.expect(200);
    assert_eq!(first.header("etag"), "\"11\"");
    assert_eq!(first.header("cache-control"), "no-store");
    assert_eq!(first.header("content-type"), "application/json");

    let second = testbed
        .api
        .poll(&payment, "", Some("\"11\""))
        .await
        .expect(304);
    assert!(second.body.is_empty());
    assert_eq!(second.header("etag"), "\"11\"");
    for other in ["\"0\"", "nonsense", ""] {
        testbed
            .api
            .poll(&payment, "", Some(other))
            .await
            .expect(200);
    }
}

#[tokio::test]
async fn a_held_request_is_answered_as_soon_as_something_changes() {
    let testbed = Testbed::start().await;
    let payment = testbed.create(json!({})).await;
    let started = Instant::now();
    let (answer, ()) = tokio::join!(
        testbed.api.poll(&payment, "?wait=25", Some("\"11\"")),
        testbed.sandbox.act(&payment.id, "conciliate"),
    );
    assert_eq!(answer.expect(200).json()["status"], "confirmed");
    assert!(
        started.elapsed() < Duration::from_secs(10),
        "it was held for {:?}",
        started.elapsed()
    );
}

#[tokio::test]
async fn a_held_request_is_answered_304_when_its_time_is_up() {
    let testbed = Testbed::start().await;
    let payment = testbed.create(json!({})).await;
    let started = Instant::now();
    testbed
        .api
        .poll(&payment, "?wait=1", Some("\"11\""))
        .await
        .expect(304);
    assert!(started.elapsed() >= Duration::from_secs(1));
    // A client without an ETag is answered at once.
    let started = Instant::now();
    testbed
        .api
        .poll(&payment, "?wait=60", None)
        .await
        .expect(200);
    assert!(started.elapsed() < Duration::from_secs(30));
}

#[tokio::test]
async fn a_wait_that_is_too_long_or_no_number_is_refused() {
    let testbed = Testbed::start().await;
    let payment = testbed.create(json!({})).await;
    for query in ["?wait=61", "?wait=-1", "?wait=soon", "?wait=1.5", "?wait="] {
        testbed
            .api
            .poll(&payment, query, None)
            .await
            .expect_problem(400, "invalid_wait");
    }
}

#[tokio::test]
async fn a_repeated_wait_parameter_is_refused() {
    let testbed = Testbed::start().await;
    let payment = testbed.create(json!({})).await;
    testbed
        .api
        .poll(&payment, "?wait=1&wait=2", None)
        .await
        .expect_problem(400, "invalid_query");
}

#[tokio::test]
async fn only_the_payments_own_token_opens_it() {
    let testbed = Testbed::start().await;
    let (one, other) = (
        testbed.create(json!({})).await,
        testbed.create(json!({})).await,
    );
    for token in [other.token.as_str(), "nonsense", "a.b.c"] {
        let stolen = TestPayment {
            token: token.into(),
            ..one.clone()
        };
        testbed
            .api
            .poll(&stolen, "", None)
            .await
            .expect_problem(401, "invalid_token");
    }
    let path = format!("/v1/payments/{}/status", one.id);
    send(testbed.api.request(Method::GET, &path))
        .await
        .expect_problem(401, "missing_token");
    // No secret is ever read from a query string.
    send(
        testbed
            .api
            .request(Method::GET, &format!("{path}?token={}", one.token)),
    )
    .await
    .expect_problem(401, "missing_token");
}

#[tokio::test]
async fn the_merchants_key_opens_its_own_payments_only() {
    let other = AccountSettings {
        khipu_api_key: "not-this-khipus-key".into(),
        ..AccountSettings::other()
    };
    let other_key = other.api_key.clone();
    let testbed = Testbed::start_with(|settings| settings.accounts.push(other)).await;
    let payment = testbed.create(json!({})).await;
    let path = format!("/v1/payments/{}/status", payment.id);
    assert_eq!(
        testbed.api.get(&path).await.expect(200).json()["version"],
        11
    );
    testbed
        .api
        .with_key(&other_key)
        .get(&path)
        .await
        .expect_problem(404, "unknown_payment");
    testbed
        .api
        .with_key("chq_nobodys")
        .get(&path)
        .await
        .expect_problem(401, "invalid_api_key");
}

#[tokio::test]
async fn a_page_of_an_allowed_origin_can_read_it_and_no_other_page_can() {
    let testbed = Testbed::start().await;
    let payment = testbed.create(json!({})).await;

    let own = testbed.gateway.url.clone();
    for origin in [SHOP_ORIGIN, own.as_str()] {
        let answer = from_origin(&testbed, &payment, origin).await.expect(200);
        assert_eq!(answer.header("access-control-allow-origin"), origin);
        let exposed = answer.header("access-control-expose-headers");
        for name in ["ETag", "Retry-After"] {
            assert!(exposed.contains(name), "{exposed}");
        }
        assert!(answer.header("vary").contains("Origin"));
    }
    for origin in [
        "https://evil.example",
        "https://shop.example.evil.example",
        "http://shop.example",
        "null",
    ] {
        let answer = from_origin(&testbed, &payment, origin)
            .await
            .expect_problem(403, "foreign_origin");
        assert_eq!(answer.header("access-control-allow-origin"), "");
    }
}

#[tokio::test]
async fn an_origin_of_another_account_gets_a_403_that_its_page_can_read() {
    let mut other = AccountSettings::other();
    other.allowed_origins = vec!["https://other.example".into()];
    let testbed = Testbed::start_with(|settings| settings.accounts.push(other)).await;
    let payment = testbed.create(json!({})).await;
    from_origin(&testbed, &payment, "https://other.example")
        .await
        .expect_problem(403, "foreign_origin");
}

#[tokio::test]
async fn a_preflight_is_answered_to_known_origins_only() {
    let testbed = Testbed::start().await;
    let preflight = async |origin: &str| {
        let request = testbed
            .api
            .request(Method::OPTIONS, "/v1/payments/zfxnocsow6mz/status")
            .header("origin", origin)
            .header("access-control-request-method", "GET")
            .header("access-control-request-headers", "authorization");
        send(request).await
    };
    let answer = preflight(SHOP_ORIGIN).await.expect(204);
    assert_eq!(answer.header("access-control-allow-origin"), SHOP_ORIGIN);
    let allowed = answer.header("access-control-allow-headers");
    for name in ["authorization", "if-none-match", "last-event-id"] {
        assert!(allowed.contains(name), "{allowed}");
    }
    assert!(answer.header("vary").contains("Origin"));
    let answer = preflight("https://evil.example").await;
    assert_eq!(answer.header("access-control-allow-origin"), "");
    assert!(answer.header("vary").contains("Origin"));
}

#[tokio::test]
async fn a_facade_answer_is_never_readable_by_a_page_and_the_script_always_is() {
    let testbed = Testbed::start().await;
    let payment = testbed.create(json!({})).await;
    for (method, path) in [
        (Method::GET, format!("/v3/payments/{}", payment.id)),
        (Method::GET, "/v3/banks".to_owned()),
        (Method::OPTIONS, "/v3/payments".to_owned()),
    ] {
        let answer = send(
            testbed
                .api
                .call(method, &path)
                .header("origin", SHOP_ORIGIN),
        )
        .await;
        let cors: Vec<_> = answer
            .headers
            .keys()
            .filter(|name| name.as_str().starts_with("access-control-"))
            .collect();
        assert!(cors.is_empty(), "{path}: {cors:?}");
    }
    for path in ["/js/chasqui.js", "/js/chasqui.iife.js"] {
        let request = testbed.api.request(Method::GET, path);
        let answer = send(request.header("origin", "https://any.example")).await;
        let answer = answer.expect(200);
        assert_eq!(answer.header("access-control-allow-origin"), "*");
        assert!(answer.header("content-type").contains("javascript"));
    }
}
