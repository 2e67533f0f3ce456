//! A payer's browser: follows one payment over WebSocket.

use futures_util::{SinkExt, StreamExt};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::handshake::client::{Request, Response};
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error, Message};

use crate::deadline::within;
use crate::gateway_client::TestPayment;

/// What a browser offers beside its token.
pub const SUBPROTOCOL: &str = "chasqui.v1";

/// Messages are short, and there may be ten thousand watchers.
const BUFFER: usize = 1024;

/// Fails the test when a version comes that is not higher than the one before: no watcher may ever see that.
#[derive(Debug)]
pub struct WebSocketWatcher {
    socket: WebSocketStream<TcpStream>,
    version: u64,
    /// Pings that came so far. They are answered by themselves.
    pub pings: usize,
    /// Heartbeats that came so far.
    pub heartbeats: usize,
}

/// What the gateway sends to an idle watcher.
const HEARTBEAT_TEXT: &str = "{}";

#[derive(Debug, Clone, PartialEq)]
pub enum WatcherEvent {
    Status(Value),
    /// A close code and its reason.
    Closed(u16, String),
    /// The connection ended without a close frame.
    Lost,
}

impl WebSocketWatcher {
    /// Opens and expects the handshake to be completed.
    pub async fn open(gateway_url: &str, payment: &TestPayment) -> Self {
        let request = request(gateway_url, &payment.id, &payment.token);
        match Self::handshake(request).await {
            Ok((watcher, _)) => watcher,
            Err(refusal) => panic!("the handshake was refused: {}", refusal.status()),
        }
    }

    /// `Err`: the gateway's answer that is no WebSocket.
    pub async fn handshake(
        request: Request,
    ) -> Result<(Self, Response), Box<tokio_tungstenite::tungstenite::http::Response<Vec<u8>>>>
    {
        let host = request.uri().authority().expect("a host").to_string();
        let stream = within("a connection", TcpStream::connect(host))
            .await
            .expect("the gateway accepts connections");
        match within("a handshake", upgrade(request, stream)).await {
            Ok((socket, response)) => Ok((Self::on(socket), response)),
            Err(Error::Http(response)) => Err(Box::new(response.map(Option::unwrap_or_default))),
            Err(error) => panic!("the handshake broke: {error}"),
        }
    }

    /// `None`: the connection or the handshake was refused.
    pub async fn try_open(gateway_url: &str, payment: &TestPayment) -> Option<Self> {
        let request = request(gateway_url, &payment.id, &payment.token);
        let host = request.uri().authority().expect("a host").to_string();
        within("an answer or none", async {
            let stream = TcpStream::connect(host).await.ok()?;
            let (socket, _) = upgrade(request, stream).await.ok()?;
            Some(Self::on(socket))
        })
        .await
    }

    fn on(socket: WebSocketStream<TcpStream>) -> Self {
        Self {
            socket,
            version: 0,
            pings: 0,
            heartbeats: 0,
        }
    }

    /// The next event, pings and heartbeats aside.
    pub async fn next(&mut self) -> WatcherEvent {
        within("a watcher receives an event", self.next_event()).await
    }

    /// The same, without a deadline.
    pub async fn next_event(&mut self) -> WatcherEvent {
        loop {
            match self.socket.next().await {
                Some(Ok(Message::Text(text))) if text.as_str() == HEARTBEAT_TEXT => {
                    self.heartbeats += 1
                }
                Some(Ok(Message::Text(text))) => return self.parse_status(text.as_str()),
                Some(Ok(Message::Close(frame))) => {
                    let (code, reason) = frame
                        .map(|frame| (frame.code.into(), frame.reason.to_string()))
                        .unwrap_or_default();
                    // Reading on answers the close.
                    while let Some(Ok(_)) = self.socket.next().await {}
                    return WatcherEvent::Closed(code, reason);
                }
                Some(Ok(Message::Ping(_))) => {
                    self.pings += 1;
                    // The pong is sent with the next flush.
                    let _ = self.socket.flush().await;
                }
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return WatcherEvent::Lost,
            }
        }
    }

