//! The watchers: WebSockets that each follow a payment and answer pings.
//!
//! Written by hand over bare TCP, so that nineteen thousand of them leave the machine to the gateway.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde::Deserialize;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;

use crate::failure::Failure;
use crate::installation::PagePayment;

/// Watchers that are connecting at once.
const CONNECTING: usize = 64;

/// From the first packet to the first message.
const CONNECT_DEADLINE: Duration = Duration::from_secs(30);

/// A source address has about 28,000 ports for one destination.
const WATCHERS_PER_SOURCE: usize = 20_000;

/// The largest response head or frame that is expected.
const MAX_READ: usize = 1024;

/// The key of RFC 6455's example, and its accept value.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

const TEXT: u8 = 1;
const CLOSE: u8 = 8;
const PING: u8 = 9;

/// Connected watchers. Dropping the pool closes their connections, as a page that is closed does.
#[derive(Debug)]
pub(crate) struct WatcherPool {
    _watchers: JoinSet<()>,
    log: Arc<WatcherLog>,
    /// From the first connect to the last first message.
    pub(crate) connect_time: Duration,
    /// Of each connected watcher, sorted.
    pub(crate) times_to_first_message: Vec<Duration>,
}

/// What happens to the watchers.
#[derive(Debug, Default)]
struct WatcherLog {
    pings: AtomicUsize,
    messages: AtomicUsize,
    lost: AtomicUsize,
    first_failure: Mutex<Option<String>>,
}

impl WatcherLog {
    fn record_failure(&self, text: impl FnOnce() -> String) {
        let mut first = self
            .first_failure
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        first.get_or_insert_with(text);
    }
}

impl WatcherPool {
    /// Connects `count` watchers, spread evenly over the payments, and waits for each first message.
    pub(crate) async fn connect(
        address: SocketAddr,
        payments: &[PagePayment],
        count: usize,
    ) -> Self {
        let log = Arc::new(WatcherLog::default());
        let gate = Arc::new(Semaphore::new(CONNECTING));
        let (arrived, mut arrivals) = mpsc::unbounded_channel();
        let mut watchers = JoinSet::new();
        let started = Instant::now();
        for (i, payment) in payments.iter().cycle().take(count).enumerate() {
            // The semaphore is never closed.
            let permit = Arc::clone(&gate).acquire_owned().await.ok();
            let request = request(address, payment);
            let source = source(i, count);
            let (log, arrived) = (Arc::clone(&log), arrived.clone());
            watchers.spawn(async move {
                let started = Instant::now();
                let connecting = connect(address, source, &request);
                let connected = match tokio::time::timeout(CONNECT_DEADLINE, connecting).await {
                    Ok(connected) => connected,
                    Err(_) => Err("no first message in time".into()),
                };
                drop((permit, request));
                match connected {
                    Ok(stream) => {
                        let _ = arrived.send(started.elapsed());
                        drop(arrived);
                        answer_pings(stream, &log).await;
                    }
                    Err(failure) => log.record_failure(|| failure.to_string()),
                }
            });
        }
        drop(arrived);
        let mut times = Vec::with_capacity(count);
        while let Some(time) = arrivals.recv().await {
            times.push(time);
        }
        let connect_time = started.elapsed();
        times.sort_unstable();
        Self {
            _watchers: watchers,
            log,
            connect_time,
            times_to_first_message: times,
        }
    }

    pub(crate) fn connected(&self) -> usize {
        self.times_to_first_message.len()
    }

    pub(crate) fn pings_answered(&self) -> usize {
        self.log.pings.load(Ordering::Relaxed)
    }

    /// Messages after the first.
    pub(crate) fn further_messages(&self) -> usize {
        self.log.messages.load(Ordering::Relaxed)
    }

    /// Watchers whose connection the other end has closed.
    pub(crate) fn lost(&self) -> usize {
        self.log.lost.load(Ordering::Relaxed)
    }

