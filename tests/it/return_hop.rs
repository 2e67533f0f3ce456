//! `/return/{ref}`: the payer's way back from the bank, and the page for shops that have none.

use std::time::{Duration, Instant};

use chasqui_tests::deadline::eventually;
use chasqui_tests::gateway_client::{HttpResponse, TestPayment, order, send};
use chasqui_tests::testbed::Testbed;
use chasqui_tests::websocket_watcher::WebSocketWatcher;
use redis_processes::{Options, RedisServer};
use reqwest::Method;
use serde_json::json;

/// The path of our return hop, from the URL that Khipu was given.
pub(crate) async fn hop(testbed: &Testbed, payment: &TestPayment, field: &str) -> String {
    let at_khipu = testbed.sandbox.payment(&payment.id).await;
    let url = at_khipu[field].as_str().expect("a URL");
    url.strip_prefix(&testbed.gateway.url)
        .unwrap_or_else(|| panic!("khipu sends the payer to {url}"))
        .to_owned()
}

pub(crate) async fn visit(testbed: &Testbed, path: &str, language: &str) -> HttpResponse {
    let request = testbed.api.request(Method::GET, path);
    let answer = send(request.header("accept-language", language)).await;
    assert_eq!(answer.header("cache-control"), "no-store");
    assert_eq!(answer.header("referrer-policy"), "no-referrer");
    answer
}

#[tokio::test]
async fn a_payer_who_comes_back_is_sent_on_with_a_token_and_the_payment_is_verifying() {
    let testbed = Testbed::start().await;
    let payment = testbed
        .create(json!({ "return_url": "https://shop.example/thanks?order=1" }))
        .await;
    let path = hop(&testbed, &payment, "return_url").await;
    let answer = visit(&testbed, &path, "es").await.expect(303);
    let token = answer
        .header("location")
        .strip_prefix("https://shop.example/thanks?order=1#chasqui=")
        .expect("the token is in the fragment");

    let page = TestPayment {
        token: token.into(),
        ..payment
    };
    assert_eq!(testbed.api.status(&page).await["status"], "verifying");
    let first = WebSocketWatcher::open(&testbed.gateway.url, &page)
        .await
        .status()
        .await;
    assert_eq!(first["status"], "verifying");
}

/// The bank's app may open another browser than the one that the payer began in. Integrations that keep the order in the
/// browser's session show no order there.
#[tokio::test]
async fn a_guest_who_returns_in_another_browser_sees_the_payment() {
    let testbed = Testbed::start().await;
    let payment = testbed
        .create(json!({ "return_url": "https://shop.example/thanks" }))
        .await;
    let path = hop(&testbed, &payment, "return_url").await;
    for _ in 0..2 {
        // The harness keeps no cookies: each request is like a new browser's.
        let answer = visit(&testbed, &path, "es").await.expect(303);
        let token = answer.header("location").split("#chasqui=").last();
        let page = TestPayment {
            id: payment.id.clone(),
            token: token.expect("a token").into(),
            ..payment.clone()
        };
        let mut watcher = WebSocketWatcher::open(&testbed.gateway.url, &page).await;
        assert_eq!(watcher.status().await["status"], "verifying");
    }
}

#[tokio::test]
async fn a_return_url_that_has_a_fragment_gets_the_token_behind_it() {
    let testbed = Testbed::start().await;
    let payment = testbed
        .create(json!({ "return_url": "https://shop.example/#/thanks" }))
        .await;
    let path = hop(&testbed, &payment, "return_url").await;
    let answer = visit(&testbed, &path, "es").await.expect(303);
    let location = answer.header("location");
    assert!(
        location.starts_with("https://shop.example/#/thanks&chasqui="),
        "{location}"
    );
}

#[tokio::test]
async fn khipu_is_asked_at_once_when_the_payer_comes_back() {
    let (testbed, khipu_proxy) = Testbed::start_with_khipu_proxy(|_| {}).await;
    let payment = testbed.create(json!({})).await;
    let path = hop(&testbed, &payment, "return_url").await;
    assert_eq!(khipu_proxy.request_count(&payment.id), 0);
    visit(&testbed, &path, "es").await.expect(200);
    eventually("khipu is asked", async || {
        (khipu_proxy.request_count(&payment.id) > 0).then_some(())
    })
    .await;
}

#[tokio::test]
async fn khipu_is_asked_at_once_even_if_the_payment_was_watched_for_long() {
    let (testbed, khipu_proxy) = Testbed::start_with_khipu_proxy(|_| {}).await;
    let payment = testbed.create(json!({})).await;
    let path = hop(&testbed, &payment, "return_url").await;
    let mut watcher = testbed.watch(&payment).await;
    watcher.status().await;
    // Polled at 0, 1, 3 and 6 s; the next poll is 5 s away.
    eventually("the schedule has stretched", async || {
        (khipu_proxy.request_count(&payment.id) == 4).then_some(())
    })
    .await;
    let returned = Instant::now();
    visit(&testbed, &path, "es").await.expect(200);
    eventually("khipu is asked", async || {
        (khipu_proxy.request_count(&payment.id) > 4).then_some(())
    })
    .await;
    assert!(
        returned.elapsed() < Duration::from_secs(3),
        "it was asked {:?} later",
        returned.elapsed()
    );
}

