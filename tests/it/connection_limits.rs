//! Idle and slow connections: they take no capacity from active ones.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use chasqui_tests::deadline::{eventually, within};
use chasqui_tests::gateway_client::{GatewayClient, HttpResponse, TestPayment, try_send};
use chasqui_tests::gateway_process::GatewayProcess;
use chasqui_tests::gateway_settings::GatewaySettings;
use chasqui_tests::notification::{body, signed};
use chasqui_tests::sandbox::Sandbox;
use chasqui_tests::testbed::Testbed;
use chasqui_tests::websocket_watcher::WebSocketWatcher;
use futures_util::future::join_all;
use reqwest::Method;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Longest time of an ordinary request, in spite of the slow connections.
const AT_ONCE: Duration = Duration::from_secs(1);

const GET: &str = "GET /livez HTTP/1.1\r\nhost: gateway\r\n\r\n";

async fn testbed(limits: &[&str]) -> Testbed {
    let limits = limits.iter().map(|&line| line.to_owned());
    Testbed::start_with(|settings: &mut GatewaySettings| settings.limits.extend(limits)).await
}

/// A connection that sends `text` and no more.
async fn send_text(testbed: &Testbed, text: &str) -> TcpStream {
    let address: SocketAddr = testbed
        .gateway
        .url
        .trim_start_matches("http://")
        .parse()
        .expect("an address");
    let mut stream = within("a connection", TcpStream::connect(address))
        .await
        .expect("connected");
    stream.write_all(text.as_bytes()).await.expect("it is read");
    stream
}

/// Reads until the connection ends.
async fn to_the_end(mut stream: TcpStream) -> String {
    let mut answer = Vec::new();
    // An end or a reset.
    let _ = within("the end", stream.read_to_end(&mut answer)).await;
    String::from_utf8(answer).expect("text")
}

/// Reads one short answer; empty if the connection has ended.
async fn answer(stream: &mut TcpStream) -> Option<String> {
    let mut answer = [0; 2048];
    let length = within("an answer or the end", stream.read(&mut answer)).await;
    match length {
        Ok(0) | Err(_) => None,
        Ok(length) => Some(String::from_utf8_lossy(&answer[..length]).into_owned()),
    }
}

/// The head of a creation whose body never arrives.
fn creation(testbed: &Testbed) -> String {
    format!(
        "POST /v3/payments HTTP/1.1\r\nhost: gateway\r\nx-api-key: {}\r\ncontent-length: 1000\r\n\r\n",
        testbed.api.key
    )
}

/// Sends a request on its own connection and expects an answer within [`AT_ONCE`].
async fn at_once(testbed: &Testbed, method: Method, path: &str) -> HttpResponse {
    let api = GatewayClient::new(&testbed.gateway.url, &testbed.api.key);
    let began = Instant::now();
    let answer = try_send(api.call(method, path)).await;
    assert!(began.elapsed() < AT_ONCE, "{path}: {:?}", began.elapsed());
    answer.expect("an answer")
}

/// The same for a notification, which must be accepted.
async fn notified_at_once(testbed: &Testbed, payment: &TestPayment) {
    let api = GatewayClient::new(&testbed.gateway.url, "");
    let notification = body(&payment.id, &json!({}));
    let began = Instant::now();
    let answer = api.notify(Some(&signed(&notification)), notification).await;
    answer.expect(200);
    assert!(began.elapsed() < AT_ONCE, "{:?}", began.elapsed());
}

/// Holds so many polls that no place is left.
async fn held(testbed: &Testbed, payment: &TestPayment, count: usize) -> Vec<TcpStream> {
    let poll = format!(
        "GET /v1/payments/{}/status?wait=60 HTTP/1.1\r\nhost: gateway\r\nauthorization: Bearer {}\r\nif-none-match: \"11\"\r\n\r\n",
        payment.id, payment.token
    );
    let polls = join_all((0..count).map(|_| send_text(testbed, &poll))).await;
    eventually("no place is left", async || {
        let answer = GatewayClient::new(&testbed.gateway.url, "")
            .try_get("/js/chasqui.js")
            .await?;
        (answer.status == 503).then_some(())
    })
    .await;
    polls
}

