//! The store's handle: it hands each operation to a thread that holds a connection.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Mutex;

use async_trait::async_trait;
use chasqui_payment::AccountName;
use chasqui_store::{CallBucket, Store, StoreError};

use super::error::DatabaseError;
use super::file::{self, DatabaseFile};
use super::limits::SqliteLimits;
use super::recent_polls::RecentPolls;
use super::statement_cache::StatementCache;
use super::thread_pool::{FailureReport, ThreadPool};
use super::{migration, reader, recovery, writer};

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DatabaseLocation {
    File(PathBuf),
    /// Gone with the process: for trials and tests.
    Memory,
}

/// The state of a database that is not opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DatabaseState {
    /// Another process has it open.
    InUse,
    /// It lacks the last steps to the current schema. Opening it takes them.
    Older { version: usize, current: usize },
    /// Of the current schema, or empty.
    Ready,
}

/// Dropping it finishes the queued operations and closes the file; it blocks for as long as that takes.
#[derive(Debug)]
pub struct SqliteStore {
    /// `None` in memory, where the writer's connection must be the only one: a second connection to `:memory:` is a second
    /// database, and a shared cache lets readers see uncommitted data. Reads then queue with the writes.
    readers: Option<ThreadPool>,
    writer: ThreadPool,
    pub(super) recent_polls: RecentPolls,
    /// One for each account; accounts come from the configuration alone.
    pub(super) call_buckets: Mutex<HashMap<AccountName, CallBucket>>,
    failure: FailureReport,
    /// Last, so that it is unlocked after the connections are closed.
    _file: Option<DatabaseFile>,
}

impl SqliteStore {
    /// Opens the store, and creates and migrates the file as needed. Blocks; for the start of a process.
    pub fn open(location: &DatabaseLocation, limits: &SqliteLimits) -> Result<Self, StoreError> {
        let file = match location {
            DatabaseLocation::File(path) => Some(DatabaseFile::lock(path)?),
            DatabaseLocation::Memory => None,
        };
        let mut connection = match &file {
            Some(file) => file.open_writer(limits.busy_wait)?,
            None => file::open_in_memory()?,
        };
        migration::migrate(&mut connection, migration::STEPS)?;
        recovery::release_checks(&connection)?;
        let failure = FailureReport::new(None);
        let readers = match &file {
            Some(file) => Some(reader::start(file, limits, &failure)?),
            None => None,
        };
        Ok(Self {
            readers,
            writer: writer::start(connection, limits, &failure)?,
            recent_polls: RecentPolls::default(),
            call_buckets: Mutex::default(),
            failure,
            _file: file,
        })
    }

    /// The state of a database, without opening the store: nothing is migrated. A missing file is created, empty. Blocks.
    pub fn state(
        location: &DatabaseLocation,
        limits: &SqliteLimits,
    ) -> Result<DatabaseState, StoreError> {
        let DatabaseLocation::File(path) = location else {
            return Ok(DatabaseState::Ready);
        };
        let Some(file) = DatabaseFile::try_lock(path)? else {
            return Ok(DatabaseState::InUse);
        };
        let connection = file.open_unchecked(limits.busy_wait)?;
        let version = migration::applied(&connection, migration::STEPS)?;
        file::check_writable(&connection)?;
        let current = migration::STEPS.len();
        Ok(if (1..current).contains(&version) {
            DatabaseState::Older { version, current }
        } else {
            DatabaseState::Ready
        })
    }

    /// Resolves, with the reason, when one of the store's threads has panicked: the store no longer works, although its
    /// file may be intact. The process must restart.
    pub fn failed(&self) -> impl Future<Output = String> + Send + use<> {
        let mut failure = self.failure.subscribe();
        async move {
            let reason = failure.wait_for(Option::is_some).await;
            match reason.ok().and_then(|reason| reason.clone()) {
                Some(reason) => reason,
                // It was closed, which is no failure.
                None => std::future::pending().await,
            }
        }
    }

    pub(super) async fn write<T, W>(&self, work: W) -> Result<T, StoreError>
    where
        T: Send + 'static,
        W: FnOnce(&mut StatementCache<'_>) -> Result<T, DatabaseError> + Send + 'static,
    {
        self.writer.queue()?.run(work).await
    }

    /// Writes outside a transaction, in which some statements fail.
    pub(super) async fn write_alone<T, W>(&self, work: W) -> Result<T, StoreError>
    where
        T: Send + 'static,
        W: FnOnce(&mut StatementCache<'_>) -> Result<T, DatabaseError> + Send + 'static,
    {
        self.writer.queue()?.run_alone(work).await
    }

    pub(super) async fn read<T, W>(&self, work: W) -> Result<T, StoreError>
    where
        T: Send + 'static,
        W: FnOnce(&mut StatementCache<'_>) -> Result<T, DatabaseError> + Send + 'static,
    {
        let pool = self.readers.as_ref().unwrap_or(&self.writer);
        pool.queue()?.run(work).await
    }
}

#[async_trait]
impl Store for SqliteStore {
    /// Really writes: an empty transaction succeeds even on a full disk.
    async fn health_check(&self) -> Result<(), StoreError> {
        self.write(|statements| {
            statements.execute("UPDATE health_check SET count = count + 1", [])?;
            Ok(())
        })
        .await
    }
}
