//! What PUBLISH takes to arrive, with nothing in between: two bare connections to one Redis.

use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::deadline::within;
use crate::server::RedisServer;

#[derive(Debug)]
pub struct Publishing {
    publisher: TcpStream,
    subscriber: TcpStream,
    sent: u64,
}

impl Publishing {
    /// On a channel of its own. The Redis must need no password.
    pub async fn begin(server: &RedisServer) -> Self {
        let mut publishing = Self {
            publisher: connect(server).await,
            subscriber: connect(server).await,
            sent: 0,
        };
        let channel = publishing.channel();
        send(&mut publishing.subscriber, &format!("SUBSCRIBE {channel}")).await;
        until_read(&mut publishing.subscriber, ":1\r\n").await;
        publishing
    }

    /// One message: from just before it is sent until it is read.
    pub async fn sample(&mut self) -> Duration {
        self.sent += 1;
        let message = format!("message-{}.", self.sent);
        let command = format!("PUBLISH {} {message}", self.channel());
        let began = Instant::now();
        send(&mut self.publisher, &command).await;
        until_read(&mut self.subscriber, &message).await;
        let took = began.elapsed();
        until_read(&mut self.publisher, ":1\r\n").await;
        took
    }

    fn channel(&self) -> String {
        // Unique: the subscriber's own port names it.
        let address = self.subscriber.local_addr().expect("connected");
        format!("publishing-{}", address.port())
    }
}

async fn connect(server: &RedisServer) -> TcpStream {
    let stream = TcpStream::connect(server.address())
        .await
        .expect("redis is there");
    stream.set_nodelay(true).expect("a socket's option");
    stream
}

async fn send(stream: &mut TcpStream, command: &str) {
    let line = format!("{command}\r\n");
    stream
        .write_all(line.as_bytes())
        .await
        .expect("redis reads");
}

async fn until_read(stream: &mut TcpStream, end: &str) {
    let mut read = Vec::new();
    let whole = async {
        while !String::from_utf8_lossy(&read).contains(end) {
            let count = stream.read_buf(&mut read).await.expect("redis answers");
            assert!(count > 0, "redis closed the connection");
        }
    };
    within("redis answers", whole).await;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::Options;

    #[tokio::test]
    async fn every_message_arrives() {
        let server = RedisServer::start(&Options::default()).await;
        let mut publishing = Publishing::begin(&server).await;
        for _ in 0..20 {
            assert!(publishing.sample().await > Duration::ZERO);
        }
    }
}
