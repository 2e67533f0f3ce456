//! Reads again what changed while this instance was cut off from the relay, and shows it to its watchers.

use std::sync::Arc;
use std::time::Duration;

use chasqui_payment::PaymentId;
use chasqui_store::StoreError;
use futures_util::future::join_all;
use rand::RngExt;

use crate::clock;
use crate::payments::Payments;

/// The most payments in one read.
const RESYNC_BATCH: usize = 500;

/// The longest wait after the first failure, and after any. Each wait is random, so that instances do not retry together.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_RESYNC_PAUSE: Duration = Duration::from_secs(2);

impl Payments {
    /// Reads missed payments that are still watched, for ever. While the store is unavailable they are read again later.
    pub async fn resync(self: Arc<Self>) {
        let mut pause = FIRST_PAUSE;
        // Tried again when there is nothing newer.
        let mut unread = Vec::new();
        loop {
            let wait = rand::rng().random_range(Duration::ZERO..=pause);
            let mut ids = tokio::select! {
                ids = self.hub.take_missed(RESYNC_BATCH) => ids,
                () = tokio::time::sleep(wait), if !unread.is_empty() => std::mem::take(&mut unread),
            };
            ids.retain(|id| self.hub.is_watched(id));
            let failed = self.resync_all(ids).await;
            pause = match failed.is_empty() {
                true => FIRST_PAUSE,
                false => (pause * 2).min(LONGEST_RESYNC_PAUSE),
            };
            unread.extend(failed);
        }
    }

    /// Returns the payments that cannot be read now.
    async fn resync_all(&self, ids: Vec<PaymentId>) -> Vec<PaymentId> {
        let Err(error) = self.resync_batch(&ids).await else {
            return Vec::new();
        };
        // Only a part of the store may be unavailable: each payment is read by itself.
        let mut failed = Vec::new();
        for chunk in ids.chunks(RESYNC_BATCH) {
            let reads = chunk
                .iter()
                .map(|id| self.resync_batch(std::slice::from_ref(id)));
            for (id, read) in chunk.iter().zip(join_all(reads).await) {
                if read.is_err() {
                    failed.push(id.clone());
                }
            }
        }
        if !failed.is_empty() {
            tracing::warn!(%error, payments = failed.len(), "missed changes cannot be read from the store yet");
        }
        failed
    }

    async fn resync_batch(&self, ids: &[PaymentId]) -> Result<(), StoreError> {
        if ids.is_empty() {
            return Ok(());
        }
        let states = self.store.states(ids).await?;
        for (id, state) in ids.iter().zip(states) {
            match state {
                // Only the whole payment has the URL to resume at.
                Some(state) if state.may_be_resumed() => {
                    if let Some(payment) = self.store.payment(id).await? {
                        self.hub.publish_payment(&payment, clock::now());
                    }
                }
                Some(state) => self.hub.publish_state(id, &state),
                None => {}
            }
        }
        tracing::debug!(
            payments = ids.len(),
            "payments with missed changes were read again"
        );
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use chasqui_payment::StatusKind;
    use chasqui_store::RelayListener;
    use tokio::task::JoinSet;
    use tokio::time::timeout;

    use super::*;
    use crate::push::Watcher;
    use crate::tests::fixture::{DEADLINE, Stage, id};

    /// Runs until it is dropped.
    fn resync(stage: &Stage) -> JoinSet<()> {
        let mut looping = JoinSet::new();
        looping.spawn(Arc::clone(&stage.payments).resync());
        looping
    }

    async fn until_it_shows(watcher: &Watcher, expected: StatusKind) {
        let shown = async { while watcher.next().await.version.kind() != expected {} };
        timeout(DEADLINE, shown).await.expect("shown in time");
    }

    #[tokio::test]
    async fn a_missed_change_reaches_the_watcher() {
        let stage = Stage::in_memory();
        let _looping = resync(&stage);
        let all: Vec<_> = (0..RESYNC_BATCH * 2 + 1)
            .map(|i| id(&format!("p{i}")))
            .collect();
        let mut watched = Vec::new();
        for id in &all {
            stage.commit(id, StatusKind::Confirmed).await;
            watched.push(stage.hub.register(id).expect("registered"));
        }
        stage.hub.missed(all);
        for registration in &watched {
            until_it_shows(&registration.watcher, StatusKind::Confirmed).await;
        }
    }

    #[tokio::test]
    async fn missed_changes_are_read_when_the_store_is_back() {
        let stage = Stage::in_a_file();
        let _looping = resync(&stage);
        let (missed, meanwhile) = (id("missed"), id("meanwhile"));
        let first = stage.hub.register(&missed).expect("registered");
        let second = stage.hub.register(&meanwhile).expect("registered");
        stage.commit(&missed, StatusKind::Confirmed).await;
        stage.commit(&meanwhile, StatusKind::Rejected).await;
        stage.break_the_store();
        stage.hub.missed(vec![missed]);
        let shown = timeout(Duration::from_millis(500), first.watcher.next()).await;
        assert!(shown.is_err(), "nothing can be read: {shown:?}");
        stage.hub.missed(vec![meanwhile]);
        stage.mend_the_store();
        until_it_shows(&first.watcher, StatusKind::Confirmed).await;
        until_it_shows(&second.watcher, StatusKind::Rejected).await;
    }
}
