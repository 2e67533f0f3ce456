//! One timer for the heartbeats, pings and lifetimes of all watchers: a wheel of one-second slots.

use std::sync::{Arc, Weak};
use std::time::Duration;

use rand::{Rng, RngExt};

use super::watcher::{Watcher, WatcherSignal};

/// How often a watcher's connection gets its signals.
#[derive(Debug, Clone, Copy)]
pub struct Intervals {
    /// The time since the last message, ±10 %.
    pub heartbeat: Duration,
    /// The time between two pings, ±10 %.
    pub ping: Duration,
    /// The time until the connection must close, ±20 %.
    pub lifetime: Duration,
}

#[derive(Debug)]
pub(super) struct TimerWheel {
    slots: Vec<Vec<Timer>>,
    /// Ticks since the start.
    now: u32,
    heartbeat: JitteredInterval,
    ping: JitteredInterval,
    lifetime: u32,
}

/// Seconds, ±10 %.
#[derive(Debug, Clone, Copy)]
struct JitteredInterval(u32);

/// Does not keep its watcher alive: the timer of one that has gone is dropped when its slot comes up.
#[derive(Debug)]
struct Timer {
    watcher: Weak<Watcher>,
    heartbeat_at: u32,
    ping_at: u32,
    ends_at: u32,
}

impl JitteredInterval {
    fn of(duration: Duration) -> Self {
        Self(seconds(duration))
    }

    fn jitter(self) -> u32 {
        self.0.div_ceil(10)
    }

    fn shortest(self) -> u32 {
        (self.0 - self.jitter()).max(1)
    }

    fn longest(self) -> u32 {
        self.0 + self.jitter()
    }

    fn pick(self, random: &mut impl Rng) -> u32 {
        random.random_range(self.shortest()..=self.longest())
    }
}

fn seconds(duration: Duration) -> u32 {
    u32::try_from(duration.as_secs())
        .unwrap_or(u32::MAX / 4)
        .max(1)
}

impl TimerWheel {
    pub(super) fn new(intervals: Intervals) -> Self {
        let heartbeat = JitteredInterval::of(intervals.heartbeat);
        let ping = JitteredInterval::of(intervals.ping);
        // A timer waits for the next heartbeat or ping at most, so never for a second round of the wheel.
        let slots = (0..=heartbeat.longest().min(ping.longest()))
            .map(|_| Vec::new())
            .collect();
        Self {
            slots,
            now: 0,
            heartbeat,
            ping,
            lifetime: seconds(intervals.lifetime),
        }
    }

    /// Ticks since the start.
    pub(super) fn now(&self) -> u32 {
        self.now
    }

    pub(super) fn add(&mut self, watcher: &Arc<Watcher>, random: &mut impl Rng) {
        let spread = self.lifetime / 5;
        let lifetime = random.random_range(self.lifetime - spread..=self.lifetime + spread);
        self.place(Timer {
            watcher: Arc::downgrade(watcher),
            heartbeat_at: self.now + self.heartbeat.pick(random),
            ping_at: self.now + self.ping.pick(random),
            ends_at: self.now + lifetime,
        });
    }

    pub(super) fn tick(&mut self, random: &mut impl Rng) {
        self.now += 1;
        let current = self.now as usize % self.slots.len();
        for mut timer in std::mem::take(&mut self.slots[current]) {
            let Some(watcher) = timer.watcher.upgrade() else {
                continue;
            };
            self.signal(&watcher, &mut timer, random);
            // Also after its lifetime, so that the signal is repeated while the connection stays.
            self.place(timer);
        }
    }

    fn signal(&self, watcher: &Watcher, timer: &mut Timer, random: &mut impl Rng) {
        let has_ended = self.now >= timer.ends_at;
        if self.now >= timer.heartbeat_at {
            // Counted from the last message: a client that receives nothing for 45 s reconnects.
            let quiet_until = watcher.offered_at() + self.heartbeat.shortest();
            if quiet_until > self.now {
                timer.heartbeat_at = watcher.offered_at() + self.heartbeat.pick(random);
            } else {
                timer.heartbeat_at = self.now + self.heartbeat.pick(random);
                if !has_ended {
                    watcher.signal(WatcherSignal::Heartbeat);
                }
            }
        }
        if self.now >= timer.ping_at {
            timer.ping_at = self.now + self.ping.pick(random);
            if !has_ended {
                watcher.signal(WatcherSignal::Ping);
            }
        }
        if has_ended {
            watcher.signal(WatcherSignal::Lifetime);
        }
    }

