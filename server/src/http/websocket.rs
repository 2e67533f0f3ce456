//! The status over WebSocket: the handshake, and one small state machine per connection.
//!
//! The machine is written as a future by hand, because a task is as large as its largest await point and there is one for
//! every payer who waits. It owns no timer while it idles (the hub's wheel signals pings and lifetimes) and no queue (the
//! watcher's slot holds the newest message only).

use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::extract::Request;
use axum::http::header::{CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_PROTOCOL, UPGRADE};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use futures_util::{SinkExt, StreamExt};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Sleep;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Bytes, Error as SocketError, Message as Frame, Utf8Bytes};

use super::problem::Problem;
use super::{Site, status};
use crate::account::Account;
use crate::gateway::{Watch, WatchError};
use crate::payment::PaymentId;
use crate::push::{Message, Permit, Refusal, Signal};

const SUBPROTOCOL: &str = "chasqui.v1";
const TOKEN_SUBPROTOCOL: &str = "chasqui.token.";

/// What a watcher may send at once: a receipt is a dozen bytes. More closes 1009.
const MAX_CLIENT_MESSAGE: usize = 1024;

/// Client messages between two pings; one more closes 1008. A receipt for each status is seven.
const MAX_CLIENT_MESSAGES: u8 = 32;

/// Allocated and touched for every watcher, so small: clients send next to nothing.
const READ_BUFFER: usize = 128;

/// A status object is under 200 bytes. What does not fit waits in the watcher's slot, where newer replaces older.
const MAX_WRITE_BUFFER: usize = 4096;

/// Two pings may be unanswered; at the third the other end is taken for gone.
const MAX_UNANSWERED_PINGS: u8 = 2;

/// After a final status the page may say that the payer saw it, or close by itself; then we close.
const RECEIPT_GRACE: Duration = Duration::from_secs(1);

/// How long the other end may take to answer a close.
const CLOSE_GRACE: Duration = Duration::from_secs(5);

/// What an oversized sender may still push at us while it reads why it was closed.
const MAX_DISCARDED: usize = 256 * 1024;

pub(super) fn is_upgrade(headers: &HeaderMap) -> bool {
    headers
        .get(UPGRADE)
        .is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"websocket"))
}

/// Completes the handshake, or refuses it. A bad token and an unknown payment are told by a close code after it, because
/// a browser cannot read why a handshake failed.
pub(super) fn follow(
    site: Arc<Site>,
    id: &str,
    address: IpAddr,
    mut request: Request,
) -> Result<Response, Problem> {
    let headers = request.headers();
    let accept = accept_key(&request)?;
    let offered = Offered::read(headers);
    let admitted = match status::admit(&site, headers, offered.token, id) {
        Ok((account, id)) => match site.gateway.admission.admit(address) {
            Ok(permit) => Ok((account, id, permit)),
            Err(refusal) => Err(refusal.into()),
        },
        // Whose page it is can be told without reading a close code.
        Err(problem) if problem.status == StatusCode::FORBIDDEN => return Err(problem),
        Err(problem) => Err(Farewell::from(problem)),
    };
    let echo_subprotocol = offered.speaks_ours;
    let Some(upgrade) = request.extensions_mut().remove::<OnUpgrade>() else {
        return Err(Problem::bad_request(
            "no_upgrade",
            "this connection cannot become a WebSocket",
        ));
    };
    let limit = site.gateway.limits.handshake_timeout;
    tokio::spawn(async move {
        let Ok(Ok(upgraded)) = tokio::time::timeout(limit, upgrade).await else {
            return;
        };
        let Some(socket) = socket(upgraded).await else {
            return;
        };
        match admitted {
            Ok((account, id, permit)) => begin(site, account, id, permit, socket).await,
            Err(farewell) => Session::parting(socket, farewell).await,
        }
    });
    let mut response = StatusCode::SWITCHING_PROTOCOLS.into_response();
    let answer = response.headers_mut();
    answer.insert(UPGRADE, HeaderValue::from_static("websocket"));
    answer.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    answer.insert(SEC_WEBSOCKET_ACCEPT, accept);
    if echo_subprotocol {
        answer.insert(
            SEC_WEBSOCKET_PROTOCOL,
            HeaderValue::from_static(SUBPROTOCOL),
        );
    }
    Ok(response)
}

/// What the client offers in `Sec-WebSocket-Protocol`.
struct Offered<'a> {
    speaks_ours: bool,
    token: Option<&'a str>,
}

