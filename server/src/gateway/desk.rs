//! When to ask Khipu about which payment that somebody here wants to know of: one desk per account.
//!
//! It lives in memory: an instance asks for its own watchers only, and one that dies takes its watchers with it. What
//! must survive a crash is an errand in the ledger instead.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use super::limiter::Limiter;
use crate::payment::PaymentId;

/// Seconds between two questions about a watched payment: quick while the payer has just come back, then patient.
const INTERVALS: [u64; 8] = [1, 2, 3, 5, 8, 13, 20, 30];

/// Payments of one account of which something was learnt that could not be committed. What is learnt of one more is left to
/// Khipu's repeated notification, to the agenda's check and to whoever watches or asks next.
const UNCOMMITTED_LIMIT: usize = 10_000;

/// Who asks because something has just happened: whoever asked longer ago cannot know of it.
pub(super) const SHORTEST_GAP: Duration = gap(0);

#[derive(Debug)]
pub(super) struct Desk {
    pub(super) limiter: Limiter,
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
    /// Those whose time has come: the least asked first, so that a payer who has just come back does not queue behind
    /// everybody who has been waiting for an hour. When more is due than may be asked, it is their intervals that stretch.
    due: BinaryHeap<Reverse<(u8, Instant, PaymentId)>>,
    entries: HashMap<PaymentId, Entry>,
    /// How many entries are uncommitted.
    uncommitted: usize,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    due_at: Instant,
    /// How many questions were asked.
    asked: u8,
    /// Somebody who does not stay to watch wants to know.
    wanted: bool,
    /// When something was learnt that could not be committed: asked about until it is, whoever watches.
    uncommitted_since: Option<Instant>,
    under_way: bool,
}

/// A payment to ask about now.
#[derive(Debug)]
pub(super) struct Question {
    pub(super) id: PaymentId,
    /// Whoever asked about it within so long, on whichever instance, has asked this question.
    pub(super) gap: Duration,
    asked_at: Instant,
    wanted: bool,
}

/// What became of a question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Settled {
    /// Answered, and what the answer says is committed.
    Answered,
    /// No answer, or one that could not be committed.
    Failed,
    /// Not asked, because another instance just has. Its answer comes by the relay; but one who wanted to know because of
    /// what has happened since is still owed an answer.
    LeftToAnother,
}

impl Desk {
    pub(super) fn new(limiter: Limiter) -> Self {
        Self {
            limiter,
            plan: Mutex::default(),
            changed: Notify::new(),
        }
    }

    /// Somebody watches: asked soon, and again and again for as long as somebody does.
    pub(super) fn follow(&self, id: &PaymentId) {
        self.plan().entry(id);
        self.changed.notify_one();
    }

    /// Somebody wants to know and does not stay: asked soon, or, if it was asked a moment ago, at its next turn.
    pub(super) fn want(&self, id: &PaymentId) {
        self.plan().entry(id).wanted = true;
        self.changed.notify_one();
    }

    /// Something has just happened to the payment: asked soon whatever the plan was, and often again from then on.
    pub(super) fn urge(&self, id: &PaymentId) {
        let mut plan = self.plan();
        let entry = plan.entry(id);
        entry.wanted = true;
        entry.asked = 0;
        if !entry.under_way {
            entry.due_at = entry.due_at.min(Instant::now());
            let due_at = entry.due_at;
            plan.due.push(Reverse((0, due_at, id.clone())));
        }
        drop(plan);
        self.changed.notify_one();
    }

    /// Something was learnt of the payment and could not be committed: asked about until it is, even if nobody watches any
    /// more, for then nobody else might ever ask.
    pub(super) fn remember_uncommitted(&self, id: &PaymentId) {
        let mut plan = self.plan();
        if plan.uncommitted >= UNCOMMITTED_LIMIT {
            metrics::counter!("chasqui_uncommitted_forgotten_total").increment(1);
            return;
        }
        let entry = plan.entry_due(id, Instant::now() + interval(0));
        if entry.uncommitted_since.replace(Instant::now()).is_none() {
            plan.uncommitted += 1;
            metrics::gauge!("chasqui_uncommitted").increment(1);
        }
        drop(plan);
        self.changed.notify_one();
    }

