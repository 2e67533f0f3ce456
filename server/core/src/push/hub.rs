//! The watchers of this instance, by payment.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chasqui_payment::{Payment, PaymentId, PaymentState, Price, Timestamp};
use chasqui_store::{Change, RelayListener};
use dashmap::DashMap;
use dashmap::mapref::entry::Entry;
use rand::RngExt;
use rand::seq::SliceRandom;
use tokio::sync::Notify;

use super::missed_payments::MissedPayments;
use super::status_message::StatusMessage;
use super::timer_wheel::{Intervals, TimerWheel};
use super::watcher::{Watcher, WatcherSignal};

/// The number of steps of a drain.
const DRAIN_STEPS: u32 = 20;

#[derive(Debug)]
pub struct Hub {
    topics: DashMap<PaymentId, Topic>,
    watchers: AtomicUsize,
    watchers_per_payment: usize,
    wheel: Mutex<TimerWheel>,
    /// The timer wheel's time, readable without its lock.
    ticks: AtomicU32,
    missed: MissedPayments,
    draining: AtomicBool,
    watcher_left: Notify,
}

/// One watched payment.
#[derive(Debug)]
struct Topic {
    watchers: Vec<Arc<Watcher>>,
    /// Once it is read: Khipu's answers are compared with it while the store is unavailable.
    price: Option<Price>,
}

/// A watcher's place in the hub, until it is dropped.
#[derive(Debug)]
pub(crate) struct Registration {
    pub(crate) watcher: Arc<Watcher>,
    pub(crate) payment_id: PaymentId,
    hub: Arc<Hub>,
}

/// Why a payment cannot be watched here now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WatchRefusal {
    /// The payment has the most watchers that it may have.
    PaymentFull,
    /// This instance stops.
    GoingAway,
}

impl Hub {
    pub fn new(watchers_per_payment: usize, intervals: Intervals) -> Self {
        Self {
            topics: DashMap::new(),
            watchers: AtomicUsize::new(0),
            watchers_per_payment,
            wheel: Mutex::new(TimerWheel::new(intervals)),
            ticks: AtomicU32::new(0),
            missed: MissedPayments::default(),
            draining: AtomicBool::new(false),
            watcher_left: Notify::new(),
        }
    }

    /// Adds a watcher. Every change of the payment from now on reaches its slot.
    pub(crate) fn register(self: &Arc<Self>, id: &PaymentId) -> Result<Registration, WatchRefusal> {
        if self.draining.load(Ordering::Acquire) {
            return Err(WatchRefusal::GoingAway);
        }
        let watcher = Arc::new(Watcher::default());
        match self.topics.entry(id.clone()) {
            Entry::Occupied(mut topic) => {
                let watchers = &mut topic.get_mut().watchers;
                if watchers.len() >= self.watchers_per_payment {
                    return Err(WatchRefusal::PaymentFull);
                }
                watchers.push(Arc::clone(&watcher));
            }
            Entry::Vacant(topic) => {
                // Most payments have one watcher, so the capacity is one.
                topic.insert(Topic {
                    watchers: vec![Arc::clone(&watcher)],
                    price: None,
                });
            }
        }
        self.watchers.fetch_add(1, Ordering::Relaxed);
        let registration = Registration {
            watcher,
            payment_id: id.clone(),
            hub: Arc::clone(self),
        };
        // A drain that has begun in between may not reach this watcher.
        if self.draining.load(Ordering::Acquire) {
            return Err(WatchRefusal::GoingAway);
        }
        Ok(registration)
    }

    pub(crate) fn is_watched(&self, id: &PaymentId) -> bool {
        self.topics.contains_key(id)
    }

    pub fn watchers(&self) -> usize {
        self.watchers.load(Ordering::Relaxed)
    }

    /// Offers the message to the payment's watchers.
    pub(crate) fn publish(&self, id: &PaymentId, message: &StatusMessage) {
        if let Some(topic) = self.topics.get(id) {
            let tick = self.ticks.load(Ordering::Relaxed);
            for watcher in &topic.watchers {
                if watcher.offer(message) {
                    watcher.set_offered_at(tick);
                }
            }
        }
    }

    /// Offers a state to the payment's watchers. A state that can be resumed needs its URL, so the payment is read first.
    pub(crate) fn publish_state(&self, id: &PaymentId, state: &PaymentState) {
        if !self.is_watched(id) {
            return;
        }
        if state.may_be_resumed() {
            self.missed.add([id.clone()]);
        } else {
            self.publish(id, &StatusMessage::new(id, state, None));
        }
    }

