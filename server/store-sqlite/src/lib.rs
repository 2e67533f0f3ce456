//! The embedded store: one SQLite file, one process, nothing else to run.
//!
//! [`writer`] is the one thread that writes and groups what waits into one commit; [`reader`] the threads beside it;
//! [`file`] opens the file and demands durability of it; [`migration`] brings it to today's schema (`schema*.sql`). What
//! an operation does to the tables is in [`intents`], [`payments`], [`notifications`], [`timeline`], [`job_queue`] and
//! [`idempotency`]. [`poll_lock`] are in no table.

mod columns;
mod error;
mod file;
mod idempotency;
mod intents;
mod job_queue;
mod local_relay;
mod migration;
mod notifications;
mod payments;
mod poll_locks;
mod queue;
mod reader;
mod statement_cache;
#[cfg(test)]
mod tests;
mod timeline;
mod writer;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use rusqlite::Connection;

pub use local_relay::LocalRelay;

use self::error::DatabaseError;
use self::file::DatabaseFile;
use self::poll_locks::PollLocks;
use self::queue::{PanicReport, ThreadPool};
use self::statement_cache::StatementCache;
use chasqui_payment::{
    AccountName, Intent, JobKind, Observation, Payment, PaymentId, PaymentReference, PaymentState,
    Timestamp,
};
use chasqui_store::{
    BeginOutcome, Bucket, CallPacer, Completion, IdempotencyStore, IdempotentRequest, JobAttempt,
    JobQueue, JobResult, LeasedJob, Outcome, PaymentReader, PaymentStore, PollLock, Store,
    StoreError, StoredNotification, TimelineEntry,
};

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DatabaseLocation {
    File(PathBuf),
    /// Gone with the process: for trying things out and for tests.
    Memory,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SqliteLimits {
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

impl Default for SqliteLimits {
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
pub enum DatabaseState {
    /// Another process has it open. Whether it is well is for that one to say.
    InUse,
    /// It lacks the last steps to today's schema; opening it takes them.
    Older { version: usize, current: usize },
    /// Of today's schema, or with nothing in it yet.
    Ready,
}

/// Dropping it finishes what is queued and closes the file; it blocks for as long as that takes.
#[derive(Debug)]
pub struct SqliteStore {
    /// `None` in memory, where the writer's connection is the only one there can be: a second connection to `:memory:`
    /// is a second database, and a shared cache lets readers see what is not committed yet. Reads then queue with the
    /// writes and are answered with their group.
    readers: Option<ThreadPool>,
    writer: ThreadPool,
    commits: Arc<AtomicU64>,
    poll_lock: PollLocks,
    /// One for each account that asks: accounts come from the configuration alone. In memory, as the turns are.
    buckets: Mutex<HashMap<AccountName, Bucket>>,
    panic_report: PanicReport,
    /// Last, so that it is given up after the connections are closed.
    _file: Option<DatabaseFile>,
}

impl SqliteStore {
    /// Opens the store, making and migrating the file as needed. Blocks; for the start of a process.
    pub fn open(location: &DatabaseLocation, limits: &SqliteLimits) -> Result<Self, StoreError> {
        let panic_report = PanicReport::new(None);
        match location {
            DatabaseLocation::File(path) => {
                let file = DatabaseFile::take(path)?;
                let mut connection = file.open_writer(limits.busy_wait)?;
                migration::migrate(&mut connection, migration::STEPS)?;
                job_queue::release_checks(&connection)?;
                let readers = (0..limits.readers.max(1))
                    .map(|_| file.open_reader(limits.busy_wait))
                    .collect::<Result<_, _>>()?;
                let readers = reader::start(readers, limits, &panic_report)?;
                Ok(Self::start(
                    connection,
                    Some(readers),
                    Some(file),
                    limits,
                    panic_report,
                )?)
            }
            DatabaseLocation::Memory => {
                let mut connection = file::open_in_memory()?;
                migration::migrate(&mut connection, migration::STEPS)?;
                Ok(Self::start(connection, None, None, limits, panic_report)?)
            }
        }
    }

    /// Looks without opening: no file is migrated. One that is not there is made, empty. Blocks.
    pub fn state(
        location: &DatabaseLocation,
        limits: &SqliteLimits,
    ) -> Result<DatabaseState, StoreError> {
        let DatabaseLocation::File(path) = location else {
            return Ok(DatabaseState::Ready);
        };
        let Some(file) = DatabaseFile::take_unless_in_use(path)? else {
            return Ok(DatabaseState::InUse);
        };
        let connection = file.open_as_it_is(limits.busy_wait)?;
        let version = migration::applied(&connection, migration::STEPS)?;
        file::check_writable(&connection)?;
        let current = migration::STEPS.len();
        Ok(if (1..current).contains(&version) {
            DatabaseState::Older { version, current }
        } else {
            DatabaseState::Ready
        })
    }

    /// How many groups were committed since it was opened: how well grouping works.
    pub fn commits(&self) -> u64 {
        self.commits.load(Ordering::Relaxed)
    }

    /// Done, with the reason, when the store can no longer work although its file may be well: one of its threads
    /// panicked. Only a process that starts again has it back.
    pub fn failed(&self) -> impl Future<Output = String> + Send + use<> {
        let mut panic_report = self.panic_report.subscribe();
        async move {
            let reason = panic_report.wait_for(Option::is_some).await;
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
        readers: Option<ThreadPool>,
        file: Option<DatabaseFile>,
        limits: &SqliteLimits,
        panic_report: PanicReport,
    ) -> Result<Self, DatabaseError> {
        let commits = Arc::new(AtomicU64::new(0));
        Ok(Self {
            readers,
            writer: writer::start(connection, limits, Arc::clone(&commits), &panic_report)?,
            commits,
            poll_lock: PollLocks::default(),
            buckets: Mutex::default(),
            panic_report,
            _file: file,
        })
    }

    fn with_bucket<T>(&self, account: &AccountName, work: impl FnOnce(&mut Bucket) -> T) -> T {
        // A bucket stays whole whatever happened to a thread that held it.
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        work(buckets.entry(account.clone()).or_default())
    }

    async fn write<T, W>(&self, work: W) -> Result<T, StoreError>
    where
        T: Send + 'static,
        W: FnOnce(&mut StatementCache<'_>) -> Result<T, DatabaseError> + Send + 'static,
    {
        self.writer.run(work).await
    }

    async fn read<T, W>(&self, work: W) -> Result<T, StoreError>
    where
        T: Send + 'static,
        W: FnOnce(&mut StatementCache<'_>) -> Result<T, DatabaseError> + Send + 'static,
    {
        self.readers
            .as_ref()
            .unwrap_or(&self.writer)
            .run(work)
            .await
    }
}

#[async_trait]
impl PaymentReader for SqliteStore {
    async fn intent(&self, reference: &PaymentReference) -> Result<Option<Intent>, StoreError> {
        let reference = reference.clone();
        self.read(move |db| intents::find(db, &reference)).await
    }

    async fn payment(&self, id: &PaymentId) -> Result<Option<Payment>, StoreError> {
        let id = id.clone();
        self.read(move |db| payments::find(db, &id)).await
    }

    async fn states(&self, ids: &[PaymentId]) -> Result<Vec<Option<PaymentState>>, StoreError> {
        let ids = ids.to_vec();
        self.read(move |db| ids.iter().map(|id| payments::state(db, id)).collect())
            .await
    }

    async fn by_transaction(
        &self,
        account: &AccountName,
        transaction_id: &str,
    ) -> Result<Vec<PaymentId>, StoreError> {
        let (account, transaction_id) = (account.clone(), transaction_id.to_owned());
        self.read(move |db| payments::by_transaction(db, &account, &transaction_id))
            .await
    }

    async fn notification(&self, id: &PaymentId) -> Result<Option<StoredNotification>, StoreError> {
        let id = id.clone();
        self.read(move |db| notifications::presentable(db, &id))
            .await
    }

    async fn timeline(&self, id: &PaymentId) -> Result<Vec<TimelineEntry>, StoreError> {
        let id = id.clone();
        self.read(move |db| timeline::read(db, &id)).await
    }
}

#[async_trait]
impl PaymentStore for SqliteStore {
    async fn save_intent(&self, intent: &Intent) -> Result<(), StoreError> {
        let intent = intent.clone();
        self.write(move |db| intents::keep(db, &intent)).await
    }

    async fn create(&self, payment: &Payment) -> Result<Outcome, StoreError> {
        let payment = payment.clone();
        self.write(move |db| payments::create(db, &payment)).await
    }

    async fn observe(
        &self,
        id: &PaymentId,
        observation: &Observation,
    ) -> Result<Outcome, StoreError> {
        let (id, observation) = (id.clone(), observation.clone());
        self.write(move |db| payments::observe(db, &id, &observation))
            .await
    }
}

#[async_trait]
impl JobQueue for SqliteStore {
    async fn lease_due(
        &self,
        kind: JobKind,
        now: Timestamp,
        limit: usize,
        lease: Duration,
    ) -> Result<Vec<LeasedJob>, StoreError> {
        // Whoever stopped waiting carries nothing: what was claimed for them would lie idle until its lease runs out.
        let caller = Arc::new(());
        let waiting = Arc::downgrade(&caller);
        let claimed = self.write(move |db| match waiting.upgrade() {
            Some(_) => job_queue::lease_due(db, kind, now, limit, now.plus(lease)),
            None => Ok(Vec::new()),
        });
        let claimed = claimed.await;
        drop(caller);
        claimed
    }

    async fn next_due(&self, kind: JobKind) -> Result<Option<Timestamp>, StoreError> {
        self.read(move |db| job_queue::next_due(db, kind)).await
    }

    async fn finish(
        &self,
        leased: &LeasedJob,
        settlement: &JobResult,
        attempt: Option<&JobAttempt>,
    ) -> Result<bool, StoreError> {
        let (leased, settlement, attempt) = (leased.clone(), *settlement, attempt.cloned());
        self.write(move |db| {
            if let Some(attempt) = &attempt {
                timeline::attempted(db, &leased, attempt)?;
            }
            job_queue::finish(db, &leased, settlement)
        })
        .await
    }
}

#[async_trait]
impl IdempotencyStore for SqliteStore {
    async fn begin(&self, request: &IdempotentRequest) -> Result<BeginOutcome, StoreError> {
        let request = request.clone();
        self.write(move |db| idempotency::begin(db, &request)).await
    }

    async fn complete(
        &self,
        request: &IdempotentRequest,
        finished: &Completion,
    ) -> Result<(), StoreError> {
        let (request, finished) = (request.clone(), finished.clone());
        self.write(move |db| idempotency::complete(db, &request, &finished))
            .await
    }
}

#[async_trait]
impl PollLock for SqliteStore {
    async fn try_lock_poll(
        &self,
        id: &PaymentId,
        now: Timestamp,
        gap: Duration,
    ) -> Result<bool, StoreError> {
        Ok(self.poll_lock.take(id, now, gap))
    }
}

#[async_trait]
impl CallPacer for SqliteStore {
    async fn reserve_call(
        &self,
        account: &AccountName,
        now: Timestamp,
        per_second: u32,
    ) -> Result<Duration, StoreError> {
        Ok(self.with_bucket(account, |bucket| {
            bucket.reserve(now.since(Timestamp::default()), per_second)
        }))
    }

    async fn pause_calls(
        &self,
        account: &AccountName,
        now: Timestamp,
        pause: Duration,
    ) -> Result<(), StoreError> {
        self.with_bucket(account, |bucket| {
            bucket.pause(now.since(Timestamp::default()), pause);
        });
        Ok(())
    }
}

#[async_trait]
impl Store for SqliteStore {
    /// Really writes: a full disk lets an empty transaction pass.
    async fn health_check(&self) -> Result<(), StoreError> {
        self.write(|db| {
            db.statement("UPDATE canary SET count = count + 1")?
                .execute([])?;
            Ok(())
        })
        .await
    }
}
