//! One watcher: a slot for the newest message, a few signals, and whom to wake.

use std::sync::atomic::{AtomicU8, AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll};

use futures_util::task::AtomicWaker;

use super::status_message::StatusMessage;

/// What a watcher's transport is told beside messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WatcherSignal {
    /// Nothing was said for a while: time to show that the connection works.
    Heartbeat,
    /// Time for a ping.
    Ping,
    /// It has been connected long enough: it should connect anew.
    Lifetime,
    /// This instance is going away: it should come back after so many milliseconds.
    GoingAway { retry_after_ms: u32 },
}

const PING: u8 = 1;
const LIFETIME: u8 = 2;
const GOING_AWAY: u8 = 4;
const HEARTBEAT: u8 = 8;

/// Nineteen thousand of these are a normal load: every byte counts.
#[derive(Debug, Default)]
pub struct Watcher {
    slot: Mutex<Slot>,
    signals: AtomicU8,
    retry_after_ms: AtomicU32,
    /// When the newest message came, in turns of the wheel; 0 before the first that was published.
    offered_at: AtomicU32,
    waker: AtomicWaker,
}

#[derive(Debug, Default)]
struct Slot {
    unsent: Option<StatusMessage>,
    /// The highest version that was ever in the slot; 0 at first.
    version: u16,
}

impl Watcher {
    /// Puts a message into the slot, in the place of an older one. One that is not newer is dropped: a watcher never
    /// sees a lower version, nor the same one twice. Answers whether it was newer.
    pub fn offer(&self, message: &StatusMessage) -> bool {
        let version = message.version.number();
        {
            let mut slot = self.slot.lock().unwrap_or_else(PoisonError::into_inner);
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

    pub(super) fn note_offer(&self, turn: u32) {
        self.offered_at.store(turn, Ordering::Relaxed);
    }

    pub(super) fn offered_at(&self) -> u32 {
        self.offered_at.load(Ordering::Relaxed)
    }

    /// The highest version that was ever in the slot; 0 before the first.
    pub fn newest_version(&self) -> u16 {
        self.slot
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .version
    }

    /// The newest message that has not been taken.
    pub fn take(&self) -> Option<StatusMessage> {
        self.slot
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .unsent
            .take()
    }

    pub fn signal(&self, signal: WatcherSignal) {
        let bit = match signal {
            WatcherSignal::Heartbeat => HEARTBEAT,
            WatcherSignal::Ping => PING,
            WatcherSignal::Lifetime => LIFETIME,
            WatcherSignal::GoingAway { retry_after_ms } => {
                self.retry_after_ms.store(retry_after_ms, Ordering::Relaxed);
                GOING_AWAY
            }
        };
        // Release: whoever sees the bit sees the delay that was stored before it.
        self.signals.fetch_or(bit, Ordering::Release);
        self.waker.wake();
    }

    /// The most pressing signal that has not been taken.
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

    /// Arranges for the task to be woken by the next message or signal. Call it before looking at either, or one that
    /// comes in between wakes nobody.
    pub fn wake_me(&self, context: &Context<'_>) {
        self.waker.register(context.waker());
    }

    /// Waits for the next message. Signals are left alone.
    pub async fn next(&self) -> StatusMessage {
        std::future::poll_fn(|context| {
            self.wake_me(context);
            self.take().map_or(Poll::Pending, Poll::Ready)
        })
        .await
    }

    /// Waits until the instance is going away.
    pub async fn going_away(&self) {
        std::future::poll_fn(|context| {
            self.wake_me(context);
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
    use super::*;
    use chasqui_payment::{PaymentId, PaymentState, Timestamp, Version};

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
    fn the_most_pressing_signal_comes_first_and_none_is_lost() {
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
