//! Merchants' requests that may arrive twice.

use async_trait::async_trait;
use bytes::Bytes;
use chasqui_payment::Timestamp;
use chasqui_store::{
    BeginOutcome, Completion, EXPIRED_PER_BEGIN, IDEMPOTENCY_TERM, IN_PROGRESS_LIMIT,
    IdempotencyKey, IdempotencyStore, IdempotentRequest, StoreError, StoredResponse,
};
use rusqlite::OptionalExtension;

use super::columns::RowExt;
use super::error::DatabaseError;
use super::sqlite_store::SqliteStore;
use super::statement_cache::StatementCache;

#[async_trait]
impl IdempotencyStore for SqliteStore {
    async fn begin(&self, request: &IdempotentRequest) -> Result<BeginOutcome, StoreError> {
        let request = request.clone();
        let expired = request.at.minus(IDEMPOTENCY_TERM);
        self.write(move |statements| match find(statements, &request.key)? {
            Some(record) if record.begun_at > expired => Ok(record.outcome_for(&request)),
            record => {
                if record.is_some() {
                    delete(statements, &request.key)?;
                }
                insert(statements, &request)?;
                delete_expired(statements, expired)?;
                Ok(BeginOutcome::Started)
            }
        })
        .await
    }

    async fn complete(
        &self,
        request: &IdempotentRequest,
        completion: &Completion,
    ) -> Result<(), StoreError> {
        let (request, completion) = (request.clone(), completion.clone());
        self.write(move |statements| {
            let is_holder = find(statements, &request.key)?
                .is_some_and(|record| record.is_in_progress() && record.is_of(&request));
            match &completion {
                _ if !is_holder => Ok(()),
                Completion::Response(response) => {
                    update(statements, &request.key, "answered", Some(response))
                }
                Completion::OutcomeUnknown => update(statements, &request.key, "unknown", None),
                Completion::Released => delete(statements, &request.key),
            }
        })
        .await
    }
}

struct Record {
    fingerprint: Vec<u8>,
    arrival: i64,
    begun_at: Timestamp,
    state: String,
    response: Option<StoredResponse>,
}

impl Record {
    fn is_in_progress(&self) -> bool {
        self.state == "under_way"
    }

    fn is_of(&self, request: &IdempotentRequest) -> bool {
        self.arrival == arrival(request)
    }

    fn outcome_for(self, request: &IdempotentRequest) -> BeginOutcome {
        if self.fingerprint != request.fingerprint {
            BeginOutcome::KeyReused
        } else if !self.is_in_progress() {
            let replay = self.response.map(BeginOutcome::Replay);
            replay.unwrap_or(BeginOutcome::OutcomeUnknown)
        } else if self.is_of(request) {
            BeginOutcome::Started
        } else if request.at.since(self.begun_at) < IN_PROGRESS_LIMIT {
            BeginOutcome::InProgress
        } else {
            BeginOutcome::OutcomeUnknown
        }
    }
}

fn find(
    statements: &mut StatementCache<'_>,
    key: &IdempotencyKey,
) -> Result<Option<Record>, DatabaseError> {
    let record = statements
        .prepare(
            "SELECT fingerprint, arrival, begun_at, standing, status, body FROM idempotency
             WHERE account = ?1 AND route = ?2 AND key = ?3",
        )?
        .query_row((key.account.as_str(), key.route, &key.key), |row| {
            let status: Option<u16> = row.get("status")?;
            let body: Option<Vec<u8>> = row.get("body")?;
            Ok(Record {
                fingerprint: row.get("fingerprint")?,
                arrival: row.get("arrival")?,
                begun_at: row.value("begun_at")?,
                state: row.get("standing")?,
                response: status.zip(body).map(|(status, body)| StoredResponse {
                    status,
                    body: Bytes::from(body),
                }),
            })
        })
        .optional()?;
    Ok(record)
}

fn insert(
    statements: &mut StatementCache<'_>,
    request: &IdempotentRequest,
) -> Result<(), DatabaseError> {
    statements.execute(
        "INSERT INTO idempotency (account, route, key, fingerprint, arrival, begun_at, standing)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, 'under_way')",
        (
            request.key.account.as_str(),
            request.key.route,
            &request.key.key,
            request.fingerprint,
            arrival(request),
            request.at.unix_ms(),
        ),
    )?;
    Ok(())
}

fn delete_expired(
    statements: &mut StatementCache<'_>,
    expired: Timestamp,
) -> Result<(), DatabaseError> {
    let limit = i64::try_from(EXPIRED_PER_BEGIN).unwrap_or(i64::MAX);
    statements.execute(
        "DELETE FROM idempotency WHERE rowid IN
         (SELECT rowid FROM idempotency WHERE begun_at <= ?1 ORDER BY begun_at LIMIT ?2)",
        (expired.unix_ms(), limit),
    )?;
    Ok(())
}

fn update(
    statements: &mut StatementCache<'_>,
    key: &IdempotencyKey,
    state: &str,
    response: Option<&StoredResponse>,
) -> Result<(), DatabaseError> {
    statements.execute(
        "UPDATE idempotency SET standing = ?4, status = ?5, body = ?6
         WHERE account = ?1 AND route = ?2 AND key = ?3",
        (
            key.account.as_str(),
            key.route,
            &key.key,
            state,
            response.map(|response| response.status),
            response.map(|response| response.body.as_ref()),
        ),
    )?;
    Ok(())
}

fn delete(statements: &mut StatementCache<'_>, key: &IdempotencyKey) -> Result<(), DatabaseError> {
    statements.execute(
        "DELETE FROM idempotency WHERE account = ?1 AND route = ?2 AND key = ?3",
        (key.account.as_str(), key.route, &key.key),
    )?;
    Ok(())
}

/// SQLite's integers are signed; every bit is kept.
fn arrival(request: &IdempotentRequest) -> i64 {
    request.arrival.cast_signed()
}
