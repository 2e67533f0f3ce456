//! The plan behind a [`PollSchedule`](super::PollSchedule): which payment is polled when. The time is an argument.

use std::cmp::Reverse;
use std::collections::binary_heap::PeekMut;
use std::collections::{BinaryHeap, HashMap};
use std::time::Duration;

use chasqui_payment::PaymentId;
use tokio::time::Instant;

/// Seconds between two polls of a watched payment: short while the payer has just come back, then longer.
const INTERVALS: [u64; 8] = [1, 2, 3, 5, 8, 13, 20, 30];

/// At kinds 5 to 7 (expired, cancelled, rejected) only a payer who tries again changes the status, so the intervals are this
/// many times as long.
const SLOW_FACTOR: u32 = 5;

/// A payment is polled once in this time, however often it is visited.
pub(super) const MIN_POLL_NOW_INTERVAL: Duration = Duration::from_secs(1);

/// How far a payment that was not polled yet goes ahead of one that was. A polled payment is remembered for as long, so that
/// one that is visited again and again does not count as new.
const HEAD_START: Duration = Duration::from_secs(30);

/// Payments with a result that could not be committed. One more is left to Khipu's repeated notification, to its check and to
/// its next visitor.
pub(super) const UNCOMMITTED_LIMIT: usize = 10_000;

/// The minimum interval of a poll that follows an event: an earlier poll cannot reflect the event.
pub(crate) const URGENT_MIN_INTERVAL: Duration = min_interval(0);

/// Each payment is in `entries` once. The heaps may hold outdated times; the entry's own time counts. The limits on watchers,
/// visits and uncommitted results bound all of it; an unneeded payment leaves when it is due.
#[derive(Debug, Default)]
pub(super) struct Plan {
    /// The most entries; beyond it only watched and uncommitted payments get one.
    limit: usize,
    /// Payments that are planned and not due yet, by due time.
    later: BinaryHeap<Reverse<(Instant, PaymentId)>>,
    /// Due payments by [`Entry::waiting_since`], with the due time: none is polled twice while others wait. When more is due
    /// than the rate allows, the intervals stretch.
    due: BinaryHeap<Reverse<(Instant, Instant, PaymentId)>>,
    pub(super) entries: HashMap<PaymentId, Entry>,
    /// The number of uncommitted entries.
    pub(super) uncommitted: usize,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Entry {
    due_at: Instant,
    added_at: Instant,
    /// Polls since the last event.
    pub(super) polls: u8,
    polled_at: Option<Instant>,
    is_slow: bool,
    /// No longer needed; only `polled_at` is remembered.
    is_idle: bool,
    /// Needed by a caller that does not stay to watch.
    pub(super) requested: bool,
    /// When a result could not be committed. The payment is polled until one is, watched or not.
    uncommitted_since: Option<Instant>,
    in_flight: bool,
}

/// A payment to poll now.
#[derive(Debug)]
pub(crate) struct DuePoll {
    pub(crate) id: PaymentId,
    /// A poll within this time, by any instance, makes this one unnecessary.
    pub(crate) min_interval: Duration,
    started_at: Instant,
    requested: bool,
}

/// How soon the next poll is needed, by the payment's stored status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PollPace {
    Stop,
    /// Only a payer who tries again changes the status.
    Slow,
    Normal,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PollResult {
    /// Answered and committed.
    Answered,
    /// No answer, or one that could not be committed.
    Failed,
    /// Another instance has just polled, and its result comes by the relay. A visit since then still needs a poll of its own.
    Skipped,
}

impl Plan {
    pub(super) fn new(limit: usize) -> Self {
        Self {
            limit,
            ..Self::default()
        }
    }

    /// Whether the payment has an entry or may get one.
    pub(super) fn has_room(&self, id: &PaymentId) -> bool {
        let has_room = self.entries.len() < self.limit || self.entries.contains_key(id);
        if !has_room {
            metrics::counter!("chasqui_visits_not_polled_total").increment(1);
        }
        has_room
    }

    /// Makes the payment due as soon as [`MIN_POLL_NOW_INTERVAL`] allows.
    pub(super) fn expedite(&mut self, id: &PaymentId, now: Instant) -> &mut Entry {
        let entry = self.entry_due(id, now);
        let earliest = entry
            .polled_at
            .map_or(now, |at| now.max(at + MIN_POLL_NOW_INTERVAL));
        if std::mem::take(&mut entry.is_idle) {
            // It became idle when it was due.
            entry.polls = 0;
            self.bring_forward(id, now);
        } else if !entry.in_flight && earliest < entry.due_at {
            // A poll by another instance within the planned interval may precede this visit.
            entry.requested = true;
            self.bring_forward(id, earliest);
        }
        self.entry_due(id, now)
    }

    pub(super) fn add_uncommitted(&mut self, id: &PaymentId, now: Instant) {
        if self.uncommitted >= UNCOMMITTED_LIMIT {
            metrics::counter!("chasqui_uncommitted_forgotten_total").increment(1);
            return;
        }
        let due_at = now + interval(0);
        self.entry_due(id, due_at).is_idle = false;
        self.bring_forward(id, due_at);
        let entry = self.entry_due(id, due_at);
        if entry.uncommitted_since.replace(now).is_none() {
            self.uncommitted += 1;
            metrics::gauge!("chasqui_uncommitted").increment(1);
        }
    }