impl<'a> Offered<'a> {
    fn read(headers: &'a HeaderMap) -> Self {
        let mut offered = Self {
            speaks_ours: false,
            token: None,
        };
        let values = headers
            .get_all(SEC_WEBSOCKET_PROTOCOL)
            .iter()
            .filter_map(|value| value.to_str().ok());
        for protocol in values.flat_map(|value| value.split(',')).map(str::trim) {
            match protocol.strip_prefix(TOKEN_SUBPROTOCOL) {
                Some(token) => offered.token = Some(token),
                None => offered.speaks_ours |= protocol == SUBPROTOCOL,
            }
        }
        offered
    }
}

fn accept_key(request: &Request) -> Result<HeaderValue, Problem> {
    let headers = request.headers();
    let refused = |detail: &str| Problem::bad_request("invalid_handshake", detail);
    if request.method() != Method::GET
        || headers
            .get("sec-websocket-version")
            .is_none_or(|version| version != "13")
    {
        return Err(refused(
            "a WebSocket begins with GET and Sec-WebSocket-Version: 13",
        ));
    }
    let key = headers
        .get("sec-websocket-key")
        .ok_or_else(|| refused("Sec-WebSocket-Key is missing"))?;
    HeaderValue::from_str(&derive_accept_key(key.as_bytes()))
        .map_err(|_| refused("Sec-WebSocket-Key is not readable"))
}

type Socket = WebSocketStream<TcpStream>;

/// The bare TCP connection under the upgrade: hyper's own wrapping would be kept, and paid for, as long as the socket.
async fn socket(upgraded: Upgraded) -> Option<Socket> {
    let parts = upgraded.downcast::<TokioIo<TcpStream>>().ok()?;
    let config = WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER)
        .write_buffer_size(0)
        .max_write_buffer_size(MAX_WRITE_BUFFER)
        .max_message_size(Some(MAX_CLIENT_MESSAGE))
        .max_frame_size(Some(MAX_CLIENT_MESSAGE));
    let early = parts.read_buf.to_vec();
    let stream = parts.io.into_inner();
    Some(if early.is_empty() {
        WebSocketStream::from_raw_socket(stream, Role::Server, Some(config)).await
    } else {
        WebSocketStream::from_partially_read(stream, early, Role::Server, Some(config)).await
    })
}

async fn begin(
    site: Arc<Site>,
    account: Arc<Account>,
    id: PaymentId,
    permit: Permit,
    socket: Socket,
) {
    match site.gateway.watch(&account, &id).await {
        Ok(watch) => {
            site.gateway.keep_alive(&watch);
            // A task of its own, so that what was needed to begin is not kept as long as the connection.
            tokio::spawn(Session::following(socket, watch, permit));
        }
        Err(error) => {
            drop(permit);
            Session::parting(socket, error.into()).await;
        }
    }
}

/// A close code and its reason.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Farewell {
    code: u16,
    reason: Utf8Bytes,
}

impl Farewell {
    fn new(code: u16, reason: impl Into<Utf8Bytes>) -> Self {
        Self {
            code,
            reason: reason.into(),
        }
    }

    fn retry(code: u16, wait: Duration) -> Self {
        Self::new(code, format!("retry_after_ms={}", wait.as_millis()))
    }

    fn going_away(retry_after_ms: u32) -> Self {
        Self::retry(1012, Duration::from_millis(retry_after_ms.into()))
    }
}

/// Codes are 4000 and the HTTP status: 44xx never retry, 45xx retry.
impl From<Problem> for Farewell {
    fn from(problem: Problem) -> Self {
        let code = match problem.status.as_u16() {
            status @ (401 | 403 | 404 | 429) => 4000 + status,
            // Whatever else failed may pass, and a browser must not give up because of it.
            _ => 4503,
        };
        if code == 4429 {
            Self::retry(code, Duration::from_secs(5))
        } else {
            Self::new(code, problem.code)
        }
    }
}

impl From<Refusal> for Farewell {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::GoingAway => Self::going_away(1000),
            refusal => Problem::from(refusal).into(),
        }
    }
}

impl From<WatchError> for Farewell {
    fn from(error: WatchError) -> Self {
        match error {
            WatchError::Refused(refusal) => refusal.into(),
            error => Problem::from(error).into(),
        }
    }
}

