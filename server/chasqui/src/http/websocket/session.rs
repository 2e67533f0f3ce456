//! One connection, as a state machine.
//!
//! It is a hand-written future, because a task is as large as its largest await point and each watcher has one. While idle
//! it has no timer (the hub's wheel signals heartbeats, pings and lifetimes) and no queue (the watcher's slot holds the
//! newest message only).

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use chasqui_core::WatchHandle;
use chasqui_core::push::{StatusMessage, WatcherSignal};
use chasqui_payment::Version;
use futures_util::{SinkExt, StreamExt};
use serde::Deserialize;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Sleep;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::{Bytes, Error as SocketError, Message as Frame, Utf8Bytes};

use super::close_reason::CloseReason;
use super::frame_limit::FrameLimit;
use crate::http::connection_limiter::ConnectionPermit;

pub(super) type Socket = WebSocketStream<FrameLimit<TcpStream>>;

/// Visible to scripts, unlike pings: a page can distinguish a quiet gateway from one that is gone.
const HEARTBEAT_TEXT: &str = "{}";

/// After two unanswered pings, the third closes the connection.
const MAX_UNANSWERED_PINGS: u8 = 2;

/// How long after a final status the page may send a receipt or close.
const RECEIPT_GRACE: Duration = Duration::from_secs(1);

/// How long the peer may take to answer a close.
const CLOSE_GRACE: Duration = Duration::from_secs(5);

/// The most bytes that are read and dropped after a client exceeds a limit, while it receives its close frame.
const MAX_DISCARDED: usize = 256 * 1024;

/// One connection, after its handshake.
pub(super) struct Session {
    socket: Socket,
    /// `None` if the connection was refused.
    watch: Option<WatchHandle>,
    _permit: ConnectionPermit,
    phase: Phase,
    unanswered_pings: u8,
    /// The newest versions that were sent and have no receipt; 0 is none. A peer cannot acknowledge what it did not get.
    unacknowledged: [u16; 4],
    /// Set near the end; boxed, because most sessions have none.
    deadline: Option<Pin<Box<Sleep>>>,
}

enum Phase {
    Watching,
    /// A final status was sent; a receipt may follow.
    FinalSent,
    /// The close frame is sent as soon as there is room.
    Closing(CloseReason),
    /// The peer has to answer the close frame.
    CloseSent,
    /// The peer exceeded a limit: its bytes are counted and dropped.
    Discarding(usize),
}

impl Session {
    pub(super) fn watching(socket: Socket, watch: WatchHandle, permit: ConnectionPermit) -> Self {
        Self {
            socket,
            watch: Some(watch),
            _permit: permit,
            phase: Phase::Watching,
            unanswered_pings: 0,
            unacknowledged: [0; 4],
            deadline: None,
        }
    }

    pub(super) fn closing(
        socket: Socket,
        close_reason: CloseReason,
        permit: ConnectionPermit,
    ) -> Self {
        Self {
            socket,
            watch: None,
            _permit: permit,
            phase: Phase::Closing(close_reason),
            unanswered_pings: 0,
            unacknowledged: [0; 4],
            deadline: Some(Box::pin(tokio::time::sleep(CLOSE_GRACE))),
        }
    }

    fn close(&mut self, close_reason: CloseReason) {
        self.phase = Phase::Closing(close_reason);
        self.deadline = Some(Box::pin(tokio::time::sleep(CLOSE_GRACE)));
    }

    /// Ready when the connection is over.
    fn poll_read(&mut self, context: &mut Context<'_>) -> Poll<()> {
        while !matches!(self.phase, Phase::Discarding(_)) {
            match ready!(self.socket.poll_next_unpin(context)) {
                Some(Ok(Frame::Pong(_))) => self.unanswered_pings = 0,
                Some(Ok(Frame::Text(text))) => self.receive(text.as_str()),
                Some(Ok(_)) => {}
                Some(Err(SocketError::Capacity(_))) => {
                    self.discard(&CloseReason::message_too_long());
                }
                Some(Err(_)) if self.socket.get_ref().exceeded() => {
                    self.discard(&CloseReason::too_many_messages());
                }
                Some(Err(_)) | None => return Poll::Ready(()),
            }
        }
        self.poll_discard(context)
    }

    /// Closes the connection of a peer that exceeded a limit, and stops parsing what it sends.
    fn discard(&mut self, close_reason: &CloseReason) {
        // Queued even if it cannot be written now; `poll_write` flushes it.
        let close = Frame::Close(Some(close_reason.frame()));
        let _ = self.socket.start_send_unpin(close);
        self.deadline = Some(Box::pin(tokio::time::sleep(CLOSE_GRACE)));
        self.phase = Phase::Discarding(0);
    }

