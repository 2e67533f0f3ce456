//! Who gets an account's next call to Khipu: a queue for each [`CallClass`], the most urgent first.

use std::collections::VecDeque;
use std::time::Duration;

use chasqui_payment::JobPriority;
use tokio::sync::oneshot;
use tokio::time::Instant;

/// Why Khipu is called, in order of urgency.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum CallClass {
    /// The poller's next payment.
    Watched,
    /// A request waits for the response: the payment is not known here, or its payer is on the way back to the shop. Takes
    /// turns with [`Watched`](Self::Watched), so that neither holds up the other.
    Visit,
    /// A check after a notification that does not confirm by itself.
    Notified,
    /// A check of a payment without news.
    Silent,
    /// Whether a confirmation still stands: only what no other class needs.
    Recheck,
}

impl CallClass {
    pub(super) const COUNT: usize = 5;

    /// The most callers that wait; one more is sent away. The poller of an account is one caller.
    pub(super) const fn queue_limit(self) -> usize {
        match self {
            Self::Watched | Self::Visit => 64,
            Self::Notified | Self::Silent => 16,
            Self::Recheck => 4,
        }
    }

    /// The longest wait. Then a check goes back to the store and makes room for others of its class.
    pub(super) const fn wait_limit(self) -> Duration {
        match self {
            Self::Watched => Duration::MAX,
            Self::Visit | Self::Recheck => Duration::from_secs(10),
            Self::Notified | Self::Silent => Duration::from_secs(60),
        }
    }
}

impl From<JobPriority> for CallClass {
    fn from(priority: JobPriority) -> Self {
        match priority {
            JobPriority::Notified => Self::Notified,
            JobPriority::Silent => Self::Silent,
            JobPriority::CrossCheck => Self::Recheck,
        }
    }
}

/// The most checks of one account that wait.
pub(crate) const CHECKS_WAITING: usize = CallClass::Notified.queue_limit()
    + CallClass::Silent.queue_limit()
    + CallClass::Recheck.queue_limit();

/// One slot in this many goes to the check that has waited longest, so that watched payments cannot hold up checks for ever.
const CHECK_SHARE: u32 = 8;

#[derive(Debug)]
pub(super) struct WaitQueue<S> {
    waiting: [VecDeque<Waiter<S>>; CallClass::COUNT],
    /// Slots since the last that went to a check.
    since_check: u32,
    last_was_visit: bool,
}

#[derive(Debug)]
struct Waiter<S> {
    since: Instant,
    granted: oneshot::Sender<S>,
}

impl<S> WaitQueue<S> {
    pub(super) fn new() -> Self {
        Self {
            waiting: std::array::from_fn(|_| VecDeque::new()),
            since_check: 0,
            last_was_visit: false,
        }
    }

    pub(super) fn has_room(&mut self, class: CallClass) -> bool {
        self.waiting(class).len() < class.queue_limit()
    }

    pub(super) fn push(&mut self, class: CallClass, granted: oneshot::Sender<S>) {
        let since = Instant::now();
        self.waiting(class).push_back(Waiter { since, granted });
    }

    /// Removes the caller whose turn it is.
    pub(super) fn pop(&mut self) -> Option<oneshot::Sender<S>> {
        let mut front = |class| self.waiting(class).front().map(|waiter| waiter.since);
        let (watched, visit) = (front(CallClass::Watched), front(CallClass::Visit));
        let (notified, silent) = (front(CallClass::Notified), front(CallClass::Silent));
        let longest_check = match (notified, silent) {
            (Some(notified), Some(silent)) if silent < notified => CallClass::Silent,
            (None, Some(_)) => CallClass::Silent,
            _ => CallClass::Notified,
        };
        let check_waits = notified.or(silent).is_some();
        let class = if check_waits && self.since_check + 1 >= CHECK_SHARE {
            longest_check
        } else if visit.is_some() && (watched.is_none() || !self.last_was_visit) {
            CallClass::Visit
        } else if watched.is_some() {
            CallClass::Watched
        } else if notified.is_some() {
            CallClass::Notified
        } else if silent.is_some() {
            CallClass::Silent
        } else {
            CallClass::Recheck
        };
        match class {
            CallClass::Notified | CallClass::Silent => self.since_check = 0,
            _ => self.since_check = self.since_check.saturating_add(1),
        }
        if class <= CallClass::Visit {
            self.last_was_visit = class == CallClass::Visit;
        }
        let waiter = self.waiting[class as usize].pop_front()?;
        Some(waiter.granted)
    }

    /// The callers of a class that have not given up.
    fn waiting(&mut self, class: CallClass) -> &mut VecDeque<Waiter<S>> {
        let waiting = &mut self.waiting[class as usize];
        waiting.retain(|waiter| !waiter.granted.is_closed());
        waiting
    }
}
