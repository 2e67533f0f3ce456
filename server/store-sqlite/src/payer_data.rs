//! Payers' data is overwritten, in the database and in its write-ahead log.

use async_trait::async_trait;
use chasqui_payment::{AccountName, PaymentId, Timestamp};
use chasqui_store::{Erasure, PayerData, StoreError};

use super::error::DatabaseError;
use super::sqlite_store::SqliteStore;
use super::statement_cache::StatementCache;
use super::{job_queue, notifications, payments, timeline};

const LOG_IN_USE: &str = "another process reads the sqlite file, so that its write-ahead log still holds what was erased: \
    end that process and repeat the call, or restart chasqui";

#[async_trait]
impl PayerData for SqliteStore {
    async fn erase(
        &self,
        account: &AccountName,
        id: &PaymentId,
        at: Timestamp,
    ) -> Result<Erasure, StoreError> {
        let (account, id) = (account.clone(), id.clone());
        let refusal = self
            .write(move |statements| erase(statements, &account, &id, at))
            .await?;
        if let Some(refusal) = refusal {
            return Ok(refusal);
        }
        let is_truncated = self.write_alone(truncate_log).await?;
        Ok(Erasure::Erased {
            warning: (!is_truncated).then(|| LOG_IN_USE.to_owned()),
        })
    }
}

/// The writer overwrites freed pages with zeros (`secure_delete`). Returns why nothing was erased.
fn erase(
    statements: &mut StatementCache<'_>,
    account: &AccountName,
    id: &PaymentId,
    at: Timestamp,
) -> Result<Option<Erasure>, DatabaseError> {
    match payments::find_state(statements, id)? {
        None => return Ok(Some(Erasure::UnknownPayment)),
        Some((_, owner)) if owner != *account => return Err(DatabaseError::WRONG_ACCOUNT),
        Some(_) => {}
    }
    if job_queue::delivery_is_open(statements, id)? {
        return Ok(Some(Erasure::DeliveryOpen));
    }
    let erased = notifications::erase(statements, id)?;
    if erased > 0 || !timeline::has(statements, id, timeline::ERASED)? {
        timeline::record_plain(statements, id, at, timeline::ERASED)?;
    }
    Ok(None)
}

/// Waits for readers that began before, for as long as the connection waits for a lock. `false`: one did not end.
fn truncate_log(statements: &mut StatementCache<'_>) -> Result<bool, DatabaseError> {
    let is_busy: bool = statements
        .prepare("PRAGMA wal_checkpoint(TRUNCATE)")?
        .query_row([], |row| row.get(0))?;
    Ok(!is_busy)
}
