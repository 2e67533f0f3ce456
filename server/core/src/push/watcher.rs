//! One watcher: a slot for the newest message, a few signals, and the task to wake.

use std::sync::atomic::{AtomicU8, AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use futures_util::task::AtomicWaker;

use super::status_message::StatusMessage;

/// What a watcher's transport must do, beside sending messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WatcherSignal {
    /// Send a heartbeat: there was no message for a while.
    Heartbeat,
    Ping,
    /// Close the connection: its lifetime has ended.
    Lifetime,
    /// Close the connection: this instance stops.
    GoingAway {
        retry_after_ms: u32,
    },
}

const PING: u8 = 1;
const LIFETIME: u8 = 2;
const GOING_AWAY: u8 = 4;
const HEARTBEAT: u8 = 8;

/// Small, because an instance holds one for each connection.
#[derive(Debug, Default)]
pub struct Watcher {
    slot: Mutex<Slot>,
    signals: AtomicU8,
    retry_after_ms: AtomicU32,
    /// When the newest message was published, in ticks of the timer wheel; 0 before the first.
    offered_at: AtomicU32,
    waker: AtomicWaker,
}

#[derive(Debug, Default)]
struct Slot {
    unsent: Option<StatusMessage>,
    /// The highest version so far; 0 before the first message.
    version: u16,
}

impl Watcher {
    /// Replaces the message in the slot, if this one is newer: a watcher never sees a lower version, nor the same one twice.
    /// Returns whether it was newer.
    pub(crate) fn offer(&self, message: &StatusMessage) -> bool {
        let version = message.version.number();
        {
            let mut slot = self.slot();
            if version <= slot.version {
                return false;
            }
            *slot = Slot {
                unsent: Some(message.clone()),
                version,
            };
        }
        self.waker.wake();
        true
    }

    pub(super) fn set_offered_at(&self, tick: u32) {
        self.offered_at.store(tick, Ordering::Relaxed);
    }

    pub(super) fn offered_at(&self) -> u32 {
        self.offered_at.load(Ordering::Relaxed)
    }

    /// The newest message that has not been taken.
    pub fn take(&self) -> Option<StatusMessage> {
        self.slot().unsent.take()
    }

    fn slot(&self) -> MutexGuard<'_, Slot> {
        self.slot.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn signal(&self, signal: WatcherSignal) {
        let bit = match signal {
            WatcherSignal::Heartbeat => HEARTBEAT,
            WatcherSignal::Ping => PING,
            WatcherSignal::Lifetime => LIFETIME,
            WatcherSignal::GoingAway { retry_after_ms } => {
                self.retry_after_ms.store(retry_after_ms, Ordering::Relaxed);
                GOING_AWAY
            }
        };
        // Release: a reader of the bit sees the delay, which was stored before.
        self.signals.fetch_or(bit, Ordering::Release);
        self.waker.wake();
    }

    /// The most urgent signal that has not been taken.
    pub fn take_signal(&self) -> Option<WatcherSignal> {
        let bits = self.signals.load(Ordering::Acquire);
        let bit = [GOING_AWAY, LIFETIME, PING, HEARTBEAT]
            .into_iter()
            .find(|bit| bits & bit != 0)?;
        self.signals.fetch_and(!bit, Ordering::AcqRel);
        Some(match bit {
            GOING_AWAY => WatcherSignal::GoingAway {
                retry_after_ms: self.retry_after_ms.load(Ordering::Relaxed),
            },
            LIFETIME => WatcherSignal::Lifetime,
            PING => WatcherSignal::Ping,
            _ => WatcherSignal::Heartbeat,
        })
    }

    /// Registers the task that the next message or signal wakes. Call it before taking either, so that none in between is
    /// missed.
    pub fn register_waker(&self, context: &Context<'_>) {
        self.waker.register(context.waker());
    }

    /// Waits for the next message. Takes no signal.
    pub async fn next(&self) -> StatusMessage {
        std::future::poll_fn(|context| {
            self.register_waker(context);
            self.take().map_or(Poll::Pending, Poll::Ready)
        })
        .await
    }

    /// Waits until this instance stops.
    pub async fn going_away(&self) {
        std::future::poll_fn(|context| {
            self.register_waker(context);
            if self.signals.load(Ordering::Acquire) & GOING_AWAY == 0 {
                Poll::Pending
            } else {
                Poll::Ready(())
            }
        })
        .await;
    }
}

#[cfg(test)]
mod tests {
    use chasqui_payment::{PaymentId, PaymentState, Timestamp, Version};

    use super::*;

    const PENDING: u16 = 11;
    const VERIFYING: u16 = 14;
    const CONFIRMED: u16 = 1000;

    fn message(number: u16) -> StatusMessage {
        let state = PaymentState {
            version: Version::from_number(number).expect("version"),
            ..PaymentState::created(Timestamp::default())
        };
        StatusMessage::new(&PaymentId::parse("p").expect("id"), &state, None)
    }

    #[test]
    fn the_slot_keeps_the_newest_only() {
        let watcher = Watcher::default();
        watcher.offer(&message(PENDING));
        watcher.offer(&message(CONFIRMED));
        watcher.offer(&message(VERIFYING));
        assert_eq!(watcher.take().map(|m| m.version.number()), Some(CONFIRMED));
        assert!(watcher.take().is_none());
    }

    #[test]
    fn nothing_is_seen_twice_and_nothing_goes_back() {
        let watcher = Watcher::default();
        watcher.offer(&message(VERIFYING));
        assert!(watcher.take().is_some());
        watcher.offer(&message(VERIFYING));
        watcher.offer(&message(PENDING));
        assert!(watcher.take().is_none());
    }

    #[test]
    fn the_most_urgent_signal_comes_first_and_none_is_lost() {
        let watcher = Watcher::default();
        assert_eq!(watcher.take_signal(), None);
        watcher.signal(WatcherSignal::Heartbeat);
        watcher.signal(WatcherSignal::Ping);
        watcher.signal(WatcherSignal::GoingAway { retry_after_ms: 7 });
        watcher.signal(WatcherSignal::Lifetime);
        for signal in [
            WatcherSignal::GoingAway { retry_after_ms: 7 },
            WatcherSignal::Lifetime,
            WatcherSignal::Ping,
            WatcherSignal::Heartbeat,
        ] {
            assert_eq!(watcher.take_signal(), Some(signal));
        }
        assert_eq!(watcher.take_signal(), None);
    }

    #[tokio::test]
    async fn a_message_that_comes_between_two_looks_is_not_missed() {
        let watcher = std::sync::Arc::new(Watcher::default());
        for _ in 0..1000 {
            let watcher = Watcher::default();
            let (next, ()) = tokio::join!(watcher.next(), async {
                watcher.offer(&message(VERIFYING));
            });
            assert_eq!(next.version.number(), VERIFYING);
        }
        let waiting = tokio::spawn({
            let watcher = std::sync::Arc::clone(&watcher);
            async move { watcher.next().await.version.number() }
        });
        watcher.offer(&message(CONFIRMED));
        assert_eq!(waiting.await.expect("woken"), CONFIRMED);
    }
}