    pub(crate) fn publish_payment(&self, payment: &Payment, now: Timestamp) {
        if self.is_watched(&payment.id) {
            self.publish(&payment.id, &StatusMessage::of(payment, now));
        }
    }

    /// Keeps the price while the payment is watched here.
    pub(crate) fn remember_price(&self, id: &PaymentId, price: Price) {
        if let Some(mut topic) = self.topics.get_mut(id) {
            topic.price = Some(price);
        }
    }

    pub(crate) fn price(&self, id: &PaymentId) -> Option<Price> {
        self.topics.get(id)?.price
    }

    /// Waits for watched payments whose changes may have been missed, and takes up to `limit`. The caller must read them.
    pub(crate) async fn take_missed(&self, limit: usize) -> Vec<PaymentId> {
        self.missed.take(limit).await
    }

    /// Starts a watcher's heartbeats, pings and lifetime.
    pub(crate) fn keep_alive(&self, watcher: &Arc<Watcher>) {
        self.wheel
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .add(watcher, &mut rand::rng());
    }

    /// Advances the timer wheel once a second, for ever. `on_tick` is called each time.
    pub async fn run_timer_wheel(&self, on_tick: impl Fn()) {
        let mut ticks = tokio::time::interval(Duration::from_secs(1));
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
        loop {
            ticks.tick().await;
            {
                let mut wheel = self.wheel.lock().unwrap_or_else(PoisonError::into_inner);
                wheel.tick(&mut rand::rng());
                self.ticks.store(wheel.now(), Ordering::Relaxed);
            }
            metrics::gauge!("chasqui_watchers").set(self.watchers() as f64);
            on_tick();
        }
    }

    /// Refuses new watchers and signals all others to go, spread over the window so that the other instances do not get them
    /// all at once. Returns when the last has gone, or when the window is over.
    pub async fn drain(&self, window: Duration) {
        self.draining.store(true, Ordering::Release);
        let mut all: Vec<Arc<Watcher>> = self
            .topics
            .iter()
            .flat_map(|topic| topic.watchers.clone())
            .collect();
        all.shuffle(&mut rand::rng());
        let window_ms = u32::try_from(window.as_millis()).unwrap_or(u32::MAX).max(1);
        let deadline = tokio::time::Instant::now() + window;
        let part = all.len().div_ceil(DRAIN_STEPS as usize).max(1);
        for (i, watchers) in all.chunks(part).enumerate() {
            if i > 0 {
                tokio::time::sleep(window / 2 / DRAIN_STEPS).await;
            }
            for watcher in watchers {
                watcher.signal(WatcherSignal::GoingAway {
                    retry_after_ms: rand::rng().random_range(0..window_ms),
                });
            }
        }
        drop(all);
        while self.watchers() > 0 {
            let left = self.watcher_left.notified();
            if self.watchers() == 0 || tokio::time::timeout_at(deadline, left).await.is_err() {
                break;
            }
        }
    }

    fn unregister(&self, id: &PaymentId, watcher: &Arc<Watcher>) {
        if let Entry::Occupied(mut topic) = self.topics.entry(id.clone()) {
            let watchers = &mut topic.get_mut().watchers;
            watchers.retain(|other| !Arc::ptr_eq(other, watcher));
            if watchers.is_empty() {
                topic.remove();
            }
        }
        self.watchers.fetch_sub(1, Ordering::Relaxed);
        self.watcher_left.notify_one();
    }
}

impl RelayListener for Hub {
    fn changed(&self, change: Change) {
        self.publish_state(&change.payment_id, &change.state);
    }

    /// A payment that is watched later is read then anyway.
    fn missed(&self, ids: Vec<PaymentId>) {
        self.missed
            .add(ids.into_iter().filter(|id| self.is_watched(id)));
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.hub.unregister(&self.payment_id, &self.watcher);
    }
}

#[cfg(test)]
mod tests {
    use chasqui_payment::{PaymentState, Timestamp, Version};

    use super::*;

    fn hub() -> Arc<Hub> {
        hub_for(2)
    }

    fn hub_for(watchers_per_payment: usize) -> Arc<Hub> {
        let intervals = Intervals {
            heartbeat: Duration::from_secs(30),
            ping: Duration::from_secs(120),
            lifetime: Duration::from_secs(3600),
        };
        Arc::new(Hub::new(watchers_per_payment, intervals))
    }