/// One connection, from the end of the handshake to the end.
struct Session {
    socket: Socket,
    following: Option<(Watch, Permit)>,
    phase: Phase,
    unanswered_pings: u8,
    client_messages: u8,
    /// Only while parting; boxed, so that the many who wait do not carry it.
    deadline: Option<Pin<Box<Sleep>>>,
}

enum Phase {
    Following,
    /// A final status was sent; the page may still say that it was seen.
    Settled,
    /// To be said as soon as there is room.
    Parting(Farewell),
    /// Said; the other end has to answer.
    Parted,
    /// The other end sent more than it may: what it sends is no longer understood, only thrown away.
    Discarding(usize),
}

impl Session {
    fn following(socket: Socket, watch: Watch, permit: Permit) -> Self {
        Self {
            socket,
            following: Some((watch, permit)),
            phase: Phase::Following,
            unanswered_pings: 0,
            client_messages: 0,
            deadline: None,
        }
    }

    fn parting(socket: Socket, farewell: Farewell) -> Self {
        Self {
            socket,
            following: None,
            phase: Phase::Parting(farewell),
            unanswered_pings: 0,
            client_messages: 0,
            deadline: Some(Box::pin(tokio::time::sleep(CLOSE_GRACE))),
        }
    }

    fn part(&mut self, farewell: Farewell) {
        self.phase = Phase::Parting(farewell);
        self.deadline = Some(Box::pin(tokio::time::sleep(CLOSE_GRACE)));
    }

    /// Ready when the connection is over.
    fn poll_read(&mut self, context: &mut Context<'_>) -> Poll<()> {
        while !matches!(self.phase, Phase::Discarding(_)) {
            match ready!(self.socket.poll_next_unpin(context)) {
                Some(Ok(Frame::Pong(_))) => self.unanswered_pings = 0,
                Some(Ok(Frame::Text(text))) => self.heard(text.as_str()),
                Some(Ok(Frame::Binary(_))) => self.heard(""),
                Some(Ok(_)) => {}
                Some(Err(SocketError::Capacity(_))) => {
                    let farewell =
                        close_frame(&Farewell::new(1009, "a message is at most 1024 bytes"));
                    // It is queued even if it cannot be written now; flushing goes on below.
                    let _ = self.socket.start_send_unpin(Frame::Close(Some(farewell)));
                    self.deadline = Some(Box::pin(tokio::time::sleep(CLOSE_GRACE)));
                    self.phase = Phase::Discarding(0);
                }
                Some(Err(_)) | None => return Poll::Ready(()),
            }
        }
        self.poll_discard(context)
    }

    /// Closing at once would reset the connection and take the close frame with it, so the rest is read and forgotten.
    fn poll_discard(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let mut scratch = [0; 1024];
        while let Phase::Discarding(total) = &mut self.phase {
            let mut buffer = ReadBuf::new(&mut scratch);
            match ready!(Pin::new(self.socket.get_mut()).poll_read(context, &mut buffer)) {
                Ok(()) if !buffer.filled().is_empty() && *total < MAX_DISCARDED => {
                    *total += buffer.filled().len()
                }
                _ => return Poll::Ready(()),
            }
        }
        Poll::Pending
    }

    /// A client need say nothing. It may say which version its payer has seen.
    fn heard(&mut self, text: &str) {
        #[derive(Deserialize)]
        struct Receipt {
            seen: u8,
        }
        self.client_messages = self.client_messages.saturating_add(1);
        if self.client_messages > MAX_CLIENT_MESSAGES {
            return self.part(Farewell::new(1008, "too many messages"));
        }
        let Ok(Receipt { seen }) = serde_json::from_str(text) else {
            return;
        };
        let (Some((watch, _)), Some(status)) =
            (&self.following, crate::payment::Status::from_version(seen))
        else {
            return;
        };
        metrics::counter!("chasqui_receipts_total", "status" => status.as_str()).increment(1);
        tracing::debug!(payment_id = %watch.payment_id(), status = status.as_str(), "the payer saw it");
        if matches!(self.phase, Phase::Settled) && status.is_final() {
            self.part(final_farewell());
        }
    }

