//! The pace of calls to Khipu in an account's name, one for the whole installation.
//!
//! Callers wait in a [`WaitQueue`]. One of them, the dispatcher, waits for the next slot on behalf of all, and the slot goes
//! to the most urgent caller at that moment. A slot that is not needed is given back.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chasqui_payment::AccountName;
use chasqui_store::{CallBucket, CallPacer};
use tokio::sync::{Notify, oneshot};
use tokio::time::{Instant, sleep_until, timeout};

use self::wait_queue::WaitQueue;
use crate::clock;
use crate::store_call::within;

mod wait_queue;

pub(crate) use self::wait_queue::{CHECKS_WAITING, CallClass};

/// How long a slot that was given back can be used.
const RETURNED_SLOT_TERM: Duration = Duration::from_secs(1);

/// How long the store may take to reserve a slot. After a failure the instance keeps the pace by itself and does not call the
/// store for [`STORE_PAUSE`], so that watchers see Khipu's answers although the store is unavailable.
const PACE_TIMEOUT: Duration = Duration::from_secs(1);
const STORE_PAUSE: Duration = Duration::from_secs(5);

#[derive(Debug)]
pub(crate) struct RateLimiter {
    per_second: u32,
    account: AccountName,
    /// Keeps the installation's pace.
    store: Arc<dyn CallPacer>,
    state: Mutex<LimiterState>,
    dispatcher: tokio::sync::Mutex<()>,
    /// A slot came back, or a pause began.
    changed: Notify,
}

#[derive(Debug)]
struct LimiterState {
    queue: WaitQueue<CallSlot>,
    /// What this instance reserved, for when the store is unavailable.
    bucket: CallBucket,
    began_at: Instant,
    store_paused_until: Option<Instant>,
    /// From when on a slot that is reserved, and not granted yet, may be used.
    reserved: Option<Instant>,
    /// When slots were given back. One that is not used within [`RETURNED_SLOT_TERM`] lapses: by then the bucket has refilled
    /// its burst.
    returned: VecDeque<Instant>,
    paused_until: Option<Instant>,
    /// By class, when the last caller that was sent away is to come back.
    retry_at: [Option<Instant>; CallClass::COUNT],
}

