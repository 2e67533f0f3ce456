//! Limits on clients without a valid token: they take no capacity from others.

use std::net::{Ipv4Addr, SocketAddr};

use chasqui_tests::deadline::{eventually, within};
use chasqui_tests::gateway_client::TestPayment;
use chasqui_tests::testbed::Testbed;
use chasqui_tests::websocket_watcher::{WebSocketWatcher, request};
use futures_util::future::join_all;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

const ONE: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 1);
const OTHER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

#[tokio::test]
async fn bad_tokens_beyond_the_limit_of_one_address_are_refused_before_the_handshake() {
    const HANDSHAKES: usize = 100;
    const KEPT: usize = 64;
    let testbed = Testbed::start().await;
    let payment = TestPayment {
        token: "nonsense".into(),
        ..testbed.create(json!({})).await
    };
    let handshakes = (0..HANDSHAKES).map(|_| {
        WebSocketWatcher::handshake(request(&testbed.gateway.url, &payment.id, &payment.token))
    });
    // No close is read before all handshakes are sent, so that each keeps its place.
    let (kept, refused): (Vec<_>, Vec<_>) = join_all(handshakes)
        .await
        .into_iter()
        .partition(Result::is_ok);
    assert_eq!((kept.len(), refused.len()), (KEPT, HANDSHAKES - KEPT));
    for refusal in refused.into_iter().filter_map(Result::err) {
        assert_eq!(refusal.status(), 401);
    }
    for (mut watcher, _) in kept.into_iter().filter_map(Result::ok) {
        assert_eq!(watcher.closed().await.0, 4401);
    }
    // Their places are free again.
    eventually("a bad token gets a close code", async || {
        let request = request(&testbed.gateway.url, &payment.id, &payment.token);
        let handshake = Box::pin(WebSocketWatcher::handshake(request)).await;
        handshake.is_ok().then_some(())
    })
    .await;
}

/// A connection from this address that stays open, if the gateway takes it.
async fn connected(from: Ipv4Addr, to: SocketAddr) -> Option<TcpStream> {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.bind((from, 0).into()).expect("an address of ours");
    let mut stream = within("a connection", socket.connect(to)).await.ok()?;
    // An answer proves that it was accepted.
    stream
        .write_all(b"GET /livez HTTP/1.1\r\nhost: gateway\r\n\r\n")
        .await
        .ok()?;
    let mut answer = [0; 1024];
    let length = within("an answer or the end", stream.read(&mut answer)).await;
    let answer = &answer[..length.ok()?];
    answer.starts_with(b"HTTP/1.1 200 ").then_some(stream)
}

#[tokio::test]
async fn one_address_cannot_take_every_connection() {
    const LIMIT: usize = 5;
    let limit = format!("connections_per_address = {LIMIT}");
    let testbed = Testbed::start_with(|settings| settings.limits.push(limit)).await;
    let address: SocketAddr = testbed
        .gateway
        .url
        .trim_start_matches("http://")
        .parse()
        .expect("an address");
    let mut idle = Vec::new();
    while idle.len() < LIMIT {
        // The readiness probe used this address too, and its connection may still be closing.
        idle.push(eventually("a connection", async || connected(ONE, address).await).await);
    }
    for _ in 0..3 {
        assert!(connected(ONE, address).await.is_none(), "one too many");
    }
    assert!(connected(OTHER, address).await.is_some());
    idle.pop();
    eventually("a place is free again", async || {
        connected(ONE, address).await
    })
    .await;
}
