//! The suite on a file and in memory; beside it what only this implementation promises.

mod erasing;
mod file;
mod grouping;
mod idempotency;
mod memory;
mod panics;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use chasqui_payment::{JobKind, Observation, Timestamp};
use chasqui_store::{
    IdempotencyStore, JobQueue, PaymentReader, PaymentStore, Store, StoreError, Timeline,
};
use chasqui_store_suite::{StoreFactory, callers_clock_suite, store_suite};
use tempfile::TempDir;

use super::error::DatabaseError;
use super::statement_cache::StatementCache;
use super::{DatabaseLocation, DatabaseState, SqliteLimits, SqliteStore};

/// Every fresh store is a file of its own in one directory.
struct Files {
    directory: TempDir,
    count: AtomicUsize,
}

impl Files {
    fn new() -> Self {
        Self {
            directory: tempfile::tempdir().expect("directory"),
            count: AtomicUsize::new(0),
        }
    }

    fn newest(&self) -> PathBuf {
        let number = self.count.load(Ordering::SeqCst);
        self.directory.path().join(format!("{number}.db"))
    }
}

#[async_trait]
impl StoreFactory for Files {
    async fn fresh(&self) -> Arc<dyn Store> {
        self.count.fetch_add(1, Ordering::SeqCst);
        Arc::new(open(
            &DatabaseLocation::File(self.newest()),
            &SqliteLimits::default(),
        ))
    }

    async fn reopened(&self, store: Arc<dyn Store>) -> Option<Arc<dyn Store>> {
        drop(store);
        Some(Arc::new(open(
            &DatabaseLocation::File(self.newest()),
            &SqliteLimits::default(),
        )))
    }
}

struct Memory;

#[async_trait]
impl StoreFactory for Memory {
    async fn fresh(&self) -> Arc<dyn Store> {
        Arc::new(open(&DatabaseLocation::Memory, &SqliteLimits::default()))
    }

    async fn reopened(&self, _: Arc<dyn Store>) -> Option<Arc<dyn Store>> {
        None
    }
}

fn open(location: &DatabaseLocation, limits: &SqliteLimits) -> SqliteStore {
    SqliteStore::open(location, limits).expect("open")
}

store_suite!(on_a_file, Files::new());
store_suite!(in_memory, Memory);
callers_clock_suite!(on_a_file_by_its_callers_clock, Files::new());
callers_clock_suite!(in_memory_by_its_callers_clock, Memory);
