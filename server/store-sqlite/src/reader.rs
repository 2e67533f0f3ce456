//! The threads that read beside the writer. They see what was committed before they began, and never wait for it.

use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::Connection;

use super::SqliteLimits;
use super::error::DatabaseError;
use super::queue::{Operations, PanicReport, Queue, ThreadPool};
use super::statement_cache::StatementCache;

/// One thread a connection.
pub(super) fn start(
    connections: Vec<Connection>,
    limits: &SqliteLimits,
    panic_report: &PanicReport,
) -> Result<ThreadPool, DatabaseError> {
    let (queue, operations) = Queue::bounded("read", limits.read_queue, limits.answer_wait);
    let operations = Arc::new(Mutex::new(operations));
    let mut pool = ThreadPool::serving(queue, panic_report);
    for connection in connections {
        let operations = Arc::clone(&operations);
        pool.spawn("store-reader", move || serve(&connection, &operations))?;
    }
    Ok(pool)
}

fn serve(connection: &Connection, operations: &Mutex<Operations>) {
    let mut db = StatementCache::new(connection);
    loop {
        // Whoever holds the lock waits for the next operation; the others wait for the lock.
        let next = operations
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .recv();
        let Ok(mut operation) = next else { return };
        // Reading has nothing to take back.
        let _ = operation.apply(&mut db);
        operation.answer(&Ok(()));
    }
}
