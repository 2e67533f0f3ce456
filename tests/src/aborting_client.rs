//! An HTTP client that disconnects before the response and waits until the gateway has noticed.

use reqwest::RequestBuilder;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::deadline::within;

#[derive(Debug)]
pub struct AbortingClient {
    stream: TcpStream,
}

impl AbortingClient {
    /// Sends the request on a connection of its own.
    pub async fn send(request: RequestBuilder) -> Self {
        let request = request.build().expect("a request");
        let body = request.body().and_then(reqwest::Body::as_bytes);
        let body = body.unwrap_or_default();
        let url = request.url();
        let address = url.socket_addrs(|| None).expect("an address")[0];
        let mut head = format!(
            "{} {} HTTP/1.1\r\nhost: {address}\r\ncontent-length: {}\r\n",
            request.method(),
            url.path(),
            body.len()
        );
        for (name, value) in request.headers() {
            let value = value.to_str().expect("a header of text");
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str("\r\n");
        let mut stream = within("a connection", TcpStream::connect(address))
            .await
            .expect("the gateway accepts connections");
        for part in [head.as_bytes(), body] {
            stream.write_all(part).await.expect("it is read");
        }
        Self { stream }
    }

    /// Returns when the gateway has closed the connection without a response.
    pub async fn disconnect(mut self) {
        self.stream.shutdown().await.expect("it is connected");
        let mut answer = Vec::new();
        let ended = self.stream.read_to_end(&mut answer);
        // An end or a reset.
        let _ = within("the gateway notices the disconnect", ended).await;
        assert!(answer.is_empty(), "it was answered");
    }
}