#[tokio::test]
async fn slow_bodies_do_not_black_out_the_listener() {
    let testbed = testbed(&["connections = 4"]).await;
    let payment = testbed.create(json!({})).await;
    let mut trickling = Vec::new();
    for _ in 0..4 {
        trickling.push(send_text(&testbed, &creation(&testbed)).await);
    }
    for stream in &mut trickling {
        stream.write_all(b"{").await.expect("it is read");
    }
    at_once(&testbed, Method::GET, "/livez").await.expect(200);
    notified_at_once(&testbed, &payment).await;
    let path = format!("/v1/payments/{}/status", payment.id);
    at_once(&testbed, Method::GET, &path).await.expect(200);
}

#[tokio::test]
async fn a_body_that_does_not_come_is_answered_408_and_its_connection_closed() {
    let testbed = testbed(&["body_timeout = \"1s\""]).await;
    let began = Instant::now();
    let answer = to_the_end(send_text(&testbed, &creation(&testbed)).await).await;
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    assert!(answer.contains("\r\nconnection: close\r\n"), "{answer}");
    assert!(answer.contains("\"code\":\"too_slow\""), "{answer}");
    assert!(
        began.elapsed() < Duration::from_secs(5),
        "{:?}",
        began.elapsed()
    );
}

#[tokio::test]
async fn a_slow_body_that_keeps_to_the_rate_is_taken() {
    let testbed = testbed(&["body_timeout = \"1s\"", "body_bytes_per_second = 1000"]).await;
    let order = json!({ "amount": 1000, "currency": "CLP", "subject": "x".repeat(200), "body": "y".repeat(3000) }).to_string();
    let head = format!(
        "POST /v3/payments HTTP/1.1\r\nhost: gateway\r\nx-api-key: {}\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
        testbed.api.key,
        order.len()
    );
    let began = Instant::now();
    let mut stream = send_text(&testbed, &head).await;
    // Twice the rate, for longer than the timeout.
    for piece in order.as_bytes().chunks(500) {
        stream.write_all(piece).await.expect("it is read");
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
    assert!(began.elapsed() > Duration::from_secs(1));
    let answer = to_the_end(stream).await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
}

#[tokio::test]
async fn probes_and_notifications_have_places_of_their_own() {
    let testbed = testbed(&["connections = 3"]).await;
    let payment = testbed.create(json!({})).await;
    let polls = held(&testbed, &payment, 3).await;
    for path in ["/livez", "/readyz", "/healthz"] {
        at_once(&testbed, Method::GET, path).await.expect(200);
    }
    // Another payment's, so that the polls go on.
    let other = body("aaaaaaaaaaaa", &json!({}));
    let api = GatewayClient::new(&testbed.gateway.url, "");
    let began = Instant::now();
    api.notify(Some("t=1,s=wrong"), other).await.expect(401);
    assert!(began.elapsed() < AT_ONCE, "{:?}", began.elapsed());

    let refused = at_once(&testbed, Method::GET, "/v3/banks").await;
    assert_eq!(refused.header("retry-after"), "1");
    assert_eq!(refused.header("connection"), "close");
    refused.expect_problem(503, "busy");
    // A request with a body is refused once the body has arrived.
    let refused = api
        .with_key(&testbed.api.key)
        .post("/v3/payments", "{}")
        .await;
    refused.expect_problem(503, "busy");

    notified_at_once(&testbed, &payment).await;
    for mut poll in polls {
        let answer = answer(&mut poll).await.expect("an answer");
        assert!(answer.contains("confirmed"), "{answer}");
    }
    at_once(&testbed, Method::GET, "/js/chasqui.js")
        .await
        .expect(200);
}

#[tokio::test]
async fn slow_notifications_give_way_too() {
    let testbed = testbed(&["connections = 1", "reserved_connections = 2"]).await;
    let payment = testbed.create(json!({})).await;
    let _poll = held(&testbed, &payment, 1).await;
    let head =
        "POST /webhooks/khipu/shop HTTP/1.1\r\nhost: gateway\r\ncontent-length: 1000\r\n\r\n{";
    let mut trickling = Vec::new();
    for _ in 0..6 {
        trickling.push(send_text(&testbed, head).await);
    }
    at_once(&testbed, Method::GET, "/livez").await.expect(200);
    notified_at_once(&testbed, &payment).await;
}

#[tokio::test]
async fn of_idle_connections_the_longest_idle_gives_way() {
    let testbed = testbed(&[
        "connections = 2",
        "reserved_connections = 2",
        "handshake_timeout = \"5m\"",
    ])
    .await;
    let mut idle = Vec::new();
    for _ in 0..4 {
        let mut stream = send_text(&testbed, GET).await;
        let answer = answer(&mut stream).await.expect("an answer");
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        idle.push(stream);
    }
    let newcomer = answer(&mut send_text(&testbed, GET).await).await;
    assert!(newcomer.is_some_and(|answer| answer.starts_with("HTTP/1.1 200 ")));
    assert_eq!(answer(&mut idle[0]).await, None, "it has been idle longest");
    for stream in &mut idle[1..] {
        stream.write_all(GET.as_bytes()).await.expect("it is read");
        assert!(answer(stream).await.is_some());
    }
}

#[tokio::test]
async fn silent_connections_give_way() {
    let testbed = testbed(&[
        "connections = 2",
        "reserved_connections = 2",
        "handshake_timeout = \"5m\"",
    ])
    .await;
    let mut silent = Vec::new();
    for text in ["", "GET /livez HT", "", "G", "", ""] {
        silent.push(send_text(&testbed, text).await);
    }
    at_once(&testbed, Method::GET, "/livez").await.expect(200);
    assert_eq!(answer(&mut silent.remove(0)).await, None);
}

#[tokio::test]
async fn behind_a_trusted_proxy_each_client_has_a_share_of_its_own() {
    let testbed = Testbed::start_with(|settings| {
        settings.limits.push("connections_per_address = 2".into());
        settings
            .server
            .push("trusted_proxies = [\"127.0.0.0/8\"]".into());
    })
    .await;
    let payment = testbed.create(json!({})).await;
    let poll = |client: &str, wait: u32| {
        let path = format!("/v1/payments/{}/status?wait={wait}", payment.id);
        let request = testbed.api.request(Method::GET, &path);
        request
            .bearer_auth(&payment.token)
            .header("if-none-match", "\"11\"")
            .header("x-forwarded-for", client)
    };
    // A probe below may take the share before a held poll has it: a held poll that is refused comes again.
    let held = [(); 2].map(|()| {
        let poll = poll("203.0.113.7", 60);
        tokio::spawn(async move {
            loop {
                let answer = try_send(poll.try_clone().expect("no body")).await;
                if !matches!(&answer, Some(answer) if answer.status == 429) {
                    return answer;
                }
            }
        })
    });
    let refused = eventually("a third request of theirs is refused", async || {
        try_send(poll("203.0.113.7", 0))
            .await
            .filter(|answer| answer.status == 429)
    })
    .await;
    assert_eq!(refused.header("retry-after"), "1");
    refused.expect_problem(429, "too_many_requests");
    // A client behind the same proxy, a client that forged the other's address, and the proxy itself.
    for client in ["203.0.113.8", "203.0.113.7, 203.0.113.9", "127.0.0.1"] {
        let answer = try_send(poll(client, 0)).await.expect("an answer");
        assert!(
            matches!(answer.status, 200 | 304),
            "{client}: {}",
            answer.status
        );
    }
    notified_at_once(&testbed, &payment).await;
    for poll in held {
        let answer = poll.await.expect("no panic").expect("an answer");
        assert_eq!(answer.expect(200).json()["status"], "confirmed");
    }
    let answer = try_send(poll("203.0.113.7", 0)).await.expect("an answer");
    answer.expect(200);
}

#[tokio::test]
async fn a_watcher_takes_no_place() {
    let sandbox = Sandbox::start().await;
    let mut settings = GatewaySettings::new(&sandbox.url);
    let limits = ["connections = 4", "reserved_connections = 4"];
    settings.limits.extend(limits.map(str::to_owned));
    // A program of its own, because metrics are one set for all gateways in a process.
    let gateway = GatewayProcess::start(&settings).await;
    let api = GatewayClient::new(&gateway.url, &settings.accounts[0].api_key);
    let payment = api.create(json!({})).await;
    let mut watchers = Vec::new();
    for _ in 0..20 {
        let mut watcher = WebSocketWatcher::open(&gateway.url, &payment).await;
        assert_eq!(watcher.status().await["status"], "pending");
        watchers.push(watcher);
    }
    let admin = GatewayClient::new(&gateway.admin_url().await, "");
    let metrics = eventually("all of them are counted", async || {
        let metrics = admin.try_get("/metrics").await?.text();
        metrics.contains("chasqui_watchers 20").then_some(metrics)
    })
    .await;
    assert!(
        !metrics.contains("chasqui_connections_evicted_total"),
        "{metrics}"
    );
}
