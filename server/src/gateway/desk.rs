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

/// Who asks because something has just happened: whoever asked longer ago cannot know of it.
pub(super) const SHORTEST_GAP: Duration = gap(0);

#[derive(Debug)]
pub(super) struct Desk {
    pub(super) limiter: Limiter,
    plan: Mutex<Plan>,
    changed: Notify,
}

/// Each payment is in `entries` once. The heaps may hold times of it that are no longer meant: what counts is the
/// entry's. The caps on watchers bound all of it; a payment that nobody wants to know of leaves at its next turn.
#[derive(Debug, Default)]
struct Plan {
    /// By time.
    later: BinaryHeap<Reverse<(Instant, PaymentId)>>,
    /// Those whose time has come: the least asked first, so that a payer who has just come back does not queue behind
    /// everybody who has been waiting for an hour. When more is due than may be asked, it is their intervals that stretch.
    due: BinaryHeap<Reverse<(u8, Instant, PaymentId)>>,
    entries: HashMap<PaymentId, Entry>,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    due_at: Instant,
    /// How many questions were asked.
    asked: u8,
    /// Somebody who does not stay to watch wants to know.
    wanted: bool,
    under_way: bool,
}

/// A payment to ask about now.
#[derive(Debug)]
pub(super) struct Question {
    pub(super) id: PaymentId,
    /// Whoever asked about it within so long, on whichever instance, has asked this question.
    pub(super) gap: Duration,
    wanted: bool,
}

/// What became of a question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Settled {
    /// There is nothing more to ask.
    Over,
    /// Answered, or it failed.
    Asked,
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
                if wanted || is_watched(&id) {
                    entry.under_way = true;
                    return Question { id, gap, wanted };
                }
                plan.entries.remove(&id);
            }
        }
    }

    pub(super) fn settle(&self, question: &Question, settled: Settled) {
        let id = &question.id;
        let mut plan = self.plan();
        let Some(entry) = plan.entries.get_mut(id) else {
            return;
        };
        match settled {
            Settled::Over => {
                plan.entries.remove(id);
                return;
            }
            Settled::Asked => {}
            Settled::LeftToAnother => entry.wanted |= question.wanted,
        }
        let interval = interval(entry.asked.into());
        entry.asked = entry.asked.saturating_add(1);
        entry.under_way = false;
        entry.due_at = Instant::now() + interval;
        let due_at = entry.due_at;
        plan.later.push(Reverse((due_at, id.clone())));
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
        let due = &mut self.due;
        self.entries.entry(id.clone()).or_insert_with(|| {
            let due_at = Instant::now();
            due.push(Reverse((0, due_at, id.clone())));
            Entry {
                due_at,
                asked: 0,
                wanted: false,
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
mod tests {
    use super::*;

    fn id(text: &str) -> PaymentId {
        PaymentId::parse(text).expect("id")
    }

    fn desk() -> Desk {
        Desk::new(Limiter::new(1000))
    }

    #[tokio::test(start_paused = true)]
    async fn a_watched_payment_is_asked_about_at_growing_intervals() {
        let desk = desk();
        desk.follow(&id("a"));
        let started = Instant::now();
        let mut seconds = Vec::new();
        for _ in 0..11 {
            let asked = desk.next(|_| true).await;
            seconds.push(started.elapsed().as_secs());
            desk.settle(&asked, Settled::Asked);
        }
        assert_eq!(seconds, [0, 1, 3, 6, 11, 19, 32, 52, 82, 112, 142]);
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_nobody_watches_is_asked_about_once() {
        let desk = desk();
        desk.want(&id("a"));
        let asked = desk.next(|_| false).await;
        desk.settle(&asked, Settled::Asked);
        let next = tokio::time::timeout(Duration::from_secs(60), desk.next(|_| false)).await;
        assert!(next.is_err(), "{next:?}");
        assert!(desk.plan().entries.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn many_who_want_to_know_at_once_are_one_question() {
        let desk = desk();
        for _ in 0..100 {
            desk.want(&id("a"));
        }
        let asked = desk.next(|_| false).await;
        desk.want(&id("a"));
        desk.settle(&asked, Settled::Asked);
        let started = Instant::now();
        assert_eq!(desk.next(|_| false).await.id, id("a"));
        assert_eq!(
            started.elapsed().as_secs(),
            1,
            "a newcomer is answered at the next turn, not at once again"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_newcomer_does_not_queue_behind_those_who_were_asked_about_before() {
        let desk = desk();
        for i in 0..50 {
            desk.follow(&id(&format!("old{i}")));
        }
        for _ in 0..50 {
            let asked = desk.next(|_| true).await;
            desk.settle(&asked, Settled::Asked);
        }
        tokio::time::sleep(Duration::from_secs(5)).await;
        desk.want(&id("new"));
        assert_eq!(desk.next(|_| true).await.id, id("new"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_settled_payment_is_forgotten() {
        let desk = desk();
        desk.want(&id("a"));
        let asked = desk.next(|_| true).await;
        desk.settle(&asked, Settled::Over);
        assert!(desk.plan().entries.is_empty());
        assert!(
            tokio::time::timeout(Duration::from_secs(60), desk.next(|_| true))
                .await
                .is_err()
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_crowd_that_has_left_is_not_asked_about() {
        let desk = desk();
        for i in 0..1000 {
            desk.follow(&id(&format!("gone{i}")));
        }
        desk.follow(&id("stays"));
        let started = Instant::now();
        assert_eq!(desk.next(|id| id.as_str() == "stays").await.id, id("stays"));
        assert_eq!(started.elapsed().as_secs(), 0);
        assert_eq!(desk.plan().entries.len(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_payment_to_which_something_happened_is_asked_about_at_once_and_often_again() {
        let desk = desk();
        desk.follow(&id("a"));
        for _ in 0..10 {
            let asked = desk.next(|_| true).await;
            desk.settle(&asked, Settled::Asked);
        }
        let started = Instant::now();
        desk.urge(&id("a"));
        desk.urge(&id("a"));
        let mut seconds = Vec::new();
        for _ in 0..3 {
            let asked = desk.next(|_| true).await;
            seconds.push(started.elapsed().as_secs());
            desk.settle(&asked, Settled::Asked);
        }
        assert_eq!(seconds, [0, 1, 3]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_question_is_left_to_whoever_asked_since_the_one_before() {
        let desk = desk();
        desk.follow(&id("a"));
        let mut gaps = Vec::new();
        for _ in 0..10 {
            let question = desk.next(|_| true).await;
            gaps.push(question.gap.as_millis());
            desk.settle(&question, Settled::LeftToAnother);
        }
        let expected = [900, 900, 1800, 2700, 4500, 7200, 11700, 18000, 27000, 27000];
        assert_eq!(gaps, expected);
        for wanted in [Desk::urge, Desk::want] {
            wanted(&desk, &id("a"));
            let question = desk.next(|_| true).await;
            assert_eq!(question.gap, SHORTEST_GAP);
            desk.settle(&question, Settled::Asked);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_urged_and_left_to_another_is_asked_a_second_later_though_nobody_watches() {
        let desk = desk();
        let started = Instant::now();
        desk.urge(&id("a"));
        let question = desk.next(|_| false).await;
        desk.settle(&question, Settled::LeftToAnother);
        let question = desk.next(|_| false).await;
        assert_eq!(started.elapsed().as_secs(), 1);
        desk.settle(&question, Settled::Asked);
        let next = tokio::time::timeout(Duration::from_secs(60), desk.next(|_| false)).await;
        assert!(next.is_err(), "{next:?}");
    }
}