    fn place(&mut self, timer: Timer) {
        let due = timer.heartbeat_at.min(timer.ping_at);
        let slot = due as usize % self.slots.len();
        self.slots[slot].push(timer);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wheel(heartbeat: u32, ping: u32, lifetime: u32) -> TimerWheel {
        TimerWheel::new(Intervals {
            heartbeat: Duration::from_secs(heartbeat.into()),
            ping: Duration::from_secs(ping.into()),
            lifetime: Duration::from_secs(lifetime.into()),
        })
    }

    /// A watcher's signals and their seconds.
    fn signals_over(
        seconds: u32,
        wheel: &mut TimerWheel,
        watcher: &Watcher,
    ) -> Vec<(u32, WatcherSignal)> {
        let mut random = rand::rng();
        let mut signals = Vec::new();
        for second in 1..=seconds {
            wheel.tick(&mut random);
            signals.extend(std::iter::from_fn(|| watcher.take_signal()).map(|s| (second, s)));
        }
        signals
    }

    fn times_of(signal: WatcherSignal, signals: &[(u32, WatcherSignal)]) -> Vec<u32> {
        let times = signals.iter().filter(|(_, other)| *other == signal);
        times.map(|(second, _)| *second).collect()
    }

    #[test]
    fn heartbeats_and_pings_come_each_at_its_interval_with_ten_percent_jitter() {
        for (heartbeat, ping) in [(30, 120), (30, 100), (40, 7), (25, 25)] {
            let mut wheel = wheel(heartbeat, ping, 1_000_000);
            let watcher = Arc::new(Watcher::default());
            wheel.add(&watcher, &mut rand::rng());
            let signals = signals_over(10_000, &mut wheel, &watcher);
            for (signal, interval) in [
                (WatcherSignal::Heartbeat, heartbeat),
                (WatcherSignal::Ping, ping),
            ] {
                let allowed = interval - interval.div_ceil(10)..=interval + interval.div_ceil(10);
                let times = times_of(signal, &signals);
                let mut last = 0;
                for time in &times {
                    assert!(
                        allowed.contains(&(time - last)),
                        "{signal:?}: {last}, {time}"
                    );
                    last = *time;
                }
                assert!(last > 10_000 - 2 * interval, "{signal:?} ended at {last}");
            }
        }
    }

    #[test]
    fn a_message_puts_the_heartbeat_off_and_no_silence_is_longer_than_an_interval() {
        let mut wheel = wheel(30, 120, 1_000_000);
        let watcher = Arc::new(Watcher::default());
        let mut random = rand::rng();
        wheel.add(&watcher, &mut random);
        let mut silent_since = 0;
        let mut heartbeats = 0;
        for second in 1..=20_000_u32 {
            wheel.tick(&mut random);
            if random.random_range(0..40) == 0 {
                watcher.set_offered_at(wheel.now());
                silent_since = second;
            }
            while let Some(signal) = watcher.take_signal() {
                if signal == WatcherSignal::Heartbeat {
                    // One that was signalled in this very second came before the message did.
                    assert!(
                        silent_since == second || second - silent_since >= 27,
                        "{silent_since}, {second}"
                    );
                    silent_since = second;
                    heartbeats += 1;
                }
            }
            assert!(
                second - silent_since <= 33,
                "silent from {silent_since} to {second}"
            );
        }
        assert!(heartbeats > 100);
    }

    #[test]
    fn a_lifetime_ends_within_twenty_percent_and_a_heartbeat() {
        let mut wheel = wheel(5, 20, 100);
        let watcher = Arc::new(Watcher::default());
        wheel.add(&watcher, &mut rand::rng());
        let signals = signals_over(200, &mut wheel, &watcher);
        let ends = times_of(WatcherSignal::Lifetime, &signals);
        assert!((80..=126).contains(&ends[0]), "{ends:?}");
        let after = signals.iter().filter(|(second, _)| *second >= ends[0]);
        assert!(
            after.clone().count() > 1,
            "it is repeated until the connection closes"
        );
        assert!(
            after
                .clone()
                .all(|(_, signal)| *signal == WatcherSignal::Lifetime)
        );
    }

    #[test]
    fn the_timer_of_a_watcher_that_has_gone_is_dropped() {
        let mut wheel = wheel(5, 20, 100);
        let watcher = Arc::new(Watcher::default());
        wheel.add(&watcher, &mut rand::rng());
        drop(watcher);
        for _ in 0..10 {
            wheel.tick(&mut rand::rng());
        }
        assert!(wheel.slots.iter().all(Vec::is_empty));
    }

    #[test]
    fn a_timer_is_small() {
        assert!(size_of::<Timer>() <= 24);
    }
}
