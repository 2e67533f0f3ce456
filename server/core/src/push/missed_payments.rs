//! Payments whose changes this instance may have missed, until they are read again.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use chasqui_payment::PaymentId;
use tokio::sync::Notify;

/// A set, bounded by the limits on watchers: only watched payments are added.
#[derive(Debug, Default)]
pub(super) struct MissedPayments {
    ids: Mutex<BTreeSet<PaymentId>>,
    more: Notify,
}

impl MissedPayments {
    pub(super) fn add(&self, ids: impl IntoIterator<Item = PaymentId>) {
        self.ids().extend(ids);
        self.more.notify_one();
    }

    /// Waits for payments and takes up to `limit`.
    pub(super) async fn take(&self, limit: usize) -> Vec<PaymentId> {
        loop {
            let taken: Vec<_> = {
                let mut ids = self.ids();
                std::iter::from_fn(|| ids.pop_first()).take(limit).collect()
            };
            if !taken.is_empty() {
                return taken;
            }
            self.more.notified().await;
        }
    }

    fn ids(&self) -> MutexGuard<'_, BTreeSet<PaymentId>> {
        self.ids.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(names: &[&str]) -> Vec<PaymentId> {
        let id = |name: &&str| PaymentId::parse(name).expect("id");
        names.iter().map(id).collect()
    }

    #[tokio::test]
    async fn each_is_taken_once_and_no_more_than_the_limit() {
        let missed = MissedPayments::default();
        missed.add(ids(&["b", "a", "b"]));
        missed.add(ids(&["c", "a"]));
        assert_eq!(missed.take(2).await, ids(&["a", "b"]));
        assert_eq!(missed.take(2).await, ids(&["c"]));
    }

    #[tokio::test(start_paused = true)]
    async fn a_waiting_caller_is_woken_by_the_first() {
        let missed = MissedPayments::default();
        missed.add(ids(&[]));
        let waiting = missed.take(9);
        let coming = async {
            tokio::task::yield_now().await;
            missed.add(ids(&["a"]));
        };
        let in_time = std::time::Duration::from_secs(1);
        let both = tokio::time::timeout(in_time, async { tokio::join!(waiting, coming) }).await;
        assert_eq!(both.expect("woken").0, ids(&["a"]));
    }
}