#[tokio::test]
async fn a_payer_who_gave_up_is_sent_on_and_the_payment_stays_pending() {
    let testbed = Testbed::start().await;
    let payment = testbed
        .create(json!({ "cancel_url": "https://shop.example/cart" }))
        .await;
    let path = hop(&testbed, &payment, "cancel_url").await;
    assert!(path.ends_with("/cancel"), "{path}");
    let answer = visit(&testbed, &path, "es").await.expect(303);
    let location = answer.header("location");
    assert!(
        location.starts_with("https://shop.example/cart#chasqui="),
        "{location}"
    );
    assert_eq!(testbed.api.status(&payment).await["status"], "pending");
}

#[tokio::test]
async fn the_hosted_page_shows_the_status_lives_by_script_and_reloads_without_it() {
    let testbed = Testbed::start().await;
    let payment = testbed.create(json!({})).await;
    let path = hop(&testbed, &payment, "return_url").await;

    let html = visit(&testbed, &path, "es-CL,es;q=0.9")
        .await
        .expect(200)
        .text();
    for part in [
        "<chasqui-status",
        "token=",
        "src=\"/js/chasqui.js\"",
        "<noscript><meta http-equiv=\"refresh\" content=\"10\">",
        "lang=\"es",
        "data-status=\"verifying\"",
        "Estamos verificando tu pago",
    ] {
        assert!(html.contains(part), "{part} is missing from {html}");
    }
    let html = visit(&testbed, &path, "en-GB,es;q=0.5").await.text();
    assert!(html.contains("We are verifying your payment"), "{html}");

    testbed.sandbox.act(&payment.id, "conciliate").await;
    testbed.api.until_status(&payment, "confirmed").await;
    let html = visit(&testbed, &path, "en").await.text();
    assert!(html.contains("Payment confirmed"), "{html}");
    assert!(!html.contains("http-equiv=\"refresh\""), "{html}");
}

#[tokio::test]
async fn an_abandoned_payment_can_be_resumed_from_the_hosted_page() {
    let testbed = Testbed::start().await;
    let payment = testbed.create(json!({})).await;
    let path = hop(&testbed, &payment, "cancel_url").await;
    let html = visit(&testbed, &path, "en").await.expect(200).text();
    let payment_url = payment.fields["payment_url"].as_str().expect("a URL");
    assert!(html.contains(payment_url), "{html}");
    for word in ["failed", "error", "rejected"] {
        assert!(!html.to_lowercase().contains(word), "{word} in {html}");
    }
}

#[tokio::test]
async fn an_unknown_reference_gets_a_calm_page() {
    let testbed = Testbed::start().await;
    for path in [
        "/return/0123456789abcdef0123456789abcdef",
        "/return/0123456789abcdef0123456789abcdef/cancel",
        "/return/nonsense",
    ] {
        let answer = visit(&testbed, path, "en").await.expect(404);
        assert!(answer.header("content-type").starts_with("text/html"));
        let html = answer.text();
        assert!(html.contains("We could not find this payment"), "{html}");
        assert!(html.contains("do not pay again"), "{html}");
    }
}

#[tokio::test]
async fn without_the_hop_khipu_gets_the_merchants_own_urls() {
    let urls = json!({
        "return_url": "https://shop.example/thanks",
        "cancel_url": "https://shop.example/cart",
    });
    let testbed = Testbed::start().await;
    let order = order(urls.clone()).to_string();
    let request = testbed.api.call(Method::POST, "/v3/payments").body(order);
    let answer = send(request.header("chasqui-return-hop", "off")).await;
    let payment = TestPayment::from(&answer.expect(200));
    let at_khipu = testbed.sandbox.payment(&payment.id).await;
    assert_eq!(at_khipu["return_url"], urls["return_url"]);
    assert_eq!(at_khipu["cancel_url"], urls["cancel_url"]);

    let testbed =
        Testbed::start_with(|settings| settings.account().more.push("return_hop = false".into()))
            .await;
    let payment = testbed.create(urls.clone()).await;
    let at_khipu = testbed.sandbox.payment(&payment.id).await;
    assert_eq!(at_khipu["return_url"], urls["return_url"]);
    let notify_url = at_khipu["notify_url"].as_str().expect("a URL");
    assert!(notify_url.starts_with(&testbed.gateway.url), "{notify_url}");
}

