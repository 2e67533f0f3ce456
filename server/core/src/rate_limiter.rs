//! Whose question to Khipu is next: so many a second in an account's name, for the whole installation, the most pressing
//! first.
//!
//! Those who wait form a line for each [`CallClass`]. One of them, the clerk, waits for the next slot on behalf of all; it goes to
//! the most pressing who waits at that moment. A slot that turns out not to be needed is given back.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, oneshot};
use tokio::time::{Instant, sleep_until, timeout};

use crate::clock;
use chasqui_payment::{AccountName, JobPriority};
use chasqui_store::{CallBucket, CallPacer};

/// Why Khipu is asked. The order is the order of importance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum CallClass {
    /// A payment is watched, or its payer has returned: the poller asks, for one payment after the other.
    Watched,
    /// A request waits for the answer: a payment that is not known here, or a payer on the way back to the shop. These
    /// take turns with the poller, so that neither holds up the other.
    Visit,
    /// A check after a notification that was not believed by itself.
    Notified,
    /// A check of a payment of which nothing was heard.
    Silent,
    /// Whether a confirmation still stands: only what nobody else needs.
    Confirmed,
}

impl CallClass {
    const COUNT: usize = 5;

    /// How many may wait. One more is told when to come back. The poller alone is one; tests are a few.
    const fn most_waiting(self) -> usize {
        match self {
            Self::Watched | Self::Visit => 64,
            Self::Notified | Self::Silent => 16,
            Self::Confirmed => 4,
        }
    }

    /// How long one waits before it gives way to others of its class. Checks go back to the store then.
    const fn timeout(self) -> Duration {
        match self {
            Self::Watched => Duration::MAX,
            Self::Visit | Self::Confirmed => Duration::from_secs(10),
            Self::Notified | Self::Silent => Duration::from_secs(60),
        }
    }
}

impl From<JobPriority> for CallClass {
    fn from(priority: JobPriority) -> Self {
        match priority {
            JobPriority::Notified => Self::Notified,
            JobPriority::Silent => Self::Silent,
            JobPriority::CrossCheck => Self::Confirmed,
        }
    }
}

/// Checks of one account that can wait at once.
pub(crate) const CHECKS_WAITING: usize = CallClass::Notified.most_waiting()
    + CallClass::Silent.most_waiting()
    + CallClass::Confirmed.most_waiting();

/// One of so many slots goes to the check that has waited longest, so that what is watched cannot hold up checks for ever.
const SHARE_OF_CHECKS: u32 = 8;

/// How long a slot that was given back can be used.
const RETURNED_FOR: Duration = Duration::from_secs(1);

/// How long the store may take to reserve a slot. Then the instance keeps the pace by itself, and does not ask the store
/// again for [`AWAY`]: watchers are shown Khipu's answer also when the store is away.
const STORE_TIMEOUT: Duration = Duration::from_secs(1);
const AWAY: Duration = Duration::from_secs(5);

#[derive(Debug)]
pub(crate) struct RateLimiter {
    per_second: u32,
    /// Where the installation's pace is kept. `None`: there is nobody to share it with.
    store: Option<(Arc<dyn CallPacer>, AccountName)>,
    line: Mutex<WaitQueue>,
    clerk: tokio::sync::Mutex<()>,
    /// There is something for the clerk to look at: a slot came back, or a pause begins.
    changed: Notify,
}

#[derive(Debug)]
struct WaitQueue {
    waiting: [VecDeque<Waiter>; CallClass::COUNT],
    /// What is reserved by this instance, for when the store is away.
    own: CallBucket,
    began_at: Instant,
    store_away_until: Option<Instant>,
    /// From when on the slot may be used that was reserved and is not given to anybody yet.
    reserved: Option<Instant>,
    /// When slots were given back. One that is not used within [`RETURNED_FOR`] lapses: the bucket has earned its place in the
    /// burst again by then.
    returned: VecDeque<Instant>,
    paused_until: Option<Instant>,
    /// Slots since the last that went to a check.
    since_check: u32,
    was_visit: bool,
    /// By class, when the one who is sent away next is to come back.
    come_back: [Option<Instant>; CallClass::COUNT],
}

#[derive(Debug)]
struct Waiter {
    since: Instant,
    granted: oneshot::Sender<CallSlot>,
}

/// The right to put one question. Given back when it is dropped without having been spent.
#[derive(Debug)]
pub(crate) struct CallSlot(Option<Arc<RateLimiter>>);