    /// Reads and drops the rest: closing with unread bytes would reset the connection and lose the close frame.
    fn poll_discard(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let mut scratch = [0; 1024];
        while let Phase::Discarding(total) = &mut self.phase {
            let mut buffer = ReadBuf::new(&mut scratch);
            let stream = self.socket.get_mut().unlimited();
            match ready!(Pin::new(stream).poll_read(context, &mut buffer)) {
                Ok(()) if !buffer.filled().is_empty() && *total < MAX_DISCARDED => {
                    *total += buffer.filled().len()
                }
                _ => return Poll::Ready(()),
            }
        }
        Poll::Pending
    }

    /// The status as a frame, which a receipt may follow.
    fn sent(&mut self, message: StatusMessage) -> Frame {
        self.unacknowledged.rotate_right(1);
        self.unacknowledged[0] = message.version.number();
        text_frame(message)
    }

    /// Accepts one receipt for a version that was sent; ignores everything else.
    fn receive(&mut self, text: &str) {
        #[derive(Deserialize)]
        struct Receipt {
            seen: u16,
        }
        let (Some(watch), Phase::Watching | Phase::FinalSent) = (&self.watch, &self.phase) else {
            return;
        };
        let Ok(Receipt { seen }) = serde_json::from_str(text) else {
            return;
        };
        let sent = self.unacknowledged.iter_mut().find(|it| **it == seen);
        let (Some(sent), Some(version)) = (sent, Version::from_number(seen)) else {
            return;
        };
        *sent = 0;
        metrics::counter!("chasqui_receipts_total", "status" => version.status().as_str())
            .increment(1);
        watch.seen(version);
        tracing::debug!(payment_id = %watch.payment_id(), version = seen, "receipt: the payer saw the status");
        if matches!(self.phase, Phase::FinalSent) && version.is_final() {
            self.close(CloseReason::final_status());
        }
    }

    /// Ready when the peer does not answer pings.
    fn poll_signals(&mut self) -> Poll<()> {
        while let Some(signal) = self
            .watch
            .as_ref()
            .and_then(|watch| watch.watcher().take_signal())
        {
            match signal {
                // Without room the peer has not read for long, and the frame is skipped.
                WatcherSignal::Heartbeat if matches!(self.phase, Phase::Watching) => {
                    let _ = self.socket.start_send_unpin(Frame::text(HEARTBEAT_TEXT));
                }
                WatcherSignal::Ping => {
                    if self.unanswered_pings >= MAX_UNANSWERED_PINGS {
                        return Poll::Ready(());
                    }
                    self.unanswered_pings += 1;
                    self.socket.get_mut().allow_one();
                    let _ = self.socket.start_send_unpin(Frame::Ping(Bytes::new()));
                }
                WatcherSignal::Lifetime if matches!(self.phase, Phase::Watching) => {
                    self.close(CloseReason::lifetime());
                }
                WatcherSignal::GoingAway { retry_after_ms }
                    if matches!(self.phase, Phase::Watching) =>
                {
                    self.close(CloseReason::going_away(retry_after_ms));
                }
                _ => {}
            }
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
                Poll::Ready(Err(_)) => Poll::Ready(()),
                _ => Poll::Pending,
            };
        }
    }

    fn next_frame(&mut self) -> Option<Frame> {
        match &self.phase {
            Phase::Watching => {
                let message = self.watch.as_ref()?.watcher().take()?;
                if message.version.is_final() {
                    self.phase = Phase::FinalSent;
                    self.deadline = Some(Box::pin(tokio::time::sleep(RECEIPT_GRACE)));
                }
                Some(self.sent(message))
            }
            Phase::Closing(close_reason) => {
                // The newest status goes before the close frame.
                if let Some(message) = self.watch.as_ref().and_then(|watch| watch.watcher().take())
                {
                    return Some(self.sent(message));
                }
                let frame = Frame::Close(Some(close_reason.frame()));
                self.phase = Phase::CloseSent;
                Some(frame)
            }
            Phase::FinalSent | Phase::CloseSent | Phase::Discarding(_) => None,
        }
    }

    /// Ready when the deadline has passed.
    fn poll_deadline(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let Some(deadline) = &mut self.deadline else {
            return Poll::Pending;
        };
        ready!(deadline.as_mut().poll(context));
        if matches!(self.phase, Phase::FinalSent) {
            self.close(CloseReason::final_status());
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
        if let Some(watch) = &this.watch {
            // Registered before polling, so that no change is missed.
            watch.watcher().register_waker(context);
        }
        let over = this.poll_read(context).is_ready()
            || this.poll_signals().is_ready()
            || this.poll_write(context).is_ready()
            || this.poll_deadline(context).is_ready();
        if over {
            // Best effort: the peer may be gone.
            let _ = Pin::new(this.socket.get_mut()).poll_shutdown(context);
            return Poll::Ready(());
        }
        Poll::Pending
    }
}

#[expect(clippy::expect_used, reason = "a message is JSON")]
fn text_frame(message: StatusMessage) -> Frame {
    Frame::Text(Utf8Bytes::try_from(message.json).expect("JSON in UTF-8"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_watcher_costs_little() {
        let size = size_of::<Session>();
        assert!(
            size <= 512,
            "a session has grown to {size} bytes; each watcher has one"
        );
    }
}
