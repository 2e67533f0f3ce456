//! A connection to one server on which it pushes messages: for a subscriber.
//!
//! The library's own subscriptions cannot be used for this: measured on redis 1.8.1, they do not come back after an outage
//! of 40 s, do not report a frozen server, and take a slot's move for the reply to another command. Here the holder
//! reads every frame and decides.

use std::pin::Pin;
use std::sync::Arc;
use std::{fmt, io};

use ::redis::{Cmd, RedisResult, Value, parse_redis_value_async};
use futures_util::stream::{self, Stream, StreamExt};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::connector::{CONNECT_TIMEOUT, KEEPALIVE, read_ca};
use super::error::CallError;
use super::settings::{Credentials, NodeAddress, RedisSettings};

trait Transport: AsyncRead + AsyncWrite + Send {}
impl<T: AsyncRead + AsyncWrite + Send> Transport for T {}

pub struct PubSubConnection {
    writer: Pin<Box<dyn AsyncWrite + Send>>,
    /// A read that is given up stays where it is in the stream.
    frames: Pin<Box<dyn Stream<Item = RedisResult<Value>> + Send>>,
}

impl PubSubConnection {
    /// Connected and authenticated, or an error within `CONNECT_TIMEOUT`.
    pub async fn open(
        settings: &RedisSettings,
        address: &NodeAddress,
        client_name: &str,
    ) -> Result<Self, CallError> {
        let connecting = Self::connect(settings, address, client_name);
        timeout(CONNECT_TIMEOUT, connecting)
            .await
            .unwrap_or_else(|_| Err(CallError(format!("{address} does not reply"))))
    }

    async fn connect(
        settings: &RedisSettings,
        address: &NodeAddress,
        client_name: &str,
    ) -> Result<Self, CallError> {
        let transport = transport(settings, address)
            .await
            .map_err(|error| CallError(format!("{address} cannot be reached: {error}")))?;
        let mut connection = Self::new(transport);
        let mut hello = ::redis::cmd("HELLO");
        hello.arg(3);
        if let Some(Credentials { username, password }) = &settings.credentials {
            let username = username.as_deref().unwrap_or("default");
            hello.arg("AUTH").arg(username).arg(password);
        }
        hello.arg("SETNAME").arg(client_name);
        let failed = |error: &dyn fmt::Display| CallError(format!("{address}: {error}"));
        let sent = connection.send(&hello).await;
        sent.map_err(|error| failed(&error))?;
        match connection.next_frame().await {
            Ok(Value::ServerError(error)) => Err(failed(&error)),
            Ok(_) => Ok(connection),
            Err(error) => Err(failed(&error)),
        }
    }

    fn new(transport: impl Transport + 'static) -> Self {
        let (reader, writer) = tokio::io::split(transport);
        let decoder = Default::default();
        let frames = stream::unfold((reader, decoder), |(mut reader, mut decoder)| async {
            let frame = parse_redis_value_async(&mut decoder, &mut reader).await;
            Some((frame, (reader, decoder)))
        });
        Self {
            writer: Box::pin(writer),
            frames: Box::pin(frames),
        }
    }

    /// Sends a command without waiting for its reply.
    pub async fn send(&mut self, command: &Cmd) -> io::Result<()> {
        self.writer.write_all(&command.get_packed_command()).await?;
        self.writer.flush().await
    }

    /// The next reply or push. Cancel-safe: nothing that was read is lost.
    pub async fn next_frame(&mut self) -> RedisResult<Value> {
        self.frames
            .next()
            .await
            .unwrap_or_else(|| Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()))
    }
}

impl fmt::Debug for PubSubConnection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PubSubConnection").finish_non_exhaustive()
    }
}

async fn transport(
    settings: &RedisSettings,
    address: &NodeAddress,
) -> io::Result<Pin<Box<dyn Transport>>> {
    let tcp = TcpStream::connect((address.host.as_str(), address.port)).await?;
    tcp.set_nodelay(true)?;
    let keepalive = socket2::TcpKeepalive::new().with_time(KEEPALIVE);
    socket2::SockRef::from(&tcp).set_tcp_keepalive(&keepalive)?;
    if !settings.tls {
        return Ok(Box::pin(tcp));
    }
    let config = tls_config(settings).map_err(|failure| io::Error::other(failure.0))?;
    let name = ServerName::try_from(address.host.clone()).map_err(io::Error::other)?;
    let tls = TlsConnector::from(Arc::new(config))
        .connect(name, tcp)
        .await?;
    Ok(Box::pin(tls))
}

/// Trusts the given authority alone, else those of the system.
fn tls_config(settings: &RedisSettings) -> Result<ClientConfig, CallError> {
    let mut roots = RootCertStore::empty();
    if let Some(pem) = read_ca(settings)? {
        let invalid = |error: &dyn fmt::Display| {
            CallError(format!("the CA file holds no valid certificate: {error}"))
        };
        for certificate in CertificateDer::pem_slice_iter(&pem) {
            let certificate = certificate.map_err(|error| invalid(&error))?;
            roots.add(certificate).map_err(|error| invalid(&error))?;
        }
    } else {
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    }
    Ok(ClientConfig::builder()
        .with_root_certificates(roots)
        .with_no_client_auth())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use ::redis::PushKind;

    use super::*;

    const MESSAGE: &[u8] = b">3\r\n$7\r\nmessage\r\n$2\r\nc1\r\n$4\r\n6 1 \r\n";

    #[tokio::test(start_paused = true)]
    async fn a_read_that_is_given_up_after_any_byte_loses_nothing() {
        let (mut server, client) = tokio::io::duplex(1);
        let mut connection = PubSubConnection::new(client);
        let mut frames = Vec::new();
        for byte in [MESSAGE, b"+PONG\r\n"].concat() {
            server.write_all(&[byte]).await.expect("written");
            let read = timeout(Duration::from_millis(1), connection.next_frame());
            frames.extend(read.await.ok().map(|frame| frame.expect("a frame")));
        }
        let parts = [&b"c1"[..], b"6 1 "].map(|text| Value::BulkString(text.into()));
        let message = Value::Push {
            kind: PushKind::Message,
            data: parts.into(),
        };
        assert_eq!(frames, [message, Value::SimpleString("PONG".into())]);
        drop(server);
        let end = connection.next_frame().await;
        end.expect_err("the server is gone");
    }

    #[tokio::test]
    async fn what_is_not_resp_is_an_error() {
        for sent in [&b"hello\r\n"[..], b"$x\r\n", b"$2\r\nabcd\r\n"] {
            let (mut server, client) = tokio::io::duplex(64);
            server.write_all(sent).await.expect("written");
            let frame = PubSubConnection::new(client).next_frame().await;
            frame.expect_err("not RESP");
        }
    }
}
