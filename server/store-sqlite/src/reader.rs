//! The threads that read beside the writer. A read sees what was committed before it began, and never waits for the writer.

use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::Connection;

use super::error::DatabaseError;
use super::file::DatabaseFile;
use super::limits::SqliteLimits;
use super::queue::{Operations, Queue};
use super::statement_cache::StatementCache;
use super::thread_pool::{FailureReport, ThreadPool};

pub(super) fn start(
    file: &DatabaseFile,
    limits: &SqliteLimits,
    failure: &FailureReport,
) -> Result<ThreadPool, DatabaseError> {
    let (queue, operations) = Queue::bounded("read", limits.read_queue, limits.answer_wait);
    let operations = Arc::new(Mutex::new(operations));
    let mut pool = ThreadPool::new(queue, failure);
    for _ in 0..limits.readers.max(1) {
        let connection = file.open_reader(limits.busy_wait)?;
        let operations = Arc::clone(&operations);
        pool.spawn("store-reader", move || serve(&connection, &operations))?;
    }
    Ok(pool)
}

fn serve(connection: &Connection, operations: &Mutex<Operations>) {
    let mut statements = StatementCache::new(connection);
    loop {
        // The thread that holds the lock waits for the next operation; the others wait for the lock.
        let next = operations
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .recv();
        let Ok(mut operation) = next else { return };
        // A read has nothing to roll back.
        let _ = operation.apply(&mut statements);
        operation.answer(&Ok(()));
    }
}
