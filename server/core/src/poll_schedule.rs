//! When to ask Khipu about which payment that somebody here wants to know of: one desk per account.
//!
//! It lives in memory: an instance asks for its own watchers only, and one that dies takes its watchers with it. What
//! must survive a crash is a job in the store instead.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use chasqui_payment::PaymentId;

use crate::rate_limiter::{CallClass, CallSlot, RateLimiter};

/// Seconds between two questions about a watched payment: quick while the payer has just come back, then patient.
const INTERVALS: [u64; 8] = [1, 2, 3, 5, 8, 13, 20, 30];

/// At kinds 5 to 7 (expired, cancelled, rejected) a payer who tries again is awaited, so that the intervals are so many times
/// as long.
const SLOW: u32 = 5;

/// However often something happens to a payment, it is asked about once in this time.
const MIN_POLL_NOW_INTERVAL: Duration = Duration::from_secs(1);

/// What was asked about waits for so long behind those that were not asked about yet. It is remembered for as long, so that
/// a payment that is visited again and again does not come back as one of these.
const FIRST_INTERVALS_FOR: Duration = Duration::from_secs(30);

/// Payments of one account that are wanted to be known of beside those that are watched. One more is not asked about because
/// of the visit: the check that is planned for it asks.
const VISITED_LIMIT: usize = 100_000;

/// Payments of one account of which something was learnt that could not be committed. What is learnt of one more is left to
/// Khipu's repeated notification, to the agenda's check and to whoever watches or asks next.
const UNCOMMITTED_LIMIT: usize = 10_000;

/// Who asks because something has just happened: whoever asked longer ago cannot know of it.
pub(crate) const SHORTEST_INTERVAL: Duration = min_interval(0);

#[derive(Debug)]
pub(crate) struct PollSchedule {
    pub(crate) rate_limiter: Arc<RateLimiter>,
    /// The most entries; beyond it only what is watched or uncommitted gets one.
    limit: usize,
    plan: Mutex<Plan>,
    changed: Notify,
}

/// Each payment is in `entries` once. The heaps may hold times of it that are no longer meant: what counts is the
/// entry's. The caps on watchers and on what is uncommitted bound all of it; a payment that nobody wants to know of leaves
/// at its next turn.
#[derive(Debug, Default)]
struct Plan {
    /// By time.
    later: BinaryHeap<Reverse<(Instant, PaymentId)>>,
    /// Those whose time has come, by their [`Entry::place`]: one after the other, so that nobody is asked about twice while
    /// others wait. When more is due than may be asked, it is their intervals that stretch.
    due: BinaryHeap<Reverse<(Instant, Instant, PaymentId)>>,
    entries: HashMap<PaymentId, Entry>,
    /// How many entries are uncommitted.
    uncommitted: usize,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    due_at: Instant,
    began_at: Instant,
    /// How many questions were asked since something happened, and when the last was.
    asked: u8,
    asked_at: Option<Instant>,
    is_slow: bool,
    /// Nobody wants to know any more; only when it was asked about is remembered.
    is_idle: bool,
    /// Somebody who does not stay to watch wants to know.
    requested: bool,
    /// When something was learnt that could not be committed: asked about until it is, whoever watches.
    uncommitted_since: Option<Instant>,
    in_flight: bool,
}

/// A payment to ask about now.
#[derive(Debug)]
pub(crate) struct DuePoll {
    pub(crate) id: PaymentId,
    /// Whoever asked about it within so long, on whichever instance, has asked this question.
    pub(crate) min_interval: Duration,
    asked_at: Instant,
    requested: bool,
    /// To be spent when the question is put.
    pub(crate) slot: Option<CallSlot>,
}

/// What the store says of the payment after a question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PollPace {
    /// There is nothing more to ask.
    Over,
    /// A payer who tries again is awaited, if anything.
    Slow,
    Usual,
}

/// What became of a question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PollResult {
    /// Answered, and what the answer says is committed.
    Answered,
    /// No answer, or one that could not be committed.
    Failed,
    /// Not asked, because another instance just has. Its answer comes by the relay; but one who wanted to know because of
    /// what has happened since is still owed an answer.
    Skipped,
}

impl PollSchedule {
    /// For an account whose payments are watched by so many at most.
    pub(crate) fn new(rate_limiter: RateLimiter, watchers: usize) -> Self {
        Self {
            rate_limiter: Arc::new(rate_limiter),
            limit: watchers.saturating_add(VISITED_LIMIT),
            plan: Mutex::default(),
            changed: Notify::new(),
        }
    }

    /// A watcher comes: asked at once, whatever was planned, and again and again for as long as it is watched; but once in
    /// [`MIN_POLL_NOW_INTERVAL`] however many come.
    pub(crate) fn watch(&self, id: &PaymentId) {
        let mut plan = self.plan();
        plan.wake(id);
        plan.visit(id);
        drop(plan);
        self.changed.notify_one();
    }

