//! The embedded ledger: one SQLite file, one process, nothing else to run.
//!
//! [`writer`] is the one thread that writes and groups what waits into one commit; [`reader`] the threads beside it;
//! [`file`] opens the file and demands durability of it; [`migration`] brings it to today's schema (`schema*.sql`). What
//! an operation does to the tables is in [`intents`], [`payments`], [`notifications`], [`timeline`], [`agenda`] and
//! [`idempotency`]. [`turns`] are in no table.

mod agenda;
mod columns;
mod error;
mod file;
mod idempotency;
mod intents;
mod migration;
mod notifications;
mod payments;
mod queue;
mod reader;
mod store;
#[cfg(test)]
mod tests;
mod timeline;
mod turns;
mod writer;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use rusqlite::Connection;

use self::file::LedgerFile;
use self::queue::{Crew, Failure};
use self::store::Store;
use self::turns::Turns;
use super::{
    Attempt, Begun, Bucket, Finished, IdempotentRequest, KeptNotification, Leased, Ledger,
    LedgerError, Outcome, Settlement, TimelineEntry,
};
use crate::payment::{
    AccountName, ErrandKind, Intent, Observation, Payment, PaymentId, Ref, State, Timestamp,
};

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Location {
    File(PathBuf),
    /// Gone with the process: for trying things out and for tests.
    Memory,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Writes that may wait. One more is refused: `Unavailable`.
    pub write_queue: usize,
    /// The most writes in one commit. What is beyond it waits for the next.
    pub group: usize,
    /// Reads at the same time.
    pub readers: usize,
    /// Reads that may wait. One more is refused: `Unavailable`.
    pub read_queue: usize,
    /// How long another process, such as a sqlite3 shell, may lock the file before a group of writes fails.
    pub busy_wait: Duration,
    /// How long a caller waits, queueing included. Then it hears `Unavailable`, and what it asked for may still happen.
    pub answer_wait: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            write_queue: 4096,
            group: 256,
            readers: 4,
            read_queue: 4096,
            busy_wait: Duration::from_secs(5),
            answer_wait: Duration::from_secs(10),
        }
    }
}

/// What is found at a location by looking.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Condition {
    /// Another process has it open. Whether it is well is for that one to say.
    InUse,
    /// It lacks the last steps to today's schema; opening it takes them.
    Older { version: usize, current: usize },
    /// Of today's schema, or with nothing in it yet.
    Ready,
}

/// Dropping it finishes what is queued and closes the file; it blocks for as long as that takes.
#[derive(Debug)]
pub struct SqliteLedger {
    /// `None` in memory, where the writer's connection is the only one there can be: a second connection to `:memory:`
    /// is a second database, and a shared cache lets readers see what is not committed yet. Reads then queue with the
    /// writes and are answered with their group.
    readers: Option<Crew>,
    writer: Crew,
    commits: Arc<AtomicU64>,
    turns: Turns,
    /// One for each account that asks: accounts come from the configuration alone. In memory, as the turns are.
    buckets: Mutex<HashMap<AccountName, Bucket>>,
    failure: Failure,
    /// Last, so that it is given up after the connections are closed.
    _file: Option<LedgerFile>,
}

impl SqliteLedger {
    /// Opens the ledger, making and migrating the file as needed. Blocks; for the start of a process.
    pub fn open(location: &Location, limits: &Limits) -> Result<Self, LedgerError> {
        let failure = Failure::new(None);
        match location {
            Location::File(path) => {
                let file = LedgerFile::take(path)?;
                let mut connection = file.open_writer(limits.busy_wait)?;
                migration::migrate(&mut connection, migration::STEPS)?;
                agenda::release_checks(&connection)?;
                let readers = (0..limits.readers.max(1))
                    .map(|_| file.open_reader(limits.busy_wait))
                    .collect::<Result<_, _>>()?;
                let readers = reader::start(readers, limits, &failure)?;
                Self::start(connection, Some(readers), Some(file), limits, failure)
            }
            Location::Memory => {
                let mut connection = Connection::open_in_memory()?;
                connection.pragma_update(None, "foreign_keys", true)?;
                migration::migrate(&mut connection, migration::STEPS)?;
                Self::start(connection, None, None, limits, failure)
            }
        }
    }

