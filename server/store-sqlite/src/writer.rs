//! The one thread that writes: it takes the waiting operations and commits them together.
//!
//! A commit costs a wait for the disk; the operations in it cost little. The operations that arrive during that wait are
//! the next group, so the groups grow with the load.

use chasqui_store::StoreError;
use rusqlite::Connection;

use super::error::DatabaseError;
use super::limits::SqliteLimits;
use super::queue::{Operation, Operations, Queue};
use super::statement_cache::StatementCache;
use super::thread_pool::{FailureReport, ThreadPool};

pub(super) fn start(
    connection: Connection,
    limits: &SqliteLimits,
    failure: &FailureReport,
) -> Result<ThreadPool, DatabaseError> {
    let (queue, operations) = Queue::bounded("write", limits.write_queue, limits.answer_wait);
    let mut pool = ThreadPool::new(queue, failure);
    let group_limit = limits.group.max(1);
    pool.spawn("store-writer", move || {
        serve(&connection, &operations, group_limit);
        close(&connection);
    })?;
    Ok(pool)
}

fn serve(connection: &Connection, operations: &Operations, group_limit: usize) {
    let mut statements = StatementCache::new(connection);
    let mut group: Vec<Box<dyn Operation>> = Vec::with_capacity(group_limit);
    while let Ok(first) = operations.recv() {
        group.push(first);
        group.extend(operations.try_iter().take(group_limit - 1));
        let alone: Vec<_> = group
            .extract_if(.., |operation| operation.is_alone())
            .collect();
        let committed = commit(&mut statements, &mut group);
        if let Err(error) = &committed {
            let error = StoreError::from(error.clone());
            tracing::warn!(operations = group.len(), %error, "sqlite did not commit these operations; their callers got an error and try again");
        }
        for operation in group.drain(..) {
            operation.answer(&committed);
        }
        for mut operation in alone {
            // Each of its statements is a transaction of its own: there is nothing to roll back.
            let _ = operation.apply(&mut statements);
            operation.answer(&Ok(()));
        }
    }
}

/// Commits the operations of the group that succeed, in one transaction; on an error, none of them.
fn commit(
    statements: &mut StatementCache<'_>,
    group: &mut [Box<dyn Operation>],
) -> Result<(), DatabaseError> {
    if group.is_empty() {
        return Ok(());
    }
    let committed = begin_and_apply(statements, group).and_then(|()| {
        statements.execute("COMMIT", [])?;
        Ok(())
    });
    if committed.is_err() {
        roll_back(statements.connection());
    }
    committed
}

fn begin_and_apply(
    statements: &mut StatementCache<'_>,
    group: &mut [Box<dyn Operation>],
) -> Result<(), DatabaseError> {
    statements.execute("BEGIN IMMEDIATE", [])?;
    for operation in group {
        statements.execute("SAVEPOINT operation", [])?;
        if let Err(error) = operation.apply(statements) {
            // On a full disk SQLite can roll back the whole transaction, with the operations before this one.
            if statements.connection().is_autocommit() {
                return Err(error);
            }
            statements.execute("ROLLBACK TO operation", [])?;
        }
        statements.execute("RELEASE operation", [])?;
    }
    Ok(())
}

fn roll_back(connection: &Connection) {
    if connection.is_autocommit() {
        return;
    }
    if let Err(error) = connection.execute_batch("ROLLBACK") {
        tracing::error!(%error, "sqlite could not roll back a failed transaction; restart if writes keep failing");
    }
}

/// Moves everything into the one file, so that a copy of it is complete.
fn close(connection: &Connection) {
    let checkpoint = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
    if let Err(error) = checkpoint {
        tracing::warn!(%error, "the write-ahead log stays beside the store; the next start reads it");
    }
}