    fn parse_status(&mut self, text: &str) -> WatcherEvent {
        let status: Value = serde_json::from_str(text).expect("a message is JSON");
        let version = status["version"].as_u64().expect("a version");
        assert!(
            version > self.version,
            "after version {} came {status}",
            self.version
        );
        self.version = version;
        WatcherEvent::Status(status)
    }

    /// The next thing must be a status; it is answered whole.
    pub async fn status(&mut self) -> Value {
        match self.next().await {
            WatcherEvent::Status(status) => status,
            other => panic!("a status was due, but: {other:?}"),
        }
    }

    /// Reads until the status is `expected`.
    pub async fn until(&mut self, expected: &str) -> Value {
        loop {
            let status = self.status().await;
            if status["status"] == expected {
                return status;
            }
        }
    }

    /// The next thing must be the end; it is answered with its code and reason.
    pub async fn closed(&mut self) -> (u16, String) {
        match self.next().await {
            WatcherEvent::Closed(code, reason) => (code, reason),
            other => panic!("a close was due, but: {other:?}"),
        }
    }

    /// Waits for the next ping and skips other frames.
    pub async fn pinged(&mut self) {
        let frame = within("a ping", async {
            loop {
                match self.socket.next().await {
                    Some(Ok(Message::Ping(_))) => break true,
                    Some(Ok(_)) => {}
                    _ => break false,
                }
            }
        });
        assert!(frame.await, "the connection ended before a ping came");
        self.pings += 1;
        let _ = self.socket.flush().await;
    }

    /// Waits for the next heartbeat and skips other frames.
    pub async fn heartbeat(&mut self) {
        let frame = within("a heartbeat", async {
            loop {
                match self.socket.next().await {
                    Some(Ok(Message::Text(text))) if text.as_str() == HEARTBEAT_TEXT => break true,
                    Some(Ok(_)) => {}
                    _ => break false,
                }
            }
        });
        assert!(frame.await, "the connection ended before a heartbeat came");
        self.heartbeats += 1;
    }

    pub async fn send_text(&mut self, text: String) {
        self.send(Message::text(text)).await;
    }

    /// Sends a message, or a single frame as [`Message::Frame`].
    pub async fn send(&mut self, message: Message) {
        self.socket
            .send(message)
            .await
            .expect("there is a connection");
    }

    /// Sends the receipt for a version, as a page does. The connection may have ended already.
    pub async fn acknowledge(&mut self, version: u64) {
        let receipt = Message::text(format!(r#"{{"seen":{version}}}"#));
        let _ = self.socket.send(receipt).await;
    }

    /// The bare connection, which answers no pings.
    pub fn into_stream(self) -> TcpStream {
        self.socket.into_inner()
    }
}

async fn upgrade(
    request: Request,
    stream: TcpStream,
) -> Result<(WebSocketStream<TcpStream>, Response), Error> {
    let config = WebSocketConfig::default()
        .read_buffer_size(BUFFER)
        .write_buffer_size(BUFFER);
    // Boxed: the future is large, and thousands of handshakes run at once.
    Box::pin(tokio_tungstenite::client_async_with_config(
        request,
        stream,
        Some(config),
    ))
    .await
}

/// A browser's upgrade request.
pub fn request(gateway_url: &str, payment_id: &str, token: &str) -> Request {
    let url = format!(
        "{}/v1/payments/{payment_id}/status",
        gateway_url.replacen("http", "ws", 1)
    );
    let mut request = url.into_client_request().expect("a URL");
    let protocols = format!("{SUBPROTOCOL}, chasqui.token.{token}");
    request.headers_mut().insert(
        "sec-websocket-protocol",
        HeaderValue::from_str(&protocols).expect("a header"),
    );
    request
}

/// The same, from a page of this origin.
pub fn from_origin(mut request: Request, origin: &str) -> Request {
    let origin = HeaderValue::from_str(origin).expect("a header");
    request.headers_mut().insert("origin", origin);
    request
}