    pub(crate) fn first_failure(&self) -> Option<String> {
        let first = self.log.first_failure.lock();
        first.unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// The source address of watcher `i`: one address does not have ports for all.
fn source(i: usize, count: usize) -> Option<Ipv4Addr> {
    let index = u8::try_from(i / WATCHERS_PER_SOURCE).unwrap_or(u8::MAX);
    (count > WATCHERS_PER_SOURCE).then_some(Ipv4Addr::new(127, 0, 0, index.saturating_add(1)))
}

fn request(address: SocketAddr, payment: &PagePayment) -> String {
    format!(
        "GET /v1/payments/{id}/status HTTP/1.1\r\n\
         Host: {address}\r\n\
         Connection: Upgrade\r\n\
         Upgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: {KEY}\r\n\
         Sec-WebSocket-Protocol: chasqui.v1, chasqui.token.{token}\r\n\r\n",
        id = payment.id,
        token = payment.token,
    )
}

/// The handshake and the first message.
async fn connect(
    address: SocketAddr,
    source: Option<Ipv4Addr>,
    request: &str,
) -> Result<TcpStream, Failure> {
    let socket = TcpSocket::new_v4()?;
    if let Some(source) = source {
        socket.bind((source, 0).into())?;
    }
    let mut stream = socket.connect(address).await?;
    stream.set_nodelay(true)?;
    stream.write_all(request.as_bytes()).await?;

    let mut buffer = Vec::with_capacity(MAX_READ);
    let head = loop {
        if let Some(end) = buffer.windows(4).position(|four| four == b"\r\n\r\n") {
            break end + 4;
        }
        read_more(&mut stream, &mut buffer).await?;
    };
    let rest = buffer.split_off(head);
    check_head(&String::from_utf8_lossy(&buffer))?;

    buffer = rest;
    loop {
        if let Some(frame) = Frame::read(&buffer)? {
            check_first_message(&frame)?;
            return Ok(stream);
        }
        read_more(&mut stream, &mut buffer).await?;
    }
}

async fn read_more(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Result<(), Failure> {
    if buffer.len() >= MAX_READ {
        return Err("the answer is longer than expected".into());
    }
    match stream.read_buf(buffer).await? {
        0 => Err("closed during the handshake".into()),
        _ => Ok(()),
    }
}

fn check_head(head: &str) -> Result<(), Failure> {
    let header = |wanted: &str| {
        head.lines()
            .filter_map(|line| line.split_once(':'))
            .find(|(name, _)| name.eq_ignore_ascii_case(wanted))
            .map(|(_, value)| value.trim())
    };
    let fine = head.starts_with("HTTP/1.1 101 ")
        && header("sec-websocket-accept") == Some(ACCEPT)
        && header("sec-websocket-protocol") == Some("chasqui.v1");
    if fine {
        Ok(())
    } else {
        Err(format!("refused: {}", head.lines().next().unwrap_or_default()).into())
    }
}

fn check_first_message(frame: &Frame<'_>) -> Result<(), Failure> {
    #[derive(Deserialize)]
    struct FirstMessage {
        version: u16,
    }
    if frame.opcode != TEXT {
        return Err(frame.describe().into());
    }
    let status: FirstMessage = serde_json::from_slice(frame.payload)?;
    match status.version {
        1.. => Ok(()),
        0 => Err("a status of version 0".into()),
    }
}

/// Answers pings until the connection ends. No buffer is held while it waits.
async fn answer_pings(stream: TcpStream, log: &WatcherLog) {
    let reason = loop {
        if let Err(error) = stream.readable().await {
            break error.to_string();
        }
        let mut buffer = [0; MAX_READ];
        let length = match stream.try_read(&mut buffer) {
            Ok(0) => break "closed".to_owned(),
            Ok(length) => length,
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => continue,
            Err(error) => break error.to_string(),
        };
        match read_frames(&stream, &buffer[..length], log) {
            Ok(()) => {}
            Err(failure) => break failure.to_string(),
        }
    };
    log.lost.fetch_add(1, Ordering::Relaxed);
    log.record_failure(|| format!("a watcher was lost: {reason}"));
}

/// Expects whole frames: they are small and sent in one piece.
fn read_frames(stream: &TcpStream, mut bytes: &[u8], log: &WatcherLog) -> Result<(), Failure> {
    while !bytes.is_empty() {
        let frame = Frame::read(bytes)?.ok_or("a frame in pieces")?;
        match frame.opcode {
            PING => {
                // Masked with zeroes, as a client must mask.
                let pong = [&[0x8A, 0x80][..], &[0; 4]].concat();
                stream.try_write(&pong)?;
                log.pings.fetch_add(1, Ordering::Relaxed);
            }
            TEXT => {
                log.messages.fetch_add(1, Ordering::Relaxed);
            }
            _ => return Err(frame.describe().into()),
        }
        bytes = &bytes[frame.length..];
    }
    Ok(())
}

/// A frame from a server: whole, and not masked.
#[derive(Debug)]
struct Frame<'a> {
    opcode: u8,
    payload: &'a [u8],
    /// Header and payload.
    length: usize,
}

impl<'a> Frame<'a> {
    /// `None` until the frame is complete.
    fn read(bytes: &'a [u8]) -> Result<Option<Self>, Failure> {
        let (first, header, payload_length) = match *bytes {
            [first, length @ 0..=125, ..] => (first, 2, usize::from(length)),
            [first, 126, high, low, ..] => (first, 4, usize::from(u16::from_be_bytes([high, low]))),
            [_, 127..=u8::MAX, ..] => return Err("a frame that is masked or huge".into()),
            _ => return Ok(None),
        };
        let length = header + payload_length;
        Ok(bytes.get(header..length).map(|payload| Self {
            opcode: first & 0x0F,
            payload,
            length,
        }))
    }

    fn describe(&self) -> String {
        match (self.opcode, self.payload) {
            (CLOSE, [high, low, reason @ ..]) => format!(
                "closed with {} {}",
                u16::from_be_bytes([*high, *low]),
                String::from_utf8_lossy(reason)
            ),
            (opcode, _) => format!("a frame with opcode {opcode}"),
        }
    }
}
