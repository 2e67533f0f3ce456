//! Changes of status that are yet to be sent.

use async_trait::async_trait;
use chasqui_payment::{PaymentId, PaymentState, StatusReason};
use chasqui_store::{StatusEvents, StoreError};
use rusqlite::OptionalExtension;

use super::columns;
use super::error::DatabaseError;
use super::sqlite_store::SqliteStore;
use super::statement_cache::StatementCache;

#[async_trait]
impl StatusEvents for SqliteStore {
    async fn next_event(&self, id: &PaymentId) -> Result<Option<PaymentState>, StoreError> {
        let id = id.clone();
        self.read(move |statements| next(statements, &id)).await
    }
}

/// Versions only rise, so that their order is that of the changes.
pub(super) fn add(
    statements: &mut StatementCache<'_>,
    id: &PaymentId,
    state: &PaymentState,
) -> Result<(), DatabaseError> {
    statements.execute(
        "INSERT INTO status_event (payment_id, status, status_at, late, reason) VALUES (?1, ?2, ?3, ?4, ?5)",
        (
            id.as_str(),
            state.version.number(),
            state.at.unix_ms(),
            state.late,
            state.reason.map(StatusReason::as_str),
        ),
    )?;
    Ok(())
}

fn next(
    statements: &mut StatementCache<'_>,
    id: &PaymentId,
) -> Result<Option<PaymentState>, DatabaseError> {
    let found = statements
        .prepare(
            "SELECT status, status_at, late, reason FROM status_event
             WHERE payment_id = ?1 ORDER BY status LIMIT 1",
        )?
        .query_row([id.as_str()], columns::state)
        .optional()?;
    Ok(found)
}

/// Removes the oldest. Returns whether there are more.
pub(super) fn remove_first(
    statements: &mut StatementCache<'_>,
    id: &PaymentId,
) -> Result<bool, DatabaseError> {
    statements.execute(
        "DELETE FROM status_event WHERE payment_id = ?1
             AND status = (SELECT min(status) FROM status_event WHERE payment_id = ?1)",
        [id.as_str()],
    )?;
    let has_more = statements
        .prepare("SELECT EXISTS (SELECT 1 FROM status_event WHERE payment_id = ?1)")?
        .query_row([id.as_str()], |row| row.get(0))?;
    Ok(has_more)
}
