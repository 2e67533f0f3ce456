//! Limits the frames of a client: a stream that counts the WebSocket frames it reads, and fails at one too many.
//!
//! It counts below tungstenite, which returns whole messages only: nothing of a fragmented one before its last fragment,
//! and empty continuation frames add nothing to its size. A client could send such frames for ever, unseen above. Reading
//! raw frames instead (`FrameSocket`) would mean to assemble messages, check UTF-8 and answer closes here.

use std::io;
use std::pin::Pin;
use std::sync::LazyLock;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Frames of any kind in a minute: messages, fragments, pings, pongs. One more closes 1008. A client needs a handful, for
/// receipts.
pub(super) const MAX_FRAMES: u8 = 32;

/// A window begins with its first frame.
const WINDOW_S: u32 = 60;

#[derive(Debug)]
pub(super) struct FrameLimit<S> {
    stream: S,
    counter: Counter,
}

impl<S> FrameLimit<S> {
    /// `early` was read from the stream before. It is counted, not returned again.
    pub(super) fn new(stream: S, early: &[u8]) -> Self {
        let mut counter = Counter::default();
        counter.count(early, seconds());
        Self { stream, counter }
    }

    /// Once true, every read fails.
    pub(super) fn exceeded(&self) -> bool {
        self.counter.frames > MAX_FRAMES
    }

    /// Allows one frame more: the answer to a ping.
    pub(super) fn allow_one(&mut self) {
        if !self.exceeded() {
            self.counter.frames = self.counter.frames.saturating_sub(1);
        }
    }

    /// The stream without its limit.
    pub(super) fn unlimited(&mut self) -> &mut S {
        &mut self.stream
    }
}

/// Small, because each watcher has one.
#[derive(Debug, Default)]
struct Counter {
    position: Position,
    frames: u8,
    window_ends_at: u32,
}

/// The next byte's position in a frame. Lengths saturate at 65,535: tungstenite closes the connection far below that.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Position {
    #[default]
    Start,
    Length,
    /// In an extended length, with `left` bytes to come.
    LongLength {
        left: u8,
        mask: u8,
        length: u16,
    },
    /// In the masking key and the payload.
    Body {
        left: u16,
    },
}

const MASK_BIT: u8 = 0x80;
const MASK_BYTES: u8 = 4;

impl Counter {
    fn count(&mut self, mut bytes: &[u8], now: u32) {
        while let [byte, rest @ ..] = bytes {
            bytes = rest;
            self.position = match self.position {
                Position::Start => {
                    self.count_frame(now);
                    Position::Length
                }
                Position::Length => {
                    let mask = if byte & MASK_BIT == 0 { 0 } else { MASK_BYTES };
                    match byte & !MASK_BIT {
                        126 => Position::LongLength {
                            left: 2,
                            mask,
                            length: 0,
                        },
                        127 => Position::LongLength {
                            left: 8,
                            mask,
                            length: 0,
                        },
                        length => Position::body(length.into(), mask),
                    }
                }
                Position::LongLength { left, mask, length } => {
                    let length = length.saturating_mul(256).saturating_add(u16::from(*byte));
                    match left - 1 {
                        0 => Position::body(length, mask),
                        left => Position::LongLength { left, mask, length },
                    }
                }
                Position::Body { left } => {
                    // This byte, and the rest of the body that is here.
                    let left = left - 1;
                    let more = u16::try_from(rest.len()).map_or(left, |length| length.min(left));
                    bytes = &rest[more.into()..];
                    match left - more {
                        0 => Position::Start,
                        left => Position::Body { left },
                    }
                }
            };
        }
    }

    fn count_frame(&mut self, now: u32) {
        if now >= self.window_ends_at && self.frames <= MAX_FRAMES {
            self.frames = 0;
            self.window_ends_at = now.saturating_add(WINDOW_S);
        }
        self.frames = self.frames.saturating_add(1);
    }
}

impl Position {
    fn body(length: u16, mask: u8) -> Self {
        match length.saturating_add(mask.into()) {
            0 => Self::Start,
            left => Self::Body { left },
        }
    }
}

/// Seconds since the first call; a quarter of the size of an `Instant`.
fn seconds() -> u32 {
    static START: LazyLock<Instant> = LazyLock::new(Instant::now);
    u32::try_from(START.elapsed().as_secs()).unwrap_or(u32::MAX)
}