    /// `Ok`: a payment is due. `Err`: when the next one is; `None` without any.
    pub(super) fn next_due(&mut self, now: Instant) -> Result<(), Option<Instant>> {
        self.move_due(now);
        match self.due.is_empty() {
            false => Ok(()),
            true => Err(self.later.peek().map(|Reverse((at, _))| *at)),
        }
    }

    /// The due payment that has waited longest and is still needed.
    pub(super) fn take_due(
        &mut self,
        now: Instant,
        is_watched: impl Fn(&PaymentId) -> bool,
    ) -> Option<DuePoll> {
        self.move_due(now);
        while let Some(Reverse((_, due_at, id))) = self.due.pop() {
            let Some(entry) = self.entries.get_mut(&id).filter(|it| it.is_due_at(due_at)) else {
                continue;
            };
            let min_interval = entry.min_interval();
            let requested = std::mem::take(&mut entry.requested);
            if requested || entry.uncommitted_since.is_some() || is_watched(&id) {
                entry.in_flight = true;
                entry.is_idle = false;
                return Some(DuePoll {
                    id,
                    min_interval,
                    started_at: now,
                    requested,
                });
            }
            match entry.polled_at.map(|at| at + HEAD_START) {
                Some(forget_at) if forget_at > now => {
                    entry.is_idle = true;
                    entry.due_at = forget_at;
                    self.later.push(Reverse((forget_at, id)));
                }
                _ => {
                    self.entries.remove(&id);
                }
            }
        }
        None
    }

    pub(super) fn record(
        &mut self,
        poll: &DuePoll,
        result: PollResult,
        pace: PollPace,
        now: Instant,
    ) {
        let id = &poll.id;
        let Some(entry) = self.entries.get_mut(id) else {
            return;
        };
        match result {
            PollResult::Answered => {
                // A result from after the poll began is not in its answer.
                let committed = entry
                    .uncommitted_since
                    .take_if(|since| *since < poll.started_at);
                if committed.is_some() {
                    self.uncommitted -= 1;
                    metrics::gauge!("chasqui_uncommitted").decrement(1);
                }
            }
            PollResult::Failed => {}
            PollResult::Skipped => entry.requested |= poll.requested,
        }
        if pace == PollPace::Stop && entry.uncommitted_since.is_none() {
            self.entries.remove(id);
            return;
        }
        entry.is_slow = pace == PollPace::Slow;
        let number = entry.polls.into();
        let interval = match (result, entry.requested) {
            // A visit during the poll needs one that begins after it.
            (PollResult::Skipped, true) => URGENT_MIN_INTERVAL,
            (_, true) => MIN_POLL_NOW_INTERVAL,
            // The other instance polls again after the full interval. This one is a little earlier and takes over, so that
            // an instance that cannot reach Khipu does not keep the other from polling.
            (PollResult::Skipped, false) => min_interval(number) * entry.slowdown(),
            (_, false) => interval(number) * entry.slowdown(),
        };
        entry.polls = entry.polls.saturating_add(1);
        entry.polled_at = Some(poll.started_at);
        entry.in_flight = false;
        entry.due_at = now + interval;
        self.later.push(Reverse((entry.due_at, id.clone())));
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

    /// The payment's entry; a new one is due at `due_at`.
    fn entry_due(&mut self, id: &PaymentId, due_at: Instant) -> &mut Entry {
        let later = &mut self.later;
        self.entries.entry(id.clone()).or_insert_with(|| {
            later.push(Reverse((due_at, id.clone())));
            Entry {
                due_at,
                added_at: due_at,
                polls: 0,
                polled_at: None,
                is_slow: false,
                is_idle: false,
                requested: false,
                uncommitted_since: None,
                in_flight: false,
            }
        })
    }

    fn move_due(&mut self, now: Instant) {
        while let Some(next) = self.later.peek_mut()
            && next.0.0 <= now
        {
            let Reverse((due_at, id)) = PeekMut::pop(next);
            if let Some(entry) = self.entries.get(&id).filter(|it| it.is_due_at(due_at)) {
                self.due.push(Reverse((entry.waiting_since(), due_at, id)));
            }
        }
    }
}

impl Entry {
    /// A little less than the interval before this poll.
    fn min_interval(&self) -> Duration {
        match self.requested {
            true => URGENT_MIN_INTERVAL,
            false => min_interval(usize::from(self.polls).saturating_sub(1)) * self.slowdown(),
        }
    }

    const fn slowdown(&self) -> u32 {
        if self.is_slow { SLOW_FACTOR } else { 1 }
    }

    fn waiting_since(&self) -> Instant {
        self.polled_at.map_or(self.added_at, |at| at + HEAD_START)
    }

    /// Whether a time from a heap is still this entry's.
    fn is_due_at(&self, at: Instant) -> bool {
        !self.in_flight && self.due_at == at
    }
}

/// Between the poll with this number, from 0, and the next.
const fn interval(number: usize) -> Duration {
    let last = INTERVALS.len() - 1;
    Duration::from_secs(INTERVALS[if number < last { number } else { last }])
}

/// A little less than the interval, so that an instance's own last poll does not hold up its next one.
const fn min_interval(number: usize) -> Duration {
    Duration::from_millis(interval(number).as_secs() * 900)
}