    /// Ready when the other end has to be given up.
    fn poll_signals(&mut self) -> Poll<()> {
        let Some((watch, _)) = &self.following else {
            return Poll::Pending;
        };
        match watch.watcher().take_signal() {
            Some(Signal::Ping) => {
                if self.unanswered_pings >= MAX_UNANSWERED_PINGS {
                    return Poll::Ready(());
                }
                self.unanswered_pings += 1;
                self.client_messages = 0;
                // Should there be no room for it, the other end has not read for long, and goes without.
                let _ = self.socket.start_send_unpin(Frame::Ping(Bytes::new()));
            }
            Some(Signal::Lifetime) if matches!(self.phase, Phase::Following) => {
                self.part(Farewell::new(4508, "lifetime"));
            }
            Some(Signal::GoingAway { retry_after_ms })
                if matches!(self.phase, Phase::Following) =>
            {
                self.part(Farewell::going_away(retry_after_ms));
            }
            _ => {}
        }
        Poll::Pending
    }

    /// Ready when the connection is over.
    fn poll_write(&mut self, context: &mut Context<'_>) -> Poll<()> {
        loop {
            let room = match self.socket.poll_ready_unpin(context) {
                Poll::Ready(Ok(())) => true,
                Poll::Ready(Err(_)) => return Poll::Ready(()),
                Poll::Pending => false,
            };
            let frame = if room { self.next_frame() } else { None };
            if let Some(frame) = frame {
                if self.socket.start_send_unpin(frame).is_err() {
                    return Poll::Ready(());
                }
                continue;
            }
            return match self.socket.poll_flush_unpin(context) {
                // Answering a close, the socket reports its end here too.
                Poll::Ready(Err(_)) => Poll::Ready(()),
                _ => Poll::Pending,
            };
        }
    }

    fn next_frame(&mut self) -> Option<Frame> {
        match &self.phase {
            Phase::Following => {
                let message = self.following.as_ref()?.0.watcher().take()?;
                if message.status.is_final() {
                    self.phase = Phase::Settled;
                    self.deadline = Some(Box::pin(tokio::time::sleep(RECEIPT_GRACE)));
                }
                Some(text_frame(message))
            }
            Phase::Parting(farewell) => {
                let frame = Frame::Close(Some(close_frame(farewell)));
                self.phase = Phase::Parted;
                Some(frame)
            }
            Phase::Settled | Phase::Parted | Phase::Discarding(_) => None,
        }
    }

    /// Ready when the other end was waited for long enough.
    fn poll_deadline(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let Some(deadline) = &mut self.deadline else {
            return Poll::Pending;
        };
        ready!(deadline.as_mut().poll(context));
        if matches!(self.phase, Phase::Settled) {
            self.part(final_farewell());
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(())
    }
}

impl Future for Session {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        if let Some((watch, _)) = &this.following {
            // Before looking at anything, so that nothing that comes meanwhile is missed.
            watch.watcher().wake_me(context);
        }
        let over = this.poll_read(context).is_ready()
            || this.poll_signals().is_ready()
            || this.poll_write(context).is_ready()
            || this.poll_deadline(context).is_ready();
        if over {
            // Said even to one that is gone; there is nobody to tell if it fails.
            let _ = Pin::new(this.socket.get_mut()).poll_shutdown(context);
            return Poll::Ready(());
        }
        Poll::Pending
    }
}

fn final_farewell() -> Farewell {
    Farewell::new(1000, "final")
}

fn close_frame(farewell: &Farewell) -> CloseFrame {
    CloseFrame {
        code: CloseCode::from(farewell.code),
        reason: farewell.reason.clone(),
    }
}

fn text_frame(message: Message) -> Frame {
    // serde_json writes UTF-8.
    Frame::Text(Utf8Bytes::try_from(message.json).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_watcher_costs_little() {
        let size = size_of::<Session>();
        assert!(
            size <= 512,
            "a session has grown to {size} bytes: there is one for every payer who waits"
        );
    }

    #[test]
    fn close_codes_tell_a_client_whether_to_come_back() {
        for (status, code) in [
            (401, 4401),
            (404, 4404),
            (403, 4403),
            (429, 4429),
            (500, 4503),
            (502, 4503),
            (503, 4503),
        ] {
            let problem = Problem::new(
                StatusCode::from_u16(status).expect("status"),
                "code",
                "detail",
            );
            assert_eq!(Farewell::from(problem).code, code);
        }
        assert_eq!(
            Farewell::from(Refusal::GoingAway),
            Farewell::new(1012, "retry_after_ms=1000")
        );
        assert_eq!(
            Farewell::from(Refusal::AddressFull),
            Farewell::new(4429, "retry_after_ms=5000")
        );
        assert_eq!(Farewell::from(Refusal::InstanceFull).code, 4503);
    }
}