impl<S: AsyncRead + Unpin> AsyncRead for FrameLimit<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        if !this.exceeded() {
            ready!(Pin::new(&mut this.stream).poll_read(context, buffer))?;
            this.counter.count(&buffer.filled()[before..], seconds());
        }
        if this.exceeded() {
            buffer.set_filled(before);
            return Poll::Ready(Err(io::Error::other("too many frames")));
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for FrameLimit<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(context, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;

    use super::*;

    /// A masked frame, as a browser sends it.
    fn frame(opcode: u8, payload: usize) -> Vec<u8> {
        let mut bytes = vec![opcode];
        match (u8::try_from(payload), u16::try_from(payload)) {
            (Ok(short @ 0..126), _) => bytes.push(MASK_BIT | short),
            (_, Ok(long)) => {
                bytes.push(MASK_BIT | 126);
                bytes.extend(long.to_be_bytes());
            }
            _ => panic!("no frame here is as long as {payload} bytes"),
        }
        // Bytes that would count as frames if the position were lost.
        bytes.resize(bytes.len() + usize::from(MASK_BYTES) + payload, 0x80);
        bytes
    }

    fn counted(pieces: &[&[u8]]) -> u8 {
        let mut counter = Counter::default();
        pieces.iter().for_each(|piece| counter.count(piece, 0));
        counter.frames
    }

    #[test]
    fn each_frame_of_any_kind_and_length_counts_once() {
        const TEXT_BEGINS: u8 = 0x01;
        const CONTINUED: u8 = 0x00;
        const PING: u8 = 0x89;
        const PONG: u8 = 0x8a;
        let frames = [
            frame(TEXT_BEGINS, 3),
            frame(CONTINUED, 0),
            frame(PING, 125),
            frame(CONTINUED, 126),
            frame(PONG, 0),
            frame(0x80, 1024),
        ];
        assert_eq!(counted(&[&frames.concat()]), 6);
    }

    #[test]
    fn the_position_is_kept_across_reads() {
        let bytes = [frame(0x01, 200), frame(0x00, 0), frame(0x80, 7)].concat();
        for at in 0..bytes.len() {
            let (one, other) = bytes.split_at(at);
            assert_eq!(counted(&[one, other]), 3, "cut at {at}");
        }
        let single: Vec<&[u8]> = bytes.chunks(1).collect();
        assert_eq!(counted(&single), 3);
    }

    #[test]
    fn an_unmasked_frame_and_an_absurd_length_are_survived() {
        assert_eq!(counted(&[&[0x81, 0], &[0x81, 1, b'x'], &[0x89, 0]]), 3);
        assert_eq!(counted(&[&[0x81, 0xff], &[0xff; 8], &[0x80; 60_000]]), 1);
    }

    #[test]
    fn a_window_ends_a_minute_after_its_first_frame() {
        let mut counter = Counter::default();
        let one = frame(0x8a, 0);
        for now in [100, 159, 160] {
            for _ in 0..16 {
                counter.count(&one, now);
            }
            assert!(counter.frames <= MAX_FRAMES, "{counter:?} at {now}");
        }
        for _ in 0..17 {
            counter.count(&one, 219);
        }
        assert!(counter.frames > MAX_FRAMES);
        counter.count(&one, 1000);
        assert!(
            counter.frames > MAX_FRAMES,
            "an exceeded limit stays exceeded"
        );
    }

    #[tokio::test]
    async fn one_frame_too_many_fails_the_read() {
        let frames = frame(0x89, 0).repeat(usize::from(MAX_FRAMES));
        let mut stream = FrameLimit::new(frames.as_slice(), &[]);
        let mut read = Vec::new();
        stream
            .read_to_end(&mut read)
            .await
            .expect("within the limit");
        assert_eq!(read, frames);

        let mut stream = FrameLimit::new(frames.as_slice(), &frame(0x89, 0));
        assert!(stream.read_to_end(&mut Vec::new()).await.is_err());
        assert!(stream.exceeded());
    }

    #[tokio::test]
    async fn an_answer_to_a_ping_is_not_counted() {
        let frames = frame(0x8a, 0).repeat(100);
        let mut stream = FrameLimit::new(frames.as_slice(), &[]);
        let mut one = vec![0; frame(0x8a, 0).len()];
        for _ in 0..100 {
            stream.allow_one();
            stream.read_exact(&mut one).await.expect("owed");
        }
    }

    #[test]
    fn it_costs_a_watcher_sixteen_bytes() {
        assert!(size_of::<FrameLimit<u64>>() <= size_of::<u64>() + 16);
    }
}
