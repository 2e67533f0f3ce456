//! A request's body with a deadline.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::BoxError;
use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tokio::time::{Instant, Sleep, sleep_until};

use super::connections::{Connection, NoCapacity};

/// How long a body may take: `timeout`, and one second more for every `bytes_per_second` received.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BodyPace {
    pub(crate) timeout: Duration,
    pub(crate) bytes_per_second: usize,
}

impl BodyPace {
    fn allows(self, received: usize) -> Duration {
        let rate = u32::try_from(self.bytes_per_second).unwrap_or(u32::MAX);
        self.timeout + Duration::from_secs(received as u64) / rate.max(1)
    }
}

/// Why a body is not read to its end.
#[derive(Debug, thiserror::Error)]
pub(super) enum BodyError {
    #[error("the body arrived too slowly")]
    TooSlow,
    #[error(transparent)]
    NoCapacity(NoCapacity),
    #[error("the body is incomplete: {0}")]
    BrokenOff(BoxError),
}

/// A body that, once complete, marks its connection as answering.
#[derive(Debug)]
pub(super) struct TimedBody<B = Incoming> {
    body: B,
    pace: BodyPace,
    began: Instant,
    received: usize,
    /// Created at the first wait: most bodies arrive with their head.
    timer: Option<Pin<Box<Sleep>>>,
    connection: Arc<Connection>,
    may_use_reserve: bool,
}

impl<B: Body<Data = Bytes> + Unpin> TimedBody<B> {
    pub(super) fn new(
        body: B,
        pace: BodyPace,
        connection: Arc<Connection>,
        may_use_reserve: bool,
    ) -> Self {
        Self {
            body,
            pace,
            began: Instant::now(),
            received: 0,
            timer: None,
            connection,
            may_use_reserve,
        }
    }

    fn completed(&self) -> Result<(), BodyError> {
        self.connection
            .begin_answer(self.may_use_reserve)
            .map_err(BodyError::NoCapacity)
    }

    /// Ready at the deadline.
    fn poll_deadline(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let deadline = self.began + self.pace.allows(self.received);
        let timer = self
            .timer
            .get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        if timer.deadline() != deadline {
            timer.as_mut().reset(deadline);
        }
        timer.as_mut().poll(context)
    }
}

impl<B> Body for TimedBody<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let frame = match Pin::new(&mut self.body).poll_frame(context) {
            Poll::Ready(frame) => frame,
            Poll::Pending => {
                ready!(self.poll_deadline(context));
                metrics::counter!("chasqui_slow_bodies_total").increment(1);
                return Poll::Ready(Some(Err(BodyError::TooSlow)));
            }
        };
        Poll::Ready(match frame {
            Some(Ok(frame)) => {
                self.received += frame.data_ref().map_or(0, Bytes::len);
                // A reader that knows the length does not poll for the end.
                let completed = if self.body.is_end_stream() {
                    self.completed()
                } else {
                    Ok(())
                };
                Some(completed.map(|()| frame))
            }
            Some(Err(error)) => Some(Err(BodyError::BrokenOff(error.into()))),
            None => self.completed().err().map(Err),
        })
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::future::poll_fn;

    use super::super::connections::{Capacity, Connections};
    use super::*;

    const PACE: BodyPace = BodyPace {
        timeout: Duration::from_secs(10),
        bytes_per_second: 1000,
    };

    /// One piece of the given size a second, then the end.
    struct Trickle {
        pieces: VecDeque<usize>,
        next: Pin<Box<Sleep>>,
    }

    impl Body for Trickle {
        type Data = Bytes;
        type Error = BoxError;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            context: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
            ready!(self.next.as_mut().poll(context));
            let next = Instant::now() + Duration::from_secs(1);
            self.next.as_mut().reset(next);
            match self.pieces.pop_front() {
                Some(length) => Poll::Ready(Some(Ok(Frame::data(vec![0; length].into())))),
                None => Poll::Ready(None),
            }
        }
    }

    /// Reads a body; returns the seconds taken and the result.
    async fn read(pieces: impl IntoIterator<Item = usize>) -> (u64, Result<usize, BodyError>) {
        let connections = Connections::new(Capacity {
            answering: 1,
            reserved: 1,
        });
        let connection = Arc::new(connections.admit().await);
        let trickle = Trickle {
            pieces: pieces.into_iter().collect(),
            next: Box::pin(sleep_until(Instant::now())),
        };
        let mut body = TimedBody::new(trickle, PACE, connection, false);
        let began = Instant::now();
        let mut length = 0;
        let end = loop {
            match poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
                Some(Ok(frame)) => length += frame.data_ref().map_or(0, Bytes::len),
                Some(Err(error)) => break Err(error),
                None => break Ok(length),
            }
        };
        (began.elapsed().as_secs(), end)
    }

    #[tokio::test(start_paused = true)]
    async fn a_trickled_body_is_given_up_at_its_deadline() {
        let (seconds, end) = read(vec![1; 3600]).await;
        assert!(matches!(end, Err(BodyError::TooSlow)), "{end:?}");
        assert_eq!(seconds, 10);
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_keeps_the_rate_may_take_longer() {
        let (seconds, end) = read(vec![1000; 60]).await;
        assert_eq!(end.expect("read"), 60_000);
        assert_eq!(seconds, 60);
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_falls_behind_the_rate_is_given_up_at_its_extended_deadline() {
        let (seconds, end) = read([vec![1000; 20], vec![0; 3600]].concat()).await;
        assert!(matches!(end, Err(BodyError::TooSlow)), "{end:?}");
        assert_eq!(seconds, 30);
    }
}
