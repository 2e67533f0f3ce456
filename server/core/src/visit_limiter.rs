//! Limits visits through the return hop: one a second for a payment, many a minute for an address.
//!
//! A visit beyond the limits is redirected to the shop, but records and asks nothing. In memory, for each instance: it
//! protects the store and Khipu from a page that reloads in a loop.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use chasqui_payment::PaymentId;
use tokio::time::Instant;

/// A payment's visits count once in this time.
const PAYMENT_WINDOW: Duration = Duration::from_secs(1);

/// Visits from one address that count within [`ADDRESS_WINDOW`]. A phone network or a campus is one address.
const ADDRESS_LIMIT: u32 = 10_000;
const ADDRESS_WINDOW: Duration = Duration::from_secs(60);

/// The most payments or addresses of one window. More visits, as in an attack, do not count.
const WINDOW_ENTRIES: usize = 100_000;

#[derive(Debug)]
pub(crate) struct VisitLimiter {
    payments: Mutex<Window<PaymentId>>,
    addresses: Mutex<Window<IpAddr>>,
}

/// Counts by key. The previous window is kept, so that two visits around the end of a window are counted together.
#[derive(Debug)]
struct Window<K> {
    length: Duration,
    began_at: Instant,
    current: HashMap<K, (Instant, u32)>,
    previous: HashMap<K, (Instant, u32)>,
}

impl VisitLimiter {
    pub(crate) fn new() -> Self {
        Self {
            payments: Mutex::new(Window::new(PAYMENT_WINDOW)),
            addresses: Mutex::new(Window::new(ADDRESS_WINDOW)),
        }
    }

    /// Whether this visit counts.
    pub(crate) fn admit(&self, id: &PaymentId, address: IpAddr) -> bool {
        let now = Instant::now();
        let from_address = count(&self.addresses, address, now);
        from_address.is_some_and(|visits| visits <= ADDRESS_LIMIT)
            && count(&self.payments, id.clone(), now) == Some(1)
    }
}

fn count<K: Eq + Hash>(window: &Mutex<Window<K>>, key: K, now: Instant) -> Option<u32> {
    let mut window = window.lock().unwrap_or_else(PoisonError::into_inner);
    window.count(key, now)
}

impl<K: Eq + Hash> Window<K> {
    fn new(length: Duration) -> Self {
        Self {
            length,
            began_at: Instant::now(),
            current: HashMap::new(),
            previous: HashMap::new(),
        }
    }

    /// The number of visits within one length of the first of them, with this one. `None`: the window is full.
    fn count(&mut self, key: K, now: Instant) -> Option<u32> {
        if now.duration_since(self.began_at) >= self.length {
            self.previous = std::mem::take(&mut self.current);
            self.began_at = now;
        }
        let known = self.current.get(&key).or_else(|| self.previous.get(&key));
        let within = known.filter(|(first, _)| now.duration_since(*first) < self.length);
        let (first, visits) = match within {
            Some((first, visits)) => (*first, visits.saturating_add(1)),
            None => (now, 1),
        };
        if self.current.len() >= WINDOW_ENTRIES && !self.current.contains_key(&key) {
            return None;
        }
        self.current.insert(key, (first, visits));
        Some(visits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(text: &str) -> PaymentId {
        PaymentId::parse(text).expect("id")
    }

    fn address(last: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, last])
    }

    #[tokio::test(start_paused = true)]
    async fn a_payments_visits_count_once_a_second() {
        let visits = VisitLimiter::new();
        let mut counted = 0;
        for _ in 0..200 {
            counted += u32::from(visits.admit(&id("a"), address(1)));
            tokio::time::advance(Duration::from_millis(50)).await;
        }
        assert_eq!(counted, 10, "in ten seconds");
    }

    #[tokio::test(start_paused = true)]
    async fn one_payment_does_not_use_up_anothers_visit() {
        let visits = VisitLimiter::new();
        assert!(visits.admit(&id("a"), address(1)));
        assert!(!visits.admit(&id("a"), address(2)));
        assert!(visits.admit(&id("b"), address(1)));
    }

    #[tokio::test(start_paused = true)]
    async fn an_address_is_limited_generously() {
        let visits = VisitLimiter::new();
        let counted = (0..ADDRESS_LIMIT + 50)
            .filter(|n| visits.admit(&id(&format!("p{n}")), address(1)))
            .count();
        assert_eq!(counted, ADDRESS_LIMIT as usize);
        assert!(visits.admit(&id("other"), address(2)));
        tokio::time::advance(ADDRESS_WINDOW).await;
        assert!(visits.admit(&id("later"), address(1)));
    }

    #[tokio::test(start_paused = true)]
    async fn old_visits_are_forgotten() {
        let mut window = Window::new(PAYMENT_WINDOW);
        for n in 0..1000 {
            assert_eq!(window.count(n, Instant::now()), Some(1));
            tokio::time::advance(Duration::from_millis(100)).await;
        }
        assert!(window.current.len() + window.previous.len() <= 22);
    }
}
