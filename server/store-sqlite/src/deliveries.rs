//! Deliveries, as their operators see them.

use async_trait::async_trait;
use chasqui_payment::{AccountName, DeliveryState, PaymentId, Timestamp, Undelivered, Version};
use chasqui_store::{Deliveries, Delivery, LastAttempt, ListedDelivery, Redelivery, StoreError};
use rusqlite::{OptionalExtension, Row};

use super::columns::RowExt;
use super::error::DatabaseError;
use super::sqlite_store::SqliteStore;
use super::statement_cache::StatementCache;
use super::{job_queue, payments, timeline};

/// A delivery's columns. Its newest attempt is found by its payment's records.
macro_rules! delivery_where {
    ($condition:literal) => {
        concat!(
            "SELECT job.payment_id, standing, attempts, due_at, record.at, record.result
             FROM job LEFT JOIN record ON record.id =
                 (SELECT id FROM record AS attempt WHERE attempt.payment_id = job.payment_id
                  AND event = 'attempted' AND attempt.kind = 'delivery' ORDER BY at DESC, id DESC LIMIT 1)
             WHERE job.kind = 'delivery' AND ",
            $condition
        )
    };
}

#[async_trait]
impl Deliveries for SqliteStore {
    async fn delivery(&self, id: &PaymentId) -> Result<Option<Delivery>, StoreError> {
        let id = id.clone();
        self.read(move |statements| {
            let delivery = statements
                .prepare(delivery_where!("job.payment_id = ?1"))?
                .query_row([id.as_str()], delivery)
                .optional()?;
            Ok(delivery)
        })
        .await
    }

    async fn undelivered(
        &self,
        account: &AccountName,
        state: Undelivered,
        after: Option<&PaymentId>,
        limit: usize,
    ) -> Result<Option<Vec<ListedDelivery>>, StoreError> {
        let (account, after) = (account.clone(), after.cloned());
        self.read(move |statements| {
            let after = match &after {
                Some(id) => match scheduled_at(statements, &account, id)? {
                    Some(scheduled_at) => (scheduled_at, id.as_str()),
                    None => return Ok(None),
                },
                None => (Timestamp::default(), ""),
            };
            undelivered(statements, &account, state, after, limit).map(Some)
        })
        .await
    }

    async fn redeliver(
        &self,
        account: &AccountName,
        id: &PaymentId,
        at: Timestamp,
    ) -> Result<Redelivery, StoreError> {
        let (account, id) = (account.clone(), id.clone());
        self.write(move |statements| redeliver(statements, &account, &id, at))
            .await
    }
}

fn redeliver(
    statements: &mut StatementCache<'_>,
    account: &AccountName,
    id: &PaymentId,
    at: Timestamp,
) -> Result<Redelivery, DatabaseError> {
    match payments::find_state(statements, id)? {
        None => return Ok(Redelivery::UnknownPayment),
        Some((_, owner)) if owner != *account => return Err(DatabaseError::WRONG_ACCOUNT),
        Some((state, _)) if state.version != Version::CONFIRMED => {
            return Ok(Redelivery::NotConfirmed);
        }
        Some(_) => {}
    }
    if job_queue::delivery_is_open(statements, id)? {
        return Ok(Redelivery::AlreadyOpen);
    }
    job_queue::reopen_delivery(statements, id, at)?;
    timeline::record_plain(statements, id, at, timeline::REDELIVERED)?;
    Ok(Redelivery::Reopened)
}

fn scheduled_at(
    statements: &mut StatementCache<'_>,
    account: &AccountName,
    id: &PaymentId,
) -> Result<Option<Timestamp>, DatabaseError> {
    let scheduled_at = statements
        .prepare(
            "SELECT scheduled_at FROM job
             WHERE payment_id = ?1 AND kind = 'delivery' AND account = ?2",
        )?
        .query_row((id.as_str(), account.as_str()), |row| row.value(0))
        .optional()?;
    Ok(scheduled_at)
}

fn undelivered(
    statements: &mut StatementCache<'_>,
    account: &AccountName,
    state: Undelivered,
    (scheduled_at, id): (Timestamp, &str),
    limit: usize,
) -> Result<Vec<ListedDelivery>, DatabaseError> {
    let listed = statements
        .prepare(delivery_where!(
            "account = ?1 AND standing = ?2 AND (scheduled_at, job.payment_id) > (?3, ?4)
             ORDER BY scheduled_at, job.payment_id LIMIT ?5"
        ))?
        .query_map(
            (
                account.as_str(),
                state.as_str(),
                scheduled_at.unix_ms(),
                id,
                i64::try_from(limit).unwrap_or(i64::MAX),
            ),
            |row| {
                Ok(ListedDelivery {
                    payment_id: row.value(0)?,
                    delivery: delivery(row)?,
                })
            },
        )?
        .collect::<Result<_, _>>()?;
    Ok(listed)
}

fn delivery(row: &Row<'_>) -> rusqlite::Result<Delivery> {
    let state = row.value("standing")?;
    let due_at = row.value("due_at")?;
    let last = match row.value("at")? {
        Some(at) => Some(LastAttempt {
            at,
            result: row.get("result")?,
        }),
        None => None,
    };
    Ok(Delivery {
        state,
        attempts: row.get("attempts")?,
        next_at: (state == DeliveryState::Open).then_some(due_at),
        last,
    })
}
