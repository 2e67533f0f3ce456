//! A connection of one's own on which a server may speak unasked: what the relay listens on.
//!
//! The library's subscriptions cannot be used for this: measured on redis 1.8.1, they do not come back after an outage of
//! 40 s, say nothing of a server that is frozen, and take a slot's move for the answer to something else. Here whoever holds
//! the line reads every frame and decides.

use std::io;
use std::pin::Pin;
use std::sync::Arc;

use ::redis::Cmd;
use bytes::{Buf, BytesMut};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::client::{CONNECT_TIMEOUT, read_ca};
use super::resp::{self, Frame};
use super::{Address, Credentials, Failure, Settings};

/// Room for some hundred messages; more waits in the kernel for the moment it takes to hear these.
const READ_BUFFER: usize = 32 * 1024;

trait Stream: AsyncRead + AsyncWrite + Send {}
impl<S: AsyncRead + AsyncWrite + Send> Stream for S {}

pub(crate) struct Line {
    stream: Pin<Box<dyn Stream>>,
    read: BytesMut,
    /// How much of `read` the last frame took: it is given back when the next is asked for.
    used: usize,
}

impl Line {
    /// Connected and logged in, or an error within [`CONNECT_TIMEOUT`].
    pub(crate) async fn open(
        settings: &Settings,
        address: &Address,
        client_name: &str,
    ) -> Result<Self, Failure> {
        timeout(
            CONNECT_TIMEOUT,
            Self::connect(settings, address, client_name),
        )
        .await
        .unwrap_or_else(|_| Err(Failure(format!("{address} does not answer"))))
    }

    async fn connect(
        settings: &Settings,
        address: &Address,
        client_name: &str,
    ) -> Result<Self, Failure> {
        let stream = transport(settings, address)
            .await
            .map_err(|error| Failure(format!("{address} cannot be reached: {error}")))?;
        let mut line = Self {
            stream,
            read: BytesMut::with_capacity(READ_BUFFER),
            used: 0,
        };
        let mut hello = ::redis::cmd("HELLO");
        hello.arg(3);
        if let Some(Credentials { username, password }) = &settings.credentials {
            let username = username.as_deref().unwrap_or("default");
            hello.arg("AUTH").arg(username).arg(password);
        }
        hello.arg("SETNAME").arg(client_name);
        line.say(&hello)
            .await
            .map_err(|error| Failure(error.to_string()))?;
        match line.hear().await {
            Ok(Frame::Error(why)) => Err(Failure(format!(
                "{address} refuses: {}",
                String::from_utf8_lossy(why)
            ))),
            Ok(_) => Ok(line),
            Err(error) => Err(Failure(format!("{address}: {error}"))),
        }
    }

    /// Sends a command without waiting for what comes of it.
    pub(crate) async fn say(&mut self, command: &Cmd) -> io::Result<()> {
        self.stream.write_all(&command.get_packed_command()).await?;
        self.stream.flush().await
    }

    /// The next frame. May be given up and asked for again: nothing is lost.
    pub(crate) async fn hear(&mut self) -> io::Result<Frame<'_>> {
        self.read.advance(std::mem::take(&mut self.used));
        loop {
            // Read twice, since a borrow that may be returned cannot be kept through the loop.
            if resp::read(&self.read).map_err(io::Error::other)?.is_some() {
                break;
            }
            self.read.reserve(READ_BUFFER);
            if self.stream.read_buf(&mut self.read).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        match resp::read(&self.read).map_err(io::Error::other)? {
            Some((frame, length)) => {
                self.used = length;
                Ok(frame)
            }
            None => Err(io::Error::other("a frame vanished")),
        }
    }
}

async fn transport(settings: &Settings, address: &Address) -> io::Result<Pin<Box<dyn Stream>>> {
    let tcp = TcpStream::connect((address.host.as_str(), address.port)).await?;
    tcp.set_nodelay(true)?;
    let keepalive = socket2::TcpKeepalive::new().with_time(super::client::KEEPALIVE);
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

/// The given authority alone, else the system's.
fn tls_config(settings: &Settings) -> Result<ClientConfig, Failure> {
    let mut roots = RootCertStore::empty();
    match read_ca(settings)? {
        Some(pem) => {
            for certificate in CertificateDer::pem_slice_iter(&pem) {
                certificate
                    .map_err(|error| error.to_string())
                    .and_then(|certificate| {
                        roots.add(certificate).map_err(|error| error.to_string())
                    })
                    .map_err(|error| {
                        Failure(format!("the CA file holds no valid certificate: {error}"))
                    })?;
            }
        }
        None => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
    }
    Ok(ClientConfig::builder()
        .with_root_certificates(roots)
        .with_no_client_auth())
}
