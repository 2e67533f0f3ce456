//! What leads to payments: their references, their transactions, their changes.

use async_trait::async_trait;
use chasqui_payment::{AccountName, Intent, PaymentId, PaymentReference, Status, Timestamp};
use chasqui_store::{BY_TRANSACTION_LIMIT, ChangeCursor, ChangedPayment, PaymentIndex, StoreError};
use rusqlite::OptionalExtension;

use super::columns::{RowExt, state};
use super::error::DatabaseError;
use super::intents;
use super::sqlite_store::SqliteStore;
use super::statement_cache::StatementCache;

#[async_trait]
impl PaymentIndex for SqliteStore {
    async fn intent(&self, reference: &PaymentReference) -> Result<Option<Intent>, StoreError> {
        let reference = reference.clone();
        self.read(move |statements| intents::find(statements, &reference))
            .await
    }

    async fn by_transaction(
        &self,
        account: &AccountName,
        transaction_id: &str,
    ) -> Result<Vec<PaymentId>, StoreError> {
        let (account, transaction_id) = (account.clone(), transaction_id.to_owned());
        self.read(move |statements| {
            let limit = i64::try_from(BY_TRANSACTION_LIMIT).unwrap_or(i64::MAX);
            let ids = statements
                .prepare(
                    "SELECT id FROM payment WHERE account = ?1 AND transaction_id = ?2
                     ORDER BY created_at DESC, id DESC LIMIT ?3",
                )?
                .query_map((account.as_str(), transaction_id, limit), |row| {
                    row.value(0)
                })?
                .collect::<Result<_, _>>()?;
            Ok(ids)
        })
        .await
    }

    async fn changed_since(
        &self,
        account: &AccountName,
        since: &ChangeCursor,
        status: Option<Status>,
        limit: usize,
    ) -> Result<Vec<ChangedPayment>, StoreError> {
        let (account, since) = (account.clone(), since.clone());
        self.read(move |statements| changed_since(statements, &account, &since, status, limit))
            .await
    }

    async fn changed_at(
        &self,
        account: &AccountName,
        id: &PaymentId,
    ) -> Result<Option<Timestamp>, StoreError> {
        let (account, id) = (account.clone(), id.clone());
        self.read(move |statements| {
            let found = statements
                .prepare("SELECT updated_at FROM payment WHERE account = ?1 AND id = ?2")?
                .query_row((account.as_str(), id.as_str()), |row| row.value(0))
                .optional()?;
            Ok(found)
        })
        .await
    }
}

fn changed_since(
    statements: &mut StatementCache<'_>,
    account: &AccountName,
    since: &ChangeCursor,
    status: Option<Status>,
    limit: usize,
) -> Result<Vec<ChangedPayment>, DatabaseError> {
    let after = since.id.as_ref().map_or("", PaymentId::as_str);
    let changed = statements
        .prepare(
            "SELECT status, status_at, late, reason, id, transaction_id, updated_at FROM payment
             WHERE account = ?1 AND (updated_at, id) > (?2, ?3) ORDER BY updated_at, id",
        )?
        .query_map(
            (account.as_str(), since.updated_at.unix_ms(), after),
            |row| {
                Ok(ChangedPayment {
                    state: state(row)?,
                    id: row.value("id")?,
                    transaction_id: row.get("transaction_id")?,
                    updated_at: row.value("updated_at")?,
                })
            },
        )?
        .filter(|changed| match (changed, status) {
            (Ok(changed), Some(status)) => changed.state.status() == status,
            _ => true,
        })
        .take(limit)
        .collect::<Result<_, _>>()?;
    Ok(changed)
}
