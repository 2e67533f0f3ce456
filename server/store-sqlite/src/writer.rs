//! The one thread that writes: it takes whatever is waiting and commits it together.
//!
//! A commit costs a wait for the disk, the operations in it hardly anything. While the disk is waited for, callers queue
//! up, and they are the next group: the busier it gets, the more a commit carries.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rusqlite::Connection;

use super::SqliteLimits;
use super::error::DatabaseError;
use super::queue::{Operation, Operations, PanicReport, Queue, ThreadPool};
use super::statement_cache::StatementCache;

/// `commits` counts the groups.
pub(super) fn start(
    connection: Connection,
    limits: &SqliteLimits,
    commits: Arc<AtomicU64>,
    panic_report: &PanicReport,
) -> Result<ThreadPool, DatabaseError> {
    let (queue, operations) = Queue::bounded("write", limits.write_queue, limits.answer_wait);
    let mut pool = ThreadPool::serving(queue, panic_report);
    let group_limit = limits.group.max(1);
    pool.spawn("store-writer", move || {
        serve(&connection, &operations, group_limit, &commits);
        close(&connection);
    })?;
    Ok(pool)
}

fn serve(
    connection: &Connection,
    operations: &Operations,
    group_limit: usize,
    commits: &AtomicU64,
) {
    let mut db = StatementCache::new(connection);
    let mut group: Vec<Box<dyn Operation>> = Vec::with_capacity(group_limit);
    while let Ok(first) = operations.recv() {
        group.push(first);
        group.extend(operations.try_iter().take(group_limit - 1));
        let committed = commit(&mut db, &mut group);
        match &committed {
            Ok(()) => {
                commits.fetch_add(1, Ordering::Relaxed);
            }
            Err(trouble) => {
                tracing::warn!(operations = group.len(), %trouble, "a group was not committed");
            }
        }
        for operation in group.drain(..) {
            operation.answer(&committed);
        }
    }
}

/// All of the group that could be done, in one transaction; or, with the reason, nothing of it.
fn commit(db: &mut StatementCache<'_>, group: &mut [Box<dyn Operation>]) -> Result<(), String> {
    let outcome = begin_and_apply(db, group).and_then(|()| {
        db.statement("COMMIT")?.execute([])?;
        Ok(())
    });
    outcome.map_err(|error| {
        roll_back(db);
        error.reason()
    })
}

fn begin_and_apply(
    db: &mut StatementCache<'_>,
    group: &mut [Box<dyn Operation>],
) -> Result<(), DatabaseError> {
    db.statement("BEGIN IMMEDIATE")?.execute([])?;
    for operation in group {
        db.statement("SAVEPOINT operation")?.execute([])?;
        if let Err(trouble) = operation.apply(db) {
            // A full disk can make SQLite give up the whole transaction; what came before is lost with it.
            if db.connection().is_autocommit() {
                return Err(DatabaseError::Unavailable(trouble));
            }
            db.statement("ROLLBACK TO operation")?.execute([])?;
        }
        db.statement("RELEASE operation")?.execute([])?;
    }
    Ok(())
}

fn roll_back(db: &mut StatementCache<'_>) {
    if db.connection().is_autocommit() {
        return;
    }
    if let Err(error) = db.connection().execute_batch("ROLLBACK") {
        tracing::error!(%error, "a transaction could not be rolled back");
    }
}

/// Leaves everything in the one file, so that a copy of it is a whole copy.
fn close(connection: &Connection) {
    let checkpoint = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
    if let Err(error) = checkpoint {
        tracing::warn!(%error, "the write-ahead log stays beside the store; it is read at the next start");
    }
}