/// There is no room: come back then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct QueueFull {
    pub(crate) retry_in: Duration,
}

impl RateLimiter {
    /// Keeps the pace together with everybody who shares the store.
    pub(crate) fn shared(per_second: u32, store: Arc<dyn CallPacer>, account: AccountName) -> Self {
        Self {
            store: Some((store, account)),
            ..Self::alone(per_second)
        }
    }

    pub(crate) fn alone(per_second: u32) -> Self {
        Self {
            per_second: per_second.max(1),
            store: None,
            line: Mutex::new(WaitQueue {
                waiting: Default::default(),
                own: CallBucket::default(),
                began_at: Instant::now(),
                store_away_until: None,
                reserved: None,
                returned: VecDeque::new(),
                paused_until: None,
                since_check: 0,
                was_visit: false,
                come_back: [None; CallClass::COUNT],
            }),
            clerk: tokio::sync::Mutex::default(),
            changed: Notify::new(),
        }
    }

    /// Returns when it is this caller's turn.
    pub(crate) async fn acquire(self: &Arc<Self>, class: CallClass) -> CallSlot {
        loop {
            let (sender, mut granted) = oneshot::channel();
            self.line().join(class, sender);
            loop {
                tokio::select! {
                    biased;
                    slot = &mut granted => match slot {
                        Ok(slot) => return slot,
                        // Left out of the line, which does not happen while somebody waits.
                        Err(_) => break,
                    },
                    _clerk = self.clerk.lock() => {
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

    /// As [`acquire`](Self::turn), but sends away those for whom the line is too long.
    pub(crate) async fn try_acquire(
        self: &Arc<Self>,
        class: CallClass,
    ) -> Result<CallSlot, QueueFull> {
        if !self.line().has_room(class) {
            return Err(self.no_room(class));
        }
        timeout(class.timeout(), self.acquire(class))
            .await
            .map_err(|_| self.no_room(class))
    }

    /// Khipu asked for a pause: nobody puts a question before it is over.
    pub(crate) async fn pause(&self, pause: Duration) {
        {
            let mut line = self.line();
            let now = line.own_clock();
            line.own.pause(now, pause);
            let now = Instant::now();
            line.paused_until = line.paused_until.max(Some(now + pause));
        }
        self.changed.notify_one();
        if let Some((store, account)) = &self.store {
            let told = store.pause_calls(account, clock::now(), pause);
            match timeout(STORE_TIMEOUT, told).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => {
                    tracing::warn!(%account, %error, "other instances do not know of the pause that khipu asked for");
                }
                Err(_) => {
                    tracing::warn!(%account, "other instances may not know of the pause that khipu asked for");
                }
            }
        }
    }

    /// Returns when there is a slot to give away. It may be left at any point: what it reserved is used by the next.
    async fn next_slot(&self) {
        loop {
            let now = Instant::now();
            let at = {
                let mut line = self.line();
                let paused_until = line.paused_until.filter(|until| *until > now);
                match (paused_until, line.reserved) {
                    (Some(until), _) => Some(until),
                    (None, _) if line.take_returned(now) => return,
                    (None, Some(at)) if at <= now => {
                        line.reserved = None;
                        return;
                    }
                    (None, reserved) => reserved,
                }
            };
            match at {
                Some(at) => {
                    tokio::select! {
                        () = sleep_until(at) => {}
                        () = self.changed.notified() => {}
                    }
                }
                None => {
                    let at = self.reserve().await;
                    self.line().reserved = Some(at);
                }
            }
        }
    }

    /// From when on the next slot of the installation may be used.
    async fn reserve(&self) -> Instant {
        let (now, own_wait, away) = {
            let mut line = self.line();
            let now = line.own_clock();
            let own_wait = line.own.reserve(now, self.per_second);
            let now = Instant::now();
            let away = line.store_away_until.is_some_and(|until| until > now);
            (now, own_wait, away)
        };
        let own = now + own_wait;
        let Some((store, account)) = self.store.as_ref().filter(|_| !away) else {
            return own;
        };
        let reserved = store.reserve_call(account, clock::now(), self.per_second);
        match timeout(STORE_TIMEOUT, reserved).await {
            Ok(Ok(wait)) => own.max(Instant::now() + wait),
            failed => {
                let why = failed.map_or_else(
                    |_| "it keeps silent".to_owned(),
                    |error| error.map_or_else(|error| error.to_string(), |_| String::new()),
                );
                tracing::debug!(%account, why, "this instance keeps the pace of its questions by itself");
                self.line().store_away_until = Some(Instant::now() + AWAY);
                own
            }
        }
    }

    /// Gives a slot to the most pressing who waits.
    fn grant(self: &Arc<Self>) {
        let mut slot = CallSlot(Some(Arc::clone(self)));
        let mut line = self.line();
        while let Some(waiting) = line.next() {
            match waiting.granted.send(slot) {
                Ok(()) => return,
                Err(returned) => slot = returned,
            }
        }
        // Everybody has left meanwhile.
        slot.0 = None;
        line.give_back(self.per_second);
    }

    /// When to come back: each who is sent away gets a slot's time of its own.
    fn no_room(&self, class: CallClass) -> QueueFull {
        let mut line = self.line();
        let now = Instant::now();
        let come_back = &mut line.come_back[class as usize];
        let at = come_back.map_or(now, |at| at.max(now)) + Duration::from_secs(1) / self.per_second;
        *come_back = Some(at);
        QueueFull { retry_in: at - now }
    }

    fn line(&self) -> MutexGuard<'_, WaitQueue> {
        // A line stays whole whatever happened to a thread that held it.
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl WaitQueue {
    fn join(&mut self, class: CallClass, granted: oneshot::Sender<CallSlot>) {
        let line = self.remaining(class);
        line.push_back(Waiter {
            since: Instant::now(),
            granted,
        });
    }

    /// The time of [`WaitQueue::own`], which begins with its burst earned.
    fn own_clock(&self) -> Duration {
        self.began_at.elapsed() + Duration::from_secs(1)
    }

    fn has_room(&mut self, class: CallClass) -> bool {
        self.remaining(class).len() < class.most_waiting()
    }

    /// Those of a class who still wait.
    fn remaining(&mut self, class: CallClass) -> &mut VecDeque<Waiter> {
        let line = &mut self.waiting[class as usize];
        line.retain(|waiting| !waiting.granted.is_closed());
        line
    }

    fn next(&mut self) -> Option<Waiter> {
        let mut front = |class| self.remaining(class).front().map(|waiting| waiting.since);
        let (watched, visit) = (front(CallClass::Watched), front(CallClass::Visit));
        let (notified, silent) = (front(CallClass::Notified), front(CallClass::Silent));
        let longest_check = match (notified, silent) {
            (Some(notified), Some(silent)) if silent < notified => CallClass::Silent,
            (None, Some(_)) => CallClass::Silent,
            _ => CallClass::Notified,
        };
        let check_waits = notified.or(silent).is_some();
        let class = if check_waits && self.since_check + 1 >= SHARE_OF_CHECKS {
            longest_check
        } else if visit.is_some() && (watched.is_none() || !self.was_visit) {
            CallClass::Visit
        } else if watched.is_some() {
            CallClass::Watched
        } else if notified.is_some() {
            CallClass::Notified
        } else if silent.is_some() {
            CallClass::Silent
        } else {
            CallClass::Confirmed
        };
        match class {
            CallClass::Notified | CallClass::Silent => self.since_check = 0,
            _ => self.since_check = self.since_check.saturating_add(1),
        }
        if class <= CallClass::Visit {
            self.was_visit = class == CallClass::Visit;
        }
        self.waiting[class as usize].pop_front()
    }

    /// At most a second's worth is kept.
    fn give_back(&mut self, per_second: u32) {
        self.returned.push_back(Instant::now());
        if self.returned.len() > per_second as usize {
            self.returned.pop_front();
        }
    }

    /// Whether there was one that has not lapsed.
    fn take_returned(&mut self, now: Instant) -> bool {
        let lapses = |at: &Instant| now.duration_since(*at) >= RETURNED_FOR;
        while self.returned.front().is_some_and(lapses) {
            self.returned.pop_front();
        }
        self.returned.pop_front().is_some()
    }
}

impl CallSlot {
    /// The question is put.
    pub(crate) fn spend(mut self) {
        self.0 = None;
    }
}

impl Drop for CallSlot {
    fn drop(&mut self) {
        if let Some(rate_limiter) = self.0.take() {
            rate_limiter.line().give_back(rate_limiter.per_second);
            rate_limiter.changed.notify_one();
        }
    }
}

#[cfg(test)]
mod tests;