    /// Looks without opening: no file is migrated. One that is not there is made, empty. Blocks.
    pub fn condition(location: &Location, limits: &Limits) -> Result<Condition, LedgerError> {
        let Location::File(path) = location else {
            return Ok(Condition::Ready);
        };
        let Some(file) = LedgerFile::take_unless_in_use(path)? else {
            return Ok(Condition::InUse);
        };
        let connection = file.open_as_it_is(limits.busy_wait)?;
        let version = migration::applied(&connection, migration::STEPS)?;
        // Refused where the file cannot be written to.
        connection.execute_batch("BEGIN IMMEDIATE; ROLLBACK")?;
        let current = migration::STEPS.len();
        Ok(if (1..current).contains(&version) {
            Condition::Older { version, current }
        } else {
            Condition::Ready
        })
    }

    /// How many groups were committed since it was opened: how well grouping works.
    pub fn commits(&self) -> u64 {
        self.commits.load(Ordering::Relaxed)
    }

    /// Done, with the reason, when the ledger can no longer work although its file may be well: one of its threads
    /// panicked. Only a process that starts again has it back.
    pub fn failed(&self) -> impl Future<Output = String> + Send + use<> {
        let mut failure = self.failure.subscribe();
        async move {
            let reason = failure.wait_for(Option::is_some).await;
            let reason = reason.ok().and_then(|reason| reason.clone());
            match reason {
                Some(reason) => reason,
                // It was closed, which is no failure.
                None => std::future::pending().await,
            }
        }
    }

    fn start(
        connection: Connection,
        readers: Option<Crew>,
        file: Option<LedgerFile>,
        limits: &Limits,
        failure: Failure,
    ) -> Result<Self, LedgerError> {
        let commits = Arc::new(AtomicU64::new(0));
        Ok(Self {
            readers,
            writer: writer::start(connection, limits, Arc::clone(&commits), &failure)?,
            commits,
            turns: Turns::default(),
            buckets: Mutex::default(),
            failure,
            _file: file,
        })
    }

    fn with_bucket<T>(&self, account: &AccountName, work: impl FnOnce(&mut Bucket) -> T) -> T {
        // A bucket stays whole whatever happened to a thread that held it.
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        work(buckets.entry(account.clone()).or_default())
    }

