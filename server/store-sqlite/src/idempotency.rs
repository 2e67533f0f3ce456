//! Merchants' requests that may come twice.

use bytes::Bytes;
use rusqlite::OptionalExtension;

use super::columns::RowExt;
use super::error::DatabaseError;
use super::statement_cache::StatementCache;
use chasqui_payment::Timestamp;
use chasqui_store::{
    BeginOutcome, Completion, EXPIRED_PER_BEGIN, IDEMPOTENCY_TERM, IN_PROGRESS_LIMIT,
    IdempotencyKey, IdempotentRequest, StoredResponse,
};

pub(super) fn begin(
    db: &mut StatementCache<'_>,
    request: &IdempotentRequest,
) -> Result<BeginOutcome, DatabaseError> {
    let expired = request.at.minus(IDEMPOTENCY_TERM);
    match find(db, &request.key)? {
        Some(kept) if kept.begun_at > expired => Ok(kept.begun(request)),
        Some(_) => {
            forget(db, &request.key)?;
            keep(db, request, expired)
        }
        None => keep(db, request, expired),
    }
}

pub(super) fn complete(
    db: &mut StatementCache<'_>,
    request: &IdempotentRequest,
    finished: &Completion,
) -> Result<(), DatabaseError> {
    let held = find(db, &request.key)?
        .is_some_and(|kept| kept.standing == "under_way" && kept.arrival == arrival(request));
    match finished {
        _ if !held => Ok(()),
        Completion::Response(answer) => end(db, &request.key, "answered", Some(answer)),
        Completion::OutcomeUnknown => end(db, &request.key, "unknown", None),
        Completion::Released => forget(db, &request.key),
    }
}

struct Kept {
    fingerprint: Vec<u8>,
    arrival: i64,
    begun_at: Timestamp,
    standing: String,
    answer: Option<StoredResponse>,
}

impl Kept {
    fn begun(self, request: &IdempotentRequest) -> BeginOutcome {
        if self.fingerprint != request.fingerprint {
            return BeginOutcome::KeyReused;
        }
        match (self.standing.as_str(), self.answer) {
            ("answered", Some(answer)) => BeginOutcome::Replay(answer),
            ("under_way", _) if self.arrival == arrival(request) => BeginOutcome::Started,
            ("under_way", _) if request.at.since(self.begun_at) < IN_PROGRESS_LIMIT => {
                BeginOutcome::InProgress
            }
            _ => BeginOutcome::OutcomeUnknown,
        }
    }
}

fn find(db: &mut StatementCache<'_>, key: &IdempotencyKey) -> Result<Option<Kept>, DatabaseError> {
    let kept = db
        .statement(
            "SELECT fingerprint, arrival, begun_at, standing, status, body FROM idempotency
             WHERE account = ?1 AND route = ?2 AND key = ?3",
        )?
        .query_row((key.account.as_str(), key.route, &key.key), |row| {
            let status: Option<u16> = row.get("status")?;
            let body: Option<Vec<u8>> = row.get("body")?;
            Ok(Kept {
                fingerprint: row.get("fingerprint")?,
                arrival: row.get("arrival")?,
                begun_at: row.value("begun_at")?,
                standing: row.get("standing")?,
                answer: status.zip(body).map(|(status, body)| StoredResponse {
                    status,
                    body: Bytes::from(body),
                }),
            })
        })
        .optional()?;
    Ok(kept)
}

fn keep(
    db: &mut StatementCache<'_>,
    request: &IdempotentRequest,
    expired: Timestamp,
) -> Result<BeginOutcome, DatabaseError> {
    let IdempotencyKey {
        account,
        route,
        key,
    } = &request.key;
    db.statement(
        "INSERT INTO idempotency
             (account, route, key, fingerprint, arrival, begun_at, standing)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, 'under_way')",
    )?
    .execute((
        account.as_str(),
        route,
        key,
        request.fingerprint,
        arrival(request),
        request.at.unix_ms(),
    ))?;
    let limit = i64::try_from(EXPIRED_PER_BEGIN).unwrap_or(i64::MAX);
    db.statement(
        "DELETE FROM idempotency WHERE rowid IN
             (SELECT rowid FROM idempotency WHERE begun_at <= ?1 ORDER BY begun_at LIMIT ?2)",
    )?
    .execute((expired.unix_ms(), limit))?;
    Ok(BeginOutcome::Started)
}

fn end(
    db: &mut StatementCache<'_>,
    key: &IdempotencyKey,
    standing: &str,
    answer: Option<&StoredResponse>,
) -> Result<(), DatabaseError> {
    db.statement(
        "UPDATE idempotency SET standing = ?4, status = ?5, body = ?6
             WHERE account = ?1 AND route = ?2 AND key = ?3",
    )?
    .execute((
        key.account.as_str(),
        key.route,
        &key.key,
        standing,
        answer.map(|answer| answer.status),
        answer.map(|answer| answer.body.as_ref()),
    ))?;
    Ok(())
}

fn forget(db: &mut StatementCache<'_>, key: &IdempotencyKey) -> Result<(), DatabaseError> {
    db.statement("DELETE FROM idempotency WHERE account = ?1 AND route = ?2 AND key = ?3")?
        .execute((key.account.as_str(), key.route, &key.key))?;
    Ok(())
}

/// SQLite's integers are signed; every bit is kept.
fn arrival(request: &IdempotentRequest) -> i64 {
    request.arrival.cast_signed()
}