    fn id(text: &str) -> PaymentId {
        PaymentId::parse(text).expect("id")
    }

    fn confirmed(id: &PaymentId) -> Change {
        let state = PaymentState {
            version: Version::CONFIRMED,
            ..PaymentState::created(Timestamp::default())
        };
        Change {
            payment_id: id.clone(),
            state,
        }
    }

    #[test]
    fn a_change_reaches_every_watcher_of_its_payment_and_no_other() {
        let hub = hub();
        let (a, b) = (
            hub.register(&id("a")).expect("first"),
            hub.register(&id("a")).expect("second"),
        );
        let other = hub.register(&id("b")).expect("other");
        hub.changed(confirmed(&id("a")));
        assert!(a.watcher.take().is_some());
        assert!(b.watcher.take().is_some());
        assert!(other.watcher.take().is_none());
    }

    #[test]
    fn a_payment_has_room_for_a_few_watchers_only() {
        let hub = hub();
        let first = hub.register(&id("a")).expect("first");
        let _second = hub.register(&id("a")).expect("second");
        assert_eq!(
            hub.register(&id("a")).err(),
            Some(WatchRefusal::PaymentFull)
        );
        drop(first);
        assert!(hub.register(&id("a")).is_ok());
    }

    #[test]
    fn nothing_is_left_when_the_last_watcher_has_gone() {
        let hub = hub();
        drop(hub.register(&id("a")).expect("registered"));
        assert!(!hub.is_watched(&id("a")));
        assert_eq!(hub.watchers(), 0);
        assert!(hub.topics.is_empty());
    }

    /// One heartbeat comes after every silence, counted from the last message.
    #[tokio::test(start_paused = true)]
    async fn a_message_puts_the_next_heartbeat_off() {
        let hub = hub();
        let quiet = hub.register(&id("a")).expect("registered");
        let active = hub.register(&id("b")).expect("registered");
        hub.keep_alive(&quiet.watcher);
        hub.keep_alive(&active.watcher);
        let turning = tokio::spawn({
            let hub = Arc::clone(&hub);
            async move { hub.run_timer_wheel(|| ()).await }
        });
        tokio::time::sleep(Duration::from_secs(20)).await;
        hub.changed(confirmed(&id("b")));
        tokio::time::sleep(Duration::from_secs(15)).await;
        assert_eq!(quiet.watcher.take_signal(), Some(WatcherSignal::Heartbeat));
        assert_eq!(active.watcher.take_signal(), None);
        tokio::time::sleep(Duration::from_secs(19)).await;
        assert_eq!(active.watcher.take_signal(), Some(WatcherSignal::Heartbeat));
        turning.abort();
    }

    #[tokio::test]
    async fn only_what_is_watched_here_is_missed() {
        let hub = hub();
        let _watched = hub.register(&id("b")).expect("registered");
        hub.missed(vec![id("a"), id("b"), id("c")]);
        assert_eq!(hub.take_missed(9).await, [id("b")]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_drain_sends_all_watchers_away_within_the_window_and_admits_none() {
        let hub = hub_for(100);
        let registrations: Vec<_> = (0..50)
            .map(|_| hub.register(&id("a")).expect("registered"))
            .collect();
        let window = Duration::from_secs(8);
        let draining = tokio::spawn({
            let hub = Arc::clone(&hub);
            async move { hub.drain(window).await }
        });
        let started = tokio::time::Instant::now();
        for registration in registrations {
            registration.watcher.going_away().await;
            let signal = registration.watcher.take_signal();
            assert!(
                matches!(signal, Some(WatcherSignal::GoingAway { retry_after_ms }) if retry_after_ms < 8000),
                "{signal:?}"
            );
        }
        draining.await.expect("drained");
        assert!(started.elapsed() < window);
        assert_eq!(hub.register(&id("a")).err(), Some(WatchRefusal::GoingAway));
    }

    #[tokio::test(start_paused = true)]
    async fn a_drain_ends_with_the_window_if_a_watcher_stays() {
        let hub = hub();
        let _stays = hub.register(&id("a")).expect("registered");
        let started = tokio::time::Instant::now();
        hub.drain(Duration::from_secs(8)).await;
        assert!(started.elapsed() >= Duration::from_secs(8));
    }
}