    async fn write<T, W>(&self, work: W) -> Result<T, LedgerError>
    where
        T: Send + 'static,
        W: FnOnce(&mut Store<'_>) -> Result<T, LedgerError> + Send + 'static,
    {
        self.writer.run(work).await
    }

    async fn look<T, W>(&self, work: W) -> Result<T, LedgerError>
    where
        T: Send + 'static,
        W: FnOnce(&mut Store<'_>) -> Result<T, LedgerError> + Send + 'static,
    {
        self.readers
            .as_ref()
            .unwrap_or(&self.writer)
            .run(work)
            .await
    }
}

#[async_trait]
impl Ledger for SqliteLedger {
    async fn intend(&self, intent: &Intent) -> Result<(), LedgerError> {
        let intent = intent.clone();
        self.write(move |store| intents::keep(store, &intent)).await
    }

    async fn intent(&self, reference: &Ref) -> Result<Option<Intent>, LedgerError> {
        let reference = reference.clone();
        self.look(move |store| intents::find(store, &reference))
            .await
    }

    async fn create(&self, payment: &Payment) -> Result<Outcome, LedgerError> {
        let payment = payment.clone();
        self.write(move |store| payments::create(store, &payment))
            .await
    }

    async fn observe(
        &self,
        id: &PaymentId,
        observation: &Observation,
    ) -> Result<Outcome, LedgerError> {
        let (id, observation) = (id.clone(), observation.clone());
        self.write(move |store| payments::observe(store, &id, &observation))
            .await
    }

    async fn read(&self, ids: &[PaymentId]) -> Result<Vec<Option<State>>, LedgerError> {
        let ids = ids.to_vec();
        self.look(move |store| ids.iter().map(|id| payments::state(store, id)).collect())
            .await
    }

    async fn payment(&self, id: &PaymentId) -> Result<Option<Payment>, LedgerError> {
        let id = id.clone();
        self.look(move |store| payments::find(store, &id)).await
    }

    async fn of_transaction(
        &self,
        account: &AccountName,
        transaction_id: &str,
    ) -> Result<Vec<PaymentId>, LedgerError> {
        let (account, transaction_id) = (account.clone(), transaction_id.to_owned());
        self.look(move |store| payments::of_transaction(store, &account, &transaction_id))
            .await
    }

    async fn notification(&self, id: &PaymentId) -> Result<Option<KeptNotification>, LedgerError> {
        let id = id.clone();
        self.look(move |store| notifications::presentable(store, &id))
            .await
    }

    async fn timeline(&self, id: &PaymentId) -> Result<Vec<TimelineEntry>, LedgerError> {
        let id = id.clone();
        self.look(move |store| timeline::read(store, &id)).await
    }

    async fn claim(
        &self,
        kind: ErrandKind,
        now: Timestamp,
        limit: usize,
        lease: Duration,
    ) -> Result<Vec<Leased>, LedgerError> {
        // Whoever stopped waiting carries nothing: what was claimed for them would lie idle until its lease runs out.
        let caller = Arc::new(());
        let waiting = Arc::downgrade(&caller);
        let claimed = self.write(move |store| match waiting.upgrade() {
            Some(_) => agenda::claim(store, kind, now, limit, now.plus(lease)),
            None => Ok(Vec::new()),
        });
        let claimed = claimed.await;
        drop(caller);
        claimed
    }

    async fn next_due(&self, kind: ErrandKind) -> Result<Option<Timestamp>, LedgerError> {
        self.look(move |store| agenda::next_due(store, kind)).await
    }

    async fn settle(
        &self,
        leased: &Leased,
        settlement: &Settlement,
        attempt: Option<&Attempt>,
    ) -> Result<bool, LedgerError> {
        let (leased, settlement, attempt) = (leased.clone(), *settlement, attempt.cloned());
        self.write(move |store| {
            if let Some(attempt) = &attempt {
                timeline::attempted(store, &leased, attempt)?;
            }
            agenda::settle(store, &leased, settlement)
        })
        .await
    }

    async fn begin(&self, request: &IdempotentRequest) -> Result<Begun, LedgerError> {
        let request = request.clone();
        self.write(move |store| idempotency::begin(store, &request))
            .await
    }

    async fn finish(
        &self,
        request: &IdempotentRequest,
        finished: &Finished,
    ) -> Result<(), LedgerError> {
        let (request, finished) = (request.clone(), finished.clone());
        self.write(move |store| idempotency::finish(store, &request, &finished))
            .await
    }

    async fn take_turn(
        &self,
        id: &PaymentId,
        now: Timestamp,
        gap: Duration,
    ) -> Result<bool, LedgerError> {
        Ok(self.turns.take(id, now, gap))
    }

    async fn reserve_question(
        &self,
        account: &AccountName,
        now: Timestamp,
        per_second: u32,
    ) -> Result<Duration, LedgerError> {
        Ok(self.with_bucket(account, |bucket| {
            bucket.reserve(now.since(Timestamp::default()), per_second)
        }))
    }

    async fn pause_questions(
        &self,
        account: &AccountName,
        now: Timestamp,
        pause: Duration,
    ) -> Result<(), LedgerError> {
        self.with_bucket(account, |bucket| {
            bucket.pause(now.since(Timestamp::default()), pause);
        });
        Ok(())
    }

    /// Really writes: a full disk lets an empty transaction pass.
    async fn ready(&self) -> Result<(), LedgerError> {
        self.write(|store| {
            store
                .statement("UPDATE canary SET count = count + 1")?
                .execute([])?;
            Ok(())
        })
        .await
    }
}
