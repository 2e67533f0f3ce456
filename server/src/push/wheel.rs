//! One timer for all watchers: a wheel of one-second slots, so that a watcher costs no timer of its own.

use std::sync::{Arc, Weak};
use std::time::Duration;

use rand::{Rng, RngExt};

use super::{Signal, Watcher};

#[derive(Debug)]
pub(super) struct Wheel {
    slots: Vec<Vec<Spoke>>,
    /// Turns since the start.
    now: u32,
    interval: u32,
    lifetime: u32,
}

/// Holds no watcher alive; one that has gone falls off when its slot comes up.
#[derive(Debug)]
struct Spoke {
    watcher: Weak<Watcher>,
    ends_at: u32,
}

impl Wheel {
    pub(super) fn new(interval: Duration, lifetime: Duration) -> Self {
        let seconds = |duration: Duration| {
            u32::try_from(duration.as_secs())
                .unwrap_or(u32::MAX / 4)
                .max(1)
        };
        let interval = seconds(interval);
        // The longest wait is the interval and its jitter, so no spoke ever waits for a second turn of the wheel.
        let slots = (0..=interval + interval.div_ceil(10) + 1)
            .map(|_| Vec::new())
            .collect();
        Self {
            slots,
            now: 0,
            interval,
            lifetime: seconds(lifetime),
        }
    }

    /// Pings every interval ±10 %, and the end of the lifetime, ±20 %.
    pub(super) fn add(&mut self, watcher: &Arc<Watcher>, random: &mut impl Rng) {
        let spread = self.lifetime / 5;
        let ends_at =
            self.now + random.random_range(self.lifetime - spread..=self.lifetime + spread);
        self.place(
            Spoke {
                watcher: Arc::downgrade(watcher),
                ends_at,
            },
            random,
        );
    }

    pub(super) fn turn(&mut self, random: &mut impl Rng) {
        self.now += 1;
        let current = self.now as usize % self.slots.len();
        for spoke in std::mem::take(&mut self.slots[current]) {
            let Some(watcher) = spoke.watcher.upgrade() else {
                continue;
            };
            let over = self.now >= spoke.ends_at;
            watcher.signal(if over { Signal::Lifetime } else { Signal::Ping });
            // It stays on the wheel after its lifetime too: should its end be held up, the next turn finds it.
            self.place(spoke, random);
        }
    }

    fn place(&mut self, spoke: Spoke, random: &mut impl Rng) {
        let jitter = self.interval.div_ceil(10);
        let wait = random.random_range((self.interval - jitter).max(1)..=self.interval + jitter);
        let slot = (self.now + wait) as usize % self.slots.len();
        self.slots[slot].push(spoke);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signals_over(seconds: u32, wheel: &mut Wheel, watcher: &Watcher) -> Vec<(u32, Signal)> {
        let mut random = rand::rng();
        (1..=seconds)
            .filter_map(|second| {
                wheel.turn(&mut random);
                watcher.take_signal().map(|signal| (second, signal))
            })
            .collect()
    }

    #[test]
    fn pings_come_every_interval_with_ten_percent_jitter() {
        let mut wheel = Wheel::new(Duration::from_secs(25), Duration::from_secs(36_000));
        let watcher = Arc::new(Watcher::default());
        wheel.add(&watcher, &mut rand::rng());
        let signals = signals_over(1000, &mut wheel, &watcher);
        let mut last = 0;
        for (second, signal) in signals {
            assert_eq!(signal, Signal::Ping);
            assert!((22..=28).contains(&(second - last)), "{last} then {second}");
            last = second;
        }
        assert!(last > 900);
    }

    #[test]
    fn a_lifetime_ends_within_twenty_percent_and_a_ping_interval() {
        let mut wheel = Wheel::new(Duration::from_secs(5), Duration::from_secs(100));
        let watcher = Arc::new(Watcher::default());
        wheel.add(&watcher, &mut rand::rng());
        let signals = signals_over(200, &mut wheel, &watcher);
        let end = signals
            .iter()
            .find(|(_, signal)| *signal == Signal::Lifetime)
            .expect("ends")
            .0;
        assert!((80..=126).contains(&end), "{end}");
    }

    #[test]
    fn one_that_has_gone_falls_off() {
        let mut wheel = Wheel::new(Duration::from_secs(5), Duration::from_secs(100));
        let watcher = Arc::new(Watcher::default());
        wheel.add(&watcher, &mut rand::rng());
        drop(watcher);
        for _ in 0..10 {
            wheel.turn(&mut rand::rng());
        }
        assert!(wheel.slots.iter().all(Vec::is_empty));
    }
}