    /// The next payment to ask about, when it is due and it is this account's turn. `is_watched` tells whether anybody
    /// still follows a payment.
    pub(super) async fn next(&self, is_watched: impl Fn(&PaymentId) -> bool) -> Question {
        loop {
            self.something_due().await;
            // First the turn, then the choice: whoever came while we waited for it may be more pressing.
            self.limiter.turn().await;
            let mut plan = self.plan();
            plan.sort_out(Instant::now());
            while let Some(Reverse((_, at, id))) = plan.due.pop() {
                let Some(entry) = plan.entries.get_mut(&id).filter(|entry| entry.is_meant(at))
                else {
                    continue;
                };
                let (gap, wanted) = (entry.gap(), std::mem::take(&mut entry.wanted));
                if wanted || entry.uncommitted_since.is_some() || is_watched(&id) {
                    entry.under_way = true;
                    return Question {
                        id,
                        gap,
                        asked_at: Instant::now(),
                        wanted,
                    };
                }
                plan.entries.remove(&id);
            }
        }
    }

    /// `over`: the ledger says that there is nothing more to ask.
    pub(super) fn settle(&self, question: &Question, settled: Settled, over: bool) {
        let id = &question.id;
        let mut plan = self.plan();
        let Some(entry) = plan.entries.get_mut(id) else {
            return;
        };
        let mut committed = false;
        match settled {
            // An answer to a question that was put before does not hold what was learnt since.
            Settled::Answered => {
                committed = entry
                    .uncommitted_since
                    .take_if(|since| *since < question.asked_at)
                    .is_some();
            }
            Settled::Failed => {}
            Settled::LeftToAnother => entry.wanted |= question.wanted,
        }
        if over && entry.uncommitted_since.is_none() {
            plan.entries.remove(id);
        } else {
            let interval = interval(entry.asked.into());
            entry.asked = entry.asked.saturating_add(1);
            entry.under_way = false;
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
                plan.sort_out(Instant::now());
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
    /// The payment's entry; a new one is due now.
    fn entry(&mut self, id: &PaymentId) -> &mut Entry {
        self.entry_due(id, Instant::now())
    }

    /// The payment's entry; a new one is due then.
    fn entry_due(&mut self, id: &PaymentId, due_at: Instant) -> &mut Entry {
        let later = &mut self.later;
        self.entries.entry(id.clone()).or_insert_with(|| {
            later.push(Reverse((due_at, id.clone())));
            Entry {
                due_at,
                asked: 0,
                wanted: false,
                uncommitted_since: None,
                under_way: false,
            }
        })
    }

    fn sort_out(&mut self, now: Instant) {
        while self.later.peek().is_some_and(|Reverse((at, _))| *at <= now) {
            let Some(Reverse((at, id))) = self.later.pop() else {
                return;
            };
            if let Some(entry) = self.entries.get(&id).filter(|entry| entry.is_meant(at)) {
                self.due.push(Reverse((entry.asked, at, id)));
            }
        }
    }
}

impl Entry {
    /// The interval that lies behind its next question.
    fn gap(&self) -> Duration {
        match self.wanted {
            true => SHORTEST_GAP,
            false => gap(usize::from(self.asked).saturating_sub(1)),
        }
    }

    /// Whether a time found in a heap is still this entry's.
    fn is_meant(&self, at: Instant) -> bool {
        !self.under_way && self.due_at == at
    }
}

/// Between the question with this number, from 0, and the next.
const fn interval(number: usize) -> Duration {
    let last = INTERVALS.len() - 1;
    Duration::from_secs(INTERVALS[if number < last { number } else { last }])
}

/// A little less than the interval: nobody is to be put off by its own last question.
const fn gap(number: usize) -> Duration {
    Duration::from_millis(interval(number).as_secs() * 900)
}

#[cfg(test)]
mod tests;
