//! The store that several instances share: a Redis, alone, watched over by Sentinels, or a Cluster.
//!
//! Every operation on one payment is one Lua script, so that it happens as a whole and in one round trip. Everything about
//! a payment is in its partition ([`crate::redis::Partition`]): `payment` (a hash, its jobs' fields among them),
//! `notified` and `raw` ([`notifications`]), `timeline`, and the partition's `job_queue` of either kind of job. Whatever is
//! known before Khipu has named the payment has partitions of its own: [`intents`], [`idempotency`] and the index of
//! [`transactions`]. They are written before the payment and bound after it; a crash in between leaves at most an entry
//! that leads nowhere, which readers pass over.
//!
//! How long each of them is kept is in [`retention`]. A change is told in the script that makes it ([`crate::redis::change`]). Leases and
//! turns are measured by the node that keeps them, never by an instance: see [`Clock`]. Redis keeps no list of payments:
//! the only way to one, beside its id and its reference, is its merchant's transaction id.

mod call_pacer;
mod canary;
pub(crate) mod change;
mod fields;
mod idempotency;
mod intents;
mod job_queue;
mod names;
mod notifications;
mod payments;
mod poll_lock;
pub mod preflight;
mod replies;
mod retention;
mod schema;
#[cfg(test)]
mod tests;
mod timeline;
mod transactions;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::Semaphore;

use super::{
    BeginOutcome, CallPacer, Completion, IdempotencyStore, IdempotentRequest, JobAttempt, JobQueue,
    JobResult, LeasedJob, Outcome, PaymentReader, PaymentStore, PollLock, Store, StoreError,
    StoredNotification, TimelineEntry,
};
use crate::payment::{
    AccountName, Intent, JobKind, Observation, Payment, PaymentId, PaymentReference, PaymentState,
    Timestamp,
};
use crate::redis::Redis;

pub use retention::Retention;

#[derive(Debug)]
pub struct RedisStore {
    redis: Arc<Redis>,
    clock: Clock,
    retention: Retention,
    /// Names that may be let go at once; see [`retention`].
    letting_go: Arc<Semaphore>,
}

/// By whose clock something is due, and a lease or a turn is over.
#[derive(Debug, Clone, Copy)]
enum Clock {
    /// The node's that keeps it: one clock for whoever asks.
    Store,
    /// The caller's, so that the suite can choose the time.
    #[cfg(test)]
    Caller,
}

impl RedisStore {
    /// Refuses what a newer chasqui has written.
    pub async fn open(redis: Arc<Redis>, retention: Retention) -> Result<Self, StoreError> {
        let store = Self {
            redis,
            clock: Clock::Store,
            retention: retention.bounded(),
            letting_go: Arc::new(Semaphore::new(retention::LETTING_GO)),
        };
        schema::check(&store).await?;
        Ok(store)
    }
}

impl Clock {
    /// What a script takes for the time: nothing, where it is to look itself.
    fn argument(self, callers: Timestamp) -> String {
        let _ = callers;
        match self {
            Self::Store => String::new(),
            #[cfg(test)]
            Self::Caller => callers.unix_ms().to_string(),
        }
    }
}

fn ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[async_trait]
impl PaymentReader for RedisStore {
    async fn intent(&self, reference: &PaymentReference) -> Result<Option<Intent>, StoreError> {
        intents::find(self, reference).await
    }

    async fn payment(&self, id: &PaymentId) -> Result<Option<Payment>, StoreError> {
        payments::find(self, id).await
    }

    async fn states(&self, ids: &[PaymentId]) -> Result<Vec<Option<PaymentState>>, StoreError> {
        payments::states(self, ids).await
    }

    async fn by_transaction(
        &self,
        account: &AccountName,
        transaction_id: &str,
    ) -> Result<Vec<PaymentId>, StoreError> {
        transactions::find(self, account, transaction_id).await
    }

    async fn notification(&self, id: &PaymentId) -> Result<Option<StoredNotification>, StoreError> {
        notifications::presentable(self, id).await
    }

    async fn timeline(&self, id: &PaymentId) -> Result<Vec<TimelineEntry>, StoreError> {
        timeline::read(self, id).await
    }
}

#[async_trait]
impl PaymentStore for RedisStore {
    async fn save_intent(&self, intent: &Intent) -> Result<(), StoreError> {
        intents::keep(self, intent).await
    }

    async fn create(&self, payment: &Payment) -> Result<Outcome, StoreError> {
        payments::create(self, payment).await
    }

    async fn observe(
        &self,
        id: &PaymentId,
        observation: &Observation,
    ) -> Result<Outcome, StoreError> {
        payments::observe(self, id, observation).await
    }
}

#[async_trait]
impl JobQueue for RedisStore {
    async fn lease_due(
        &self,
        kind: JobKind,
        now: Timestamp,
        limit: usize,
        lease: Duration,
    ) -> Result<Vec<LeasedJob>, StoreError> {
        job_queue::lease_due(self, kind, now, limit, lease).await
    }

    async fn next_due(&self, kind: JobKind) -> Result<Option<Timestamp>, StoreError> {
        job_queue::next_due(self, kind).await
    }

    async fn finish(
        &self,
        leased: &LeasedJob,
        settlement: &JobResult,
        attempt: Option<&JobAttempt>,
    ) -> Result<bool, StoreError> {
        job_queue::finish(self, leased, settlement, attempt).await
    }
}

#[async_trait]
impl IdempotencyStore for RedisStore {
    async fn begin(&self, request: &IdempotentRequest) -> Result<BeginOutcome, StoreError> {
        idempotency::begin(self, request).await
    }

    async fn complete(
        &self,
        request: &IdempotentRequest,
        finished: &Completion,
    ) -> Result<(), StoreError> {
        idempotency::complete(self, request, finished).await
    }
}

#[async_trait]
impl PollLock for RedisStore {
    async fn try_lock_poll(
        &self,
        id: &PaymentId,
        now: Timestamp,
        gap: Duration,
    ) -> Result<bool, StoreError> {
        poll_lock::take(self, id, now, gap).await
    }
}

#[async_trait]
impl CallPacer for RedisStore {
    async fn reserve_call(
        &self,
        account: &AccountName,
        now: Timestamp,
        per_second: u32,
    ) -> Result<Duration, StoreError> {
        call_pacer::reserve(self, account, now, per_second).await
    }

    async fn pause_calls(
        &self,
        account: &AccountName,
        now: Timestamp,
        pause: Duration,
    ) -> Result<(), StoreError> {
        call_pacer::pause(self, account, now, pause).await
    }
}

#[async_trait]
impl Store for RedisStore {
    /// Really writes, and in every partition: a cluster that has lost a master still serves the others'.
    async fn health_check(&self) -> Result<(), StoreError> {
        canary::write_everywhere(self).await
    }
}