    /// A visitor who does not stay: asked at once, whatever was planned; but once in [`MIN_POLL_NOW_INTERVAL`] however many come.
    pub(crate) fn request(&self, id: &PaymentId) {
        let mut plan = self.plan();
        if plan.has_room(id, self.limit) {
            plan.wake(id).requested = true;
            plan.visit(id);
        }
        drop(plan);
        self.changed.notify_one();
    }

    /// Something has just happened to the payment: asked soon whatever the plan was, and often again from then on; but once
    /// in [`MIN_POLL_NOW_INTERVAL`] however often something happens.
    pub(crate) fn poll_now(&self, id: &PaymentId) {
        let mut plan = self.plan();
        if plan.has_room(id, self.limit) {
            let entry = plan.wake(id);
            entry.requested = true;
            entry.asked = 0;
            plan.visit(id);
        }
        drop(plan);
        self.changed.notify_one();
    }

    /// Something was learnt of the payment and could not be committed: asked about until it is, even if nobody watches any
    /// more, for then nobody else might ever ask.
    pub(crate) fn remember_uncommitted(&self, id: &PaymentId) {
        let mut plan = self.plan();
        if plan.uncommitted >= UNCOMMITTED_LIMIT {
            metrics::counter!("chasqui_uncommitted_forgotten_total").increment(1);
            return;
        }
        let soon = Instant::now() + interval(0);
        plan.entry_due(id, soon).is_idle = false;
        plan.bring_forward(id, soon);
        let entry = plan.entry_due(id, soon);
        if entry.uncommitted_since.replace(Instant::now()).is_none() {
            plan.uncommitted += 1;
            metrics::gauge!("chasqui_uncommitted").increment(1);
        }
        drop(plan);
        self.changed.notify_one();
    }

    /// The next payment to ask about, when it is due and it is this account's turn. `is_watched` tells whether anybody
    /// still follows a payment.
    pub(crate) async fn next(&self, is_watched: impl Fn(&PaymentId) -> bool) -> DuePoll {
        loop {
            self.something_due().await;
            // First the slot, then the choice: whoever came while we waited for it may be more pressing.
            let slot = self.rate_limiter.acquire(CallClass::Watched).await;
            let mut plan = self.plan();
            let now = Instant::now();
            plan.move_due(now);
            while let Some(Reverse((_, at, id))) = plan.due.pop() {
                let Some(entry) = plan.entries.get_mut(&id).filter(|entry| entry.is_meant(at))
                else {
                    continue;
                };
                let (min_interval, requested) =
                    (entry.min_interval(), std::mem::take(&mut entry.requested));
                if requested || entry.uncommitted_since.is_some() || is_watched(&id) {
                    entry.in_flight = true;
                    entry.is_idle = false;
                    return DuePoll {
                        id,
                        min_interval,
                        asked_at: now,
                        requested,
                        slot: Some(slot),
                    };
                }
                match entry.asked_at.map(|at| at + FIRST_INTERVALS_FOR) {
                    Some(forgotten_at) if forgotten_at > now => {
                        entry.is_idle = true;
                        entry.due_at = forgotten_at;
                        plan.later.push(Reverse((forgotten_at, id)));
                    }
                    _ => {
                        plan.entries.remove(&id);
                    }
                }
            }
        }
    }

    pub(crate) fn record(&self, poll: &DuePoll, result: PollResult, outlook: PollPace) {
        let id = &poll.id;
        let mut plan = self.plan();
        let Some(entry) = plan.entries.get_mut(id) else {
            return;
        };
        let mut committed = false;
        match result {
            // An answer to a question that was put before does not hold what was learnt since.
            PollResult::Answered => {
                committed = entry
                    .uncommitted_since
                    .take_if(|since| *since < poll.asked_at)
                    .is_some();
            }
            PollResult::Failed => {}
            PollResult::Skipped => entry.requested |= poll.requested,
        }
        if outlook == PollPace::Over && entry.uncommitted_since.is_none() {
            plan.entries.remove(id);
        } else {
            entry.is_slow = outlook == PollPace::Slow;
            // Left to another: it will ask again after the whole interval. Who comes a little earlier takes the next turn, so
            // that one who cannot reach Khipu does not keep the other from asking for ever.
            let number = entry.asked.into();
            let interval = match (result, entry.requested) {
                // What was visited meanwhile is owed an answer to a question that was put after that.
                (PollResult::Skipped, true) => SHORTEST_INTERVAL,
                (_, true) => MIN_POLL_NOW_INTERVAL,
                (PollResult::Skipped, false) => min_interval(number) * entry.pace(),
                (_, false) => interval(number) * entry.pace(),
            };
            entry.asked = entry.asked.saturating_add(1);
            entry.asked_at = Some(poll.asked_at);
            entry.in_flight = false;
            entry.due_at = Instant::now() + interval;
            let due_at = entry.due_at;
            plan.later.push(Reverse((due_at, id.clone())));
        }
        if committed {
            plan.uncommitted -= 1;
            metrics::gauge!("chasqui_uncommitted").decrement(1);
        }
        drop(plan);
        self.changed.notify_one();
    }