/// A program that follows links, or a browser that is ahead of its user, has not come back from the bank.
#[tokio::test]
async fn what_is_no_visit_of_the_payers_changes_nothing() {
    let (testbed, khipu_proxy) = Testbed::start_with_khipu_proxy(|_| {}).await;
    let payment = testbed
        .create(json!({ "return_url": "https://shop.example/thanks" }))
        .await;
    let path = hop(&testbed, &payment, "return_url").await;
    let head = send(testbed.api.request(Method::HEAD, &path))
        .await
        .expect(303);
    assert_eq!(head.header("location"), "https://shop.example/thanks");
    for purpose in ["prefetch", "prefetch;prerender"] {
        let request = testbed.api.request(Method::GET, &path);
        let answer = send(request.header("sec-purpose", purpose))
            .await
            .expect(503);
        assert_eq!(answer.header("cache-control"), "no-store");
        assert!(answer.body.is_empty());
    }
    let request = testbed.api.request(Method::GET, &path);
    let preview = send(request.header("user-agent", "WhatsApp/2.23.20.0 A")).await;
    let preview = preview.expect(303);
    assert_eq!(preview.header("location"), "https://shop.example/thanks");
    assert_eq!(khipu_proxy.request_count(&payment.id), 0);
    assert_eq!(testbed.api.status(&payment).await["status"], "pending");

    visit(&testbed, &path, "es").await.expect(303);
    assert_eq!(testbed.api.status(&payment).await["status"], "verifying");
}

#[tokio::test]
async fn a_payer_who_reloads_in_a_loop_is_sent_on_each_time_and_khipu_is_asked_once_a_second() {
    let (testbed, khipu_proxy) = Testbed::start_with_khipu_proxy(|_| {}).await;
    let payment = testbed
        .create(json!({ "return_url": "https://shop.example/thanks" }))
        .await;
    let path = hop(&testbed, &payment, "return_url").await;
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(3) {
        let answer = visit(&testbed, &path, "es").await.expect(303);
        assert!(answer.header("location").contains("#chasqui="));
    }
    let asked = khipu_proxy.request_count(&payment.id);
    assert!(asked <= 5, "asked {asked} times in three seconds");
}

/// The disk is full, or another process holds the file: what is there can still be read.
#[tokio::test]
async fn a_payer_whose_return_cannot_be_recorded_goes_on_to_the_shop() {
    let directory = tempfile::tempdir().expect("a directory");
    let database = directory.path().join("chasqui.db");
    let storage = format!("sqlite:{}", database.display());
    let testbed = Testbed::start_with(|settings| settings.storage = storage).await;
    let payment = testbed
        .create(json!({ "return_url": "https://shop.example/thanks" }))
        .await;
    let path = hop(&testbed, &payment, "return_url").await;
    let shell = rusqlite::Connection::open(&database).expect("a shell");
    shell.execute_batch("BEGIN IMMEDIATE").expect("locked");
    let answer = visit(&testbed, &path, "es").await.expect(303);
    assert!(
        answer
            .header("location")
            .starts_with("https://shop.example/thanks#chasqui=")
    );
    shell.execute_batch("ROLLBACK").expect("rolled back");
}

#[tokio::test]
async fn a_payer_whose_return_a_full_redis_cannot_record_goes_on_to_the_shop() {
    let redis = RedisServer::start(&Options::default()).await;
    let testbed = Testbed::start_with(|settings| settings.storage = redis.url()).await;
    let payment = testbed
        .create(json!({ "return_url": "https://shop.example/thanks" }))
        .await;
    let path = hop(&testbed, &payment, "return_url").await;
    redis.command(&["CONFIG", "SET", "maxmemory", "1"]).await;
    let answer = visit(&testbed, &path, "es").await.expect(303);
    assert!(
        answer
            .header("location")
            .starts_with("https://shop.example/thanks#chasqui=")
    );
}

/// A browser that repeats a request cancels the first one, whose work goes on.
#[tokio::test]
async fn a_return_that_the_browser_repeats_is_recorded_all_the_same() {
    let testbed = Testbed::start().await;
    let payment = testbed.create(json!({})).await;
    let mut watcher = testbed.watch(&payment).await;
    testbed.sandbox.act(&payment.id, "reject").await;
    watcher.until("rejected").await;
    let path = hop(&testbed, &payment, "return_url").await;
    let slow = json!({ "notify": { "drop": 1 }, "api": { "latency_ms": 20_000 } });
    testbed.sandbox.set_behaviour(slow).await;
    let first = send(testbed.api.request(Method::GET, &path));
    let given_up = tokio::time::timeout(Duration::from_millis(300), first).await;
    assert!(given_up.is_err(), "it waits for khipu");
    visit(&testbed, &path, "es").await.expect(200);
    let verifying = watcher.until("verifying").await;
    assert_eq!(verifying["by"], "payer", "{verifying}");
}
