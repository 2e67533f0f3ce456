//! Payments that Khipu does not know: a visit does not ask about them again for a while.
//!
//! In memory: each instance asks once.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chasqui_payment::{AccountName, PaymentId};
use tokio::time::Instant;

/// How long Khipu's "not found" is used.
const TTL: Duration = Duration::from_secs(30);

/// The most entries of a generation. A full one ends early, and the one before it is dropped. An account's rate limit allows
/// far fewer queries within [`TTL`].
const GENERATION_LIMIT: usize = 8 * 1024;

/// A payment of one account is unknown to another.
type Key = (AccountName, PaymentId);

/// Two generations, so that dropping old entries needs no search.
#[derive(Debug)]
pub(crate) struct NotFoundCache(Mutex<Generations>);

#[derive(Debug)]
struct Generations {
    began_at: Instant,
    young: HashMap<Key, Instant>,
    old: HashMap<Key, Instant>,
}

impl NotFoundCache {
    pub(crate) fn new() -> Self {
        Self(Mutex::new(Generations {
            began_at: Instant::now(),
            young: HashMap::new(),
            old: HashMap::new(),
        }))
    }

    pub(crate) fn insert(&self, account: &AccountName, id: &PaymentId) {
        let now = Instant::now();
        let mut generations = self.generations();
        if generations.young.len() >= GENERATION_LIMIT || now - generations.began_at >= TTL {
            generations.old = std::mem::take(&mut generations.young);
            generations.began_at = now;
        }
        generations.young.insert((account.clone(), id.clone()), now);
    }

    pub(crate) fn contains(&self, account: &AccountName, id: &PaymentId) -> bool {
        let key = (account.clone(), id.clone());
        let Generations { young, old, .. } = &*self.generations();
        let inserted_at = young.get(&key).or_else(|| old.get(&key));
        inserted_at.is_some_and(|at| at.elapsed() < TTL)
    }

    fn generations(&self) -> MutexGuard<'_, Generations> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account(name: &str) -> AccountName {
        AccountName::parse(name).expect("account")
    }

    fn id(text: &str) -> PaymentId {
        PaymentId::parse(text).expect("id")
    }

    #[tokio::test(start_paused = true)]
    async fn an_entry_lasts_half_a_minute_and_is_for_one_account() {
        let not_found = NotFoundCache::new();
        tokio::time::advance(Duration::from_secs(29)).await;
        not_found.insert(&account("shop"), &id("a"));
        tokio::time::advance(Duration::from_secs(2)).await;
        not_found.insert(&account("shop"), &id("b"));
        assert!(not_found.contains(&account("shop"), &id("a")));
        assert!(!not_found.contains(&account("other"), &id("a")));
        tokio::time::advance(Duration::from_secs(28)).await;
        assert!(!not_found.contains(&account("shop"), &id("a")));
        assert!(not_found.contains(&account("shop"), &id("b")));
    }

    #[tokio::test(start_paused = true)]
    async fn the_number_of_entries_is_bounded() {
        let not_found = NotFoundCache::new();
        for n in 0..=3 * GENERATION_LIMIT {
            not_found.insert(&account("shop"), &id(&n.to_string()));
        }
        let kept = not_found.generations();
        assert!(kept.young.len() + kept.old.len() <= 2 * GENERATION_LIMIT);
    }
}