    async fn something_due(&self) {
        loop {
            let next = {
                let mut plan = self.plan();
                plan.move_due(Instant::now());
                if !plan.due.is_empty() {
                    return;
                }
                plan.later.peek().map(|Reverse((at, _))| *at)
            };
            let changed = self.changed.notified();
            match next {
                Some(at) => {
                    let _ = tokio::time::timeout_at(at, changed).await;
                }
                None => changed.await,
            }
        }
    }

    fn plan(&self) -> MutexGuard<'_, Plan> {
        self.plan.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Plan {
    fn has_room(&self, id: &PaymentId, limit: usize) -> bool {
        let has_room = self.entries.len() < limit || self.entries.contains_key(id);
        if !has_room {
            metrics::counter!("chasqui_visits_not_asked_total").increment(1);
        }
        has_room
    }

    /// The payment's entry; one that is new or rests is due now.
    fn wake(&mut self, id: &PaymentId) -> &mut Entry {
        let now = Instant::now();
        let entry = self.entry_due(id, now);
        if std::mem::take(&mut entry.is_idle) {
            entry.asked = 0;
            // When it began to rest, its next turn had come.
            self.bring_forward(id, now);
        }
        self.entry_due(id, now)
    }

    /// Has the entry asked about as soon as it may be. One that had a plan is asked about although another instance may have
    /// done so within its interval: that question was put before this visit.
    fn visit(&mut self, id: &PaymentId) {
        let now = Instant::now();
        let Some(entry) = self.entries.get_mut(id) else {
            return;
        };
        let soon = entry
            .asked_at
            .map_or(now, |at| now.max(at + MIN_POLL_NOW_INTERVAL));
        if !entry.in_flight && soon < entry.due_at {
            entry.requested = true;
            self.bring_forward(id, soon);
        }
    }

    fn bring_forward(&mut self, id: &PaymentId, due_at: Instant) {
        if let Some(entry) = self.entries.get_mut(id)
            && !entry.in_flight
            && due_at < entry.due_at
        {
            entry.due_at = due_at;
            self.later.push(Reverse((due_at, id.clone())));
        }
    }

    /// The payment's entry; a new one is due then.
    fn entry_due(&mut self, id: &PaymentId, due_at: Instant) -> &mut Entry {
        let later = &mut self.later;
        self.entries.entry(id.clone()).or_insert_with(|| {
            later.push(Reverse((due_at, id.clone())));
            Entry {
                due_at,
                began_at: due_at,
                asked: 0,
                asked_at: None,
                is_slow: false,
                is_idle: false,
                requested: false,
                uncommitted_since: None,
                in_flight: false,
            }
        })
    }

    fn move_due(&mut self, now: Instant) {
        while self.later.peek().is_some_and(|Reverse((at, _))| *at <= now) {
            let Some(Reverse((at, id))) = self.later.pop() else {
                return;
            };
            if let Some(entry) = self.entries.get(&id).filter(|entry| entry.is_meant(at)) {
                self.due.push(Reverse((entry.place(), at, id)));
            }
        }
    }
}

impl Entry {
    /// The interval that lies behind its next question.
    fn min_interval(&self) -> Duration {
        match self.requested {
            true => SHORTEST_INTERVAL,
            false => min_interval(usize::from(self.asked).saturating_sub(1)) * self.pace(),
        }
    }

    const fn pace(&self) -> u32 {
        if self.is_slow { SLOW } else { 1 }
    }

    /// Its place among those that are due: since when it waits, with a head start for what was not asked about yet.
    fn place(&self) -> Instant {
        self.asked_at
            .map_or(self.began_at, |at| at + FIRST_INTERVALS_FOR)
    }

    /// Whether a time found in a heap is still this entry's.
    fn is_meant(&self, at: Instant) -> bool {
        !self.in_flight && self.due_at == at
    }
}

/// Between the question with this number, from 0, and the next.
const fn interval(number: usize) -> Duration {
    let last = INTERVALS.len() - 1;
    Duration::from_secs(INTERVALS[if number < last { number } else { last }])
}

/// A little less than the interval: nobody is to be put off by its own last question.
const fn min_interval(number: usize) -> Duration {
    Duration::from_millis(interval(number).as_secs() * 900)
}

#[cfg(test)]
mod tests;
