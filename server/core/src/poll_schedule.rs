//! When Khipu is polled about which payment: one schedule for each account.
//!
//! In memory: an instance polls for its own watchers only. What must survive a crash is a job in the store.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chasqui_payment::PaymentId;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

use self::plan::Plan;
use crate::rate_limiter::{CallClass, CallSlot, RateLimiter};

mod plan;

pub(crate) use self::plan::{DuePoll, PollPace, PollResult, URGENT_MIN_INTERVAL};

/// Payments of one account that are polled because of a visit, beside watched ones. One more is left to its planned check.
const VISITED_LIMIT: usize = 100_000;

#[derive(Debug)]
pub(crate) struct PollSchedule {
    pub(crate) rate_limiter: Arc<RateLimiter>,
    plan: Mutex<Plan>,
    changed: Notify,
}

impl PollSchedule {
    /// `watchers`: the most that watch the account's payments.
    pub(crate) fn new(rate_limiter: RateLimiter, watchers: usize) -> Self {
        Self {
            rate_limiter: Arc::new(rate_limiter),
            plan: Mutex::new(Plan::new(watchers.saturating_add(VISITED_LIMIT))),
            changed: Notify::new(),
        }
    }

    /// Polls the payment at once, but no more than once a second, and repeatedly while it is watched.
    pub(crate) fn watch(&self, id: &PaymentId) {
        self.change(|plan, now| {
            plan.expedite(id, now);
        });
    }

    /// Polls the payment once, watched or not: at once, but no more than once a second.
    pub(crate) fn request(&self, id: &PaymentId) {
        self.change(|plan, now| {
            if plan.has_room(id) {
                plan.expedite(id, now).requested = true;
            }
        });
    }

    /// As [`request`](Self::request), after an event: the intervals start over with the shortest.
    pub(crate) fn poll_now(&self, id: &PaymentId) {
        self.change(|plan, now| {
            if plan.has_room(id) {
                let entry = plan.expedite(id, now);
                entry.requested = true;
                entry.polls = 0;
            }
        });
    }

    /// A result could not be committed: the payment is polled until one is, watched or not. Otherwise it might never be
    /// polled again.
    pub(crate) fn remember_uncommitted(&self, id: &PaymentId) {
        self.change(|plan, now| plan.add_uncommitted(id, now));
    }

    /// The next payment to poll, once it is due and the account has a slot. `is_watched` reports whether a payment still
    /// has a watcher.
    pub(crate) async fn next(
        &self,
        is_watched: impl Fn(&PaymentId) -> bool,
    ) -> (DuePoll, CallSlot) {
        loop {
            self.wait_until_due().await;
            // The slot first: a payment that is added during the wait may be more urgent.
            let slot = self.rate_limiter.acquire(CallClass::Watched).await;
            if let Some(poll) = self.plan().take_due(Instant::now(), &is_watched) {
                return (poll, slot);
            }
        }
    }

    pub(crate) fn record(&self, poll: &DuePoll, result: PollResult, pace: PollPace) {
        self.change(|plan, now| plan.record(poll, result, pace, now));
    }

    async fn wait_until_due(&self) {
        loop {
            let next = self.plan().next_due(Instant::now());
            let changed = self.changed.notified();
            match next {
                Ok(()) => return,
                Err(Some(due_at)) => {
                    let _ = timeout_at(due_at, changed).await;
                }
                Err(None) => changed.await,
            }
        }
    }

    fn change(&self, change: impl FnOnce(&mut Plan, Instant)) {
        change(&mut self.plan(), Instant::now());
        self.changed.notify_one();
    }

    fn plan(&self) -> MutexGuard<'_, Plan> {
        self.plan.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
