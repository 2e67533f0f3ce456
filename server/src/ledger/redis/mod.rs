//! The ledger that several instances share: a Redis, alone, watched over by Sentinels, or a Cluster.
//!
//! Every operation on one payment is one Lua script, so that it happens as a whole and in one round trip. Everything about
//! a payment is in its partition ([`crate::redis::Partition`]): `payment` (a hash, its errands' fields among them),
//! `notified` and `raw` ([`notifications`]), `timeline`, and the partition's `agenda` of either kind of errand. Whatever is
//! known before Khipu has named the payment has partitions of its own: [`intents`], [`idempotency`] and the index of
//! [`transactions`]. They are written before the payment and bound after it; a crash in between leaves at most an entry
//! that leads nowhere, which readers pass over.
//!
//! How long each of them is kept is in [`retention`]. A change is told in the script that makes it ([`crate::redis::change`]). Leases and
//! turns are measured by the node that keeps them, never by an instance: see [`Clock`]. Redis keeps no list of payments:
//! the only way to one, beside its id and its reference, is its merchant's transaction id.

mod agenda;
mod canary;
mod fields;
mod idempotency;
mod intents;
mod names;
mod notifications;
mod payments;
mod questions;
mod replies;
mod retention;
mod schema;
#[cfg(test)]
mod tests;
mod timeline;
mod transactions;
mod turns;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::Semaphore;

use super::{
    Attempt, Begun, Finished, IdempotentRequest, KeptNotification, Leased, Ledger, LedgerError,
    Outcome, Settlement, TimelineEntry,
};
use crate::payment::{
    AccountName, ErrandKind, Intent, Observation, Payment, PaymentId, Ref, State, Timestamp,
};
use crate::redis::{Redis, Settings};

#[derive(Debug)]
pub struct RedisLedger {
    redis: Arc<Redis>,
    clock: Clock,
    /// How long a final payment is kept.
    retention: Duration,
    /// How long a notification's bytes are kept once they are delivered.
    raw_retention: Duration,
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

impl RedisLedger {
    /// Refuses what a newer chasqui has written.
    pub async fn open(redis: Arc<Redis>, settings: &Settings) -> Result<Self, LedgerError> {
        let ledger = Self {
            redis,
            clock: Clock::Store,
            retention: settings.retention.min(retention::LONGEST),
            raw_retention: settings.raw_retention.min(retention::LONGEST),
            letting_go: Arc::new(Semaphore::new(retention::LETTING_GO)),
        };
        schema::check(&ledger).await?;
        Ok(ledger)
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
impl Ledger for RedisLedger {
    async fn intend(&self, intent: &Intent) -> Result<(), LedgerError> {
        intents::keep(self, intent).await
    }

    async fn intent(&self, reference: &Ref) -> Result<Option<Intent>, LedgerError> {
        intents::find(self, reference).await
    }

    async fn create(&self, payment: &Payment) -> Result<Outcome, LedgerError> {
        payments::create(self, payment).await
    }

    async fn observe(
        &self,
        id: &PaymentId,
        observation: &Observation,
    ) -> Result<Outcome, LedgerError> {
        payments::observe(self, id, observation).await
    }

    async fn read(&self, ids: &[PaymentId]) -> Result<Vec<Option<State>>, LedgerError> {
        payments::states(self, ids).await
    }

    async fn payment(&self, id: &PaymentId) -> Result<Option<Payment>, LedgerError> {
        payments::find(self, id).await
    }

    async fn of_transaction(
        &self,
        account: &AccountName,
        transaction_id: &str,
    ) -> Result<Vec<PaymentId>, LedgerError> {
        transactions::find(self, account, transaction_id).await
    }

    async fn notification(&self, id: &PaymentId) -> Result<Option<KeptNotification>, LedgerError> {
        notifications::presentable(self, id).await
    }

    async fn timeline(&self, id: &PaymentId) -> Result<Vec<TimelineEntry>, LedgerError> {
        timeline::read(self, id).await
    }

    async fn claim(
        &self,
        kind: ErrandKind,
        now: Timestamp,
        limit: usize,
        lease: Duration,
    ) -> Result<Vec<Leased>, LedgerError> {
        agenda::claim(self, kind, now, limit, lease).await
    }

    async fn next_due(&self, kind: ErrandKind) -> Result<Option<Timestamp>, LedgerError> {
        agenda::next_due(self, kind).await
    }

    async fn settle(
        &self,
        leased: &Leased,
        settlement: &Settlement,
        attempt: Option<&Attempt>,
    ) -> Result<bool, LedgerError> {
        agenda::settle(self, leased, settlement, attempt).await
    }

    async fn begin(&self, request: &IdempotentRequest) -> Result<Begun, LedgerError> {
        idempotency::begin(self, request).await
    }

    async fn finish(
        &self,
        request: &IdempotentRequest,
        finished: &Finished,
    ) -> Result<(), LedgerError> {
        idempotency::finish(self, request, finished).await
    }

    async fn take_turn(
        &self,
        id: &PaymentId,
        now: Timestamp,
        gap: Duration,
    ) -> Result<bool, LedgerError> {
        turns::take(self, id, now, gap).await
    }

    async fn reserve_question(
        &self,
        account: &AccountName,
        now: Timestamp,
        per_second: u32,
    ) -> Result<Duration, LedgerError> {
        questions::reserve(self, account, now, per_second).await
    }

    async fn pause_questions(
        &self,
        account: &AccountName,
        now: Timestamp,
        pause: Duration,
    ) -> Result<(), LedgerError> {
        questions::pause(self, account, now, pause).await
    }

    /// Really writes, and in every partition: a cluster that has lost a master still serves the others'.
    async fn ready(&self) -> Result<(), LedgerError> {
        canary::write_everywhere(self).await
    }
}