/// The right to one call. Given back when it is dropped without having been spent.
#[derive(Debug)]
pub(crate) struct CallSlot(Option<Arc<RateLimiter>>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct QueueFull {
    pub(crate) retry_after: Duration,
}

impl RateLimiter {
    pub(crate) fn new(per_second: u32, store: Arc<dyn CallPacer>, account: AccountName) -> Self {
        Self {
            per_second: per_second.max(1),
            account,
            store,
            state: Mutex::new(LimiterState {
                queue: WaitQueue::new(),
                bucket: CallBucket::default(),
                began_at: Instant::now(),
                store_paused_until: None,
                reserved: None,
                returned: VecDeque::new(),
                paused_until: None,
                retry_at: [None; CallClass::COUNT],
            }),
            dispatcher: tokio::sync::Mutex::default(),
            changed: Notify::new(),
        }
    }

    pub(crate) async fn acquire(self: &Arc<Self>, class: CallClass) -> CallSlot {
        loop {
            let (sender, mut granted) = oneshot::channel();
            self.state().queue.push(class, sender);
            loop {
                tokio::select! {
                    biased;
                    slot = &mut granted => match slot {
                        Ok(slot) => return slot,
                        // The queue dropped the sender, which it does not do while the caller waits.
                        Err(_) => break,
                    },
                    _dispatcher = self.dispatcher.lock() => {
                        if let Ok(slot) = granted.try_recv() {
                            return slot;
                        }
                        self.next_slot().await;
                        self.grant();
                    }
                }
            }
        }
    }

    /// As [`acquire`](Self::acquire), with limits on the queue's length and on the wait.
    pub(crate) async fn try_acquire(
        self: &Arc<Self>,
        class: CallClass,
    ) -> Result<CallSlot, QueueFull> {
        if !self.state().queue.has_room(class) {
            return Err(self.queue_full(class));
        }
        timeout(class.wait_limit(), self.acquire(class))
            .await
            .map_err(|_| self.queue_full(class))
    }

    /// Holds all of the account's calls back for a pause that Khipu asked for.
    pub(crate) async fn pause(&self, pause: Duration) {
        {
            let mut state = self.state();
            let now = state.bucket_time();
            state.bucket.pause(now, pause);
            state.paused_until = state.paused_until.max(Some(Instant::now() + pause));
        }
        self.changed.notify_one();
        let account = &self.account;
        let paused = self.store.pause_calls(account, clock::now(), pause);
        if let Err(error) = within(PACE_TIMEOUT, paused).await {
            tracing::warn!(%account, %error, "the pause that khipu asked for could not be shared; other instances may keep calling");
        }
    }

    /// Waits for a slot. Cancel safe: a reserved slot is kept for the next call.
    async fn next_slot(&self) {
        loop {
            let now = Instant::now();
            let ready_at = {
                let mut state = self.state();
                let paused_until = state.paused_until.filter(|until| *until > now);
                match (paused_until, state.reserved) {
                    (Some(until), _) => Some(until),
                    (None, _) if state.take_returned(now) => return,
                    (None, Some(at)) if at <= now => {
                        state.reserved = None;
                        return;
                    }
                    (None, reserved) => reserved,
                }
            };
            match ready_at {
                Some(at) => {
                    tokio::select! {
                        () = sleep_until(at) => {}
                        () = self.changed.notified() => {}
                    }
                }
                None => {
                    let at = self.reserve().await;
                    self.state().reserved = Some(at);
                }
            }
        }
    }

    /// From when on the installation's next slot may be used.
    async fn reserve(&self) -> Instant {
        let (local, store_is_paused) = {
            let mut state = self.state();
            let (now, bucket_time) = (Instant::now(), state.bucket_time());
            let wait = state.bucket.reserve(bucket_time, self.per_second);
            let store_is_paused = state.store_paused_until.is_some_and(|until| until > now);
            (now + wait, store_is_paused)
        };
        if store_is_paused {
            return local;
        }
        let account = &self.account;
        let reserved = self
            .store
            .reserve_call(account, clock::now(), self.per_second);
        match within(PACE_TIMEOUT, reserved).await {
            Ok(wait) => local.max(Instant::now() + wait),
            Err(error) => {
                tracing::debug!(%account, %error, "the pace of calls is kept by this instance alone");
                self.state().store_paused_until = Some(Instant::now() + STORE_PAUSE);
                local
            }
        }
    }

    fn grant(self: &Arc<Self>) {
        let mut slot = CallSlot(Some(Arc::clone(self)));
        let mut state = self.state();
        while let Some(granted) = state.queue.pop() {
            match granted.send(slot) {
                Ok(()) => return,
                Err(returned) => slot = returned,
            }
        }
        // Every caller has given up. Dropping the slot would lock again.
        slot.0 = None;
        state.give_back(self.per_second);
    }

    /// Spaces the callers that are sent away by a slot's time each.
    fn queue_full(&self, class: CallClass) -> QueueFull {
        let mut state = self.state();
        let now = Instant::now();
        let retry_at = &mut state.retry_at[class as usize];
        let at = retry_at.map_or(now, |at| at.max(now)) + Duration::from_secs(1) / self.per_second;
        *retry_at = Some(at);
        let retry_after = at - now;
        QueueFull { retry_after }
    }

    fn state(&self) -> MutexGuard<'_, LimiterState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl LimiterState {
    /// The time of [`LimiterState::bucket`], which begins with a full burst.
    fn bucket_time(&self) -> Duration {
        self.began_at.elapsed() + Duration::from_secs(1)
    }

    /// Keeps a second's worth at most.
    fn give_back(&mut self, per_second: u32) {
        self.returned.push_back(Instant::now());
        if self.returned.len() > per_second as usize {
            self.returned.pop_front();
        }
    }

    /// Takes a slot that has not lapsed, if there is one.
    fn take_returned(&mut self, now: Instant) -> bool {
        let lapsed = |at: &Instant| now.duration_since(*at) >= RETURNED_SLOT_TERM;
        while self.returned.front().is_some_and(lapsed) {
            self.returned.pop_front();
        }
        self.returned.pop_front().is_some()
    }
}

impl CallSlot {
    /// Uses the slot up: the call is made.
    pub(crate) fn spend(mut self) {
        self.0 = None;
    }
}

impl Drop for CallSlot {
    fn drop(&mut self) {
        if let Some(rate_limiter) = self.0.take() {
            rate_limiter.state().give_back(rate_limiter.per_second);
            rate_limiter.changed.notify_one();
        }
    }
}

#[cfg(test)]
mod tests;
