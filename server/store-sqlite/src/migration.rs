//! The schema, version by version, forward only. `PRAGMA user_version` holds the number of applied steps.

use rusqlite::{Connection, TransactionBehavior};

use super::error::DatabaseError;

/// A step that has shipped is never edited: a change is a further step.
pub(super) const STEPS: &[&str] = &[
    include_str!("../migrations/1_payments.sql"),
    include_str!("../migrations/2_idempotency.sql"),
    include_str!("../migrations/3_transactions.sql"),
    include_str!("../migrations/4_versions.sql"),
    include_str!("../migrations/5_check_priority.sql"),
    include_str!("../migrations/6_job.sql"),
    include_str!("../migrations/7_listings.sql"),
    include_str!("../migrations/8_status_events.sql"),
];

/// Applies the steps that the file lacks, each in its own transaction.
pub(super) fn migrate(connection: &mut Connection, steps: &[&str]) -> Result<(), DatabaseError> {
    let applied = applied(connection, steps)?;
    for (version, step) in (1i64..).zip(steps).skip(applied) {
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        transaction.execute_batch(step)?;
        transaction.pragma_update(None, "user_version", version)?;
        transaction.commit()?;
    }
    Ok(())
}

/// The number of applied steps: the file's version.
pub(super) fn applied(connection: &Connection, steps: &[&str]) -> Result<usize, DatabaseError> {
    let found: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let applied = usize::try_from(found).unwrap_or(usize::MAX);
    if applied > steps.len() {
        return Err(DatabaseError::unavailable(format!(
            "the file has schema version {found}, this chasqui knows versions up to {}: use a newer chasqui",
            steps.len()
        )));
    }
    Ok(applied)
}

#[cfg(test)]
mod tests;
