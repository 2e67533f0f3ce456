//! Payments that Khipu does not know either: it is not asked about them again and again.
//!
//! In memory: it is forgotten soon, and an instance that does not know asks once.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use chasqui_payment::{AccountName, PaymentId};

/// How long Khipu's "there is no such payment" is believed.
const TERM: Duration = Duration::from_secs(30);

/// The most in one generation; a full one counts as grown old, and those of the generation before it are forgotten early. An
/// account's limiter lets far fewer questions through in [`TERM`].
const GENERATION: usize = 8 * 1024;

/// On whose behalf Khipu was asked, and about what: one account's payment is unknown to another.
type Key = (AccountName, PaymentId);

/// Two generations, so that forgetting the old looks at none of them.
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

    pub(crate) fn remember(&self, account: &AccountName, id: &PaymentId) {
        let now = Instant::now();
        let mut generations = self.generations();
        generations.grow_old(now);
        generations.young.insert((account.clone(), id.clone()), now);
    }

    pub(crate) fn contains(&self, account: &AccountName, id: &PaymentId) -> bool {
        let key = (account.clone(), id.clone());
        let generations = self.generations();
        let said_at = generations
            .young
            .get(&key)
            .or_else(|| generations.old.get(&key));
        said_at.is_some_and(|at| at.elapsed() < TERM)
    }

    fn generations(&self) -> std::sync::MutexGuard<'_, Generations> {
        // A map stays whole whatever happened to a thread that held it.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Generations {
    fn grow_old(&mut self, now: Instant) {
        if self.young.len() >= GENERATION || now - self.began_at >= TERM {
            self.old = std::mem::take(&mut self.young);
            self.began_at = now;
        }
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
    async fn what_khipu_does_not_know_is_remembered_for_half_a_minute_for_one_account() {
        let unknown = NotFoundCache::new();
        tokio::time::advance(Duration::from_secs(29)).await;
        unknown.remember(&account("shop"), &id("a"));
        tokio::time::advance(Duration::from_secs(2)).await;
        unknown.remember(&account("shop"), &id("b"));
        assert!(unknown.contains(&account("shop"), &id("a")));
        assert!(!unknown.contains(&account("other"), &id("a")));
        tokio::time::advance(Duration::from_secs(28)).await;
        assert!(!unknown.contains(&account("shop"), &id("a")));
        assert!(unknown.contains(&account("shop"), &id("b")));
    }

    #[tokio::test(start_paused = true)]
    async fn a_crowd_is_forgotten_rather_than_kept() {
        let unknown = NotFoundCache::new();
        for n in 0..=3 * GENERATION {
            unknown.remember(&account("shop"), &id(&n.to_string()));
        }
        let kept = unknown.generations();
        assert!(kept.young.len() + kept.old.len() <= 2 * GENERATION);
    }
}
