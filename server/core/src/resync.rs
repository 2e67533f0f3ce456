//! What changed while this instance could not hear: read again, and shown to whoever watches here.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use rand::RngExt;

use crate::clock;
use crate::payments::Payments;
use chasqui_payment::PaymentId;
use chasqui_store::StoreError;

/// Payments read at once; more wait for the next reading.
const AT_ONCE: usize = 500;

/// Between two attempts to read while the store is away: at most this after the first, then twice as much each time, up
/// to the longest. Anything down to zero, so that several instances do not all come back at once.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

impl Payments {
    /// Reads what was missed and is still watched, for ever. What the store does not give now is read as soon as it
    /// does, along with whatever was missed meanwhile.
    pub async fn resync(self: Arc<Self>) {
        let mut pause = FIRST_PAUSE;
        // What could not be read, tried again when there is nothing newer: it must not stand in the way.
        let mut unread = Vec::new();
        loop {
            let wait = rand::rng().random_range(Duration::ZERO..=pause);
            let mut ids = tokio::select! {
                ids = self.hub.take_missed(AT_ONCE) => ids,
                () = tokio::time::sleep(wait), if !unread.is_empty() => std::mem::take(&mut unread),
            };
            ids.retain(|id| self.hub.is_watched(id));
            let left = self.resync_all(ids).await;
            pause = match left.is_empty() {
                true => FIRST_PAUSE,
                false => (pause * 2).min(LONGEST_PAUSE),
            };
            unread.extend(left);
        }
    }

    /// Returns those that cannot be read now.
    async fn resync_all(&self, ids: Vec<PaymentId>) -> Vec<PaymentId> {
        let Err(error) = self.resync_batch(&ids).await else {
            return Vec::new();
        };
        // It may be a part of the store that is away: what the others hold is not made to wait for it.
        let mut left = Vec::new();
        for some in ids.chunks(AT_ONCE) {
            let each = some
                .iter()
                .map(|id| self.resync_batch(std::slice::from_ref(id)));
            for (id, read) in some.iter().zip(join_all(each).await) {
                if read.is_err() {
                    left.push(id.clone());
                }
            }
        }
        if !left.is_empty() {
            tracing::warn!(%error, payments = left.len(), "what was missed cannot be read yet");
        }
        left
    }

    async fn resync_batch(&self, ids: &[PaymentId]) -> Result<(), StoreError> {
        if ids.is_empty() {
            return Ok(());
        }
        let states = self.store.states(ids).await?;
        for (id, state) in ids.iter().zip(states) {
            match state {
                // The message says where to resume, which only the whole payment tells.
                Some(state) if state.may_be_resumed() => {
                    if let Some(payment) = self.store.payment(id).await? {
                        self.hub.show(&payment, clock::now());
                    }
                }
                Some(state) => self.hub.refresh(id, &state),
                None => {}
            }
        }
        tracing::debug!(
            payments = ids.len(),
            "what may have been missed was read again"
        );
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use tokio::task::JoinSet;
    use tokio::time::timeout;

    use super::*;
    use crate::push::Watcher;
    use crate::tests::fixture::{DEADLINE, Stage, id};
    use chasqui_payment::StatusKind;
    use chasqui_store::RelayListener;

    /// Ends when it is dropped.
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
    async fn a_change_that_nobody_heard_of_reaches_the_watcher_once_it_is_known_to_be_missed() {
        let stage = Stage::in_memory();
        let _looping = resync(&stage);
        let all: Vec<_> = (0..AT_ONCE * 2 + 1).map(|i| id(&format!("p{i}"))).collect();
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
    async fn what_the_store_does_not_give_is_read_when_it_does() {
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
