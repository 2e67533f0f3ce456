//! Merchants' requests that may come twice.

use bytes::Bytes;
use rusqlite::OptionalExtension;

use super::store::Store;
use crate::ledger::{
    Begun, EXPIRED_PER_BEGIN, Finished, IDEMPOTENCY_TERM, IdempotencyKey, IdempotentRequest,
    KeptAnswer, LedgerError, UNDER_WAY_LIMIT,
};
use crate::payment::Timestamp;

pub(super) fn begin(
    store: &mut Store<'_>,
    request: &IdempotentRequest,
) -> Result<Begun, LedgerError> {
    let expired = request.at.minus(IDEMPOTENCY_TERM);
    match find(store, &request.key)? {
        Some(kept) if kept.begun_at > expired => Ok(kept.begun(request)),
        Some(_) => {
            forget(store, &request.key)?;
            keep(store, request, expired)
        }
        None => keep(store, request, expired),
    }
}

pub(super) fn finish(
    store: &mut Store<'_>,
    request: &IdempotentRequest,
    finished: &Finished,
) -> Result<(), LedgerError> {
    let held = find(store, &request.key)?
        .is_some_and(|kept| kept.standing == "under_way" && kept.arrival == arrival(request));
    match finished {
        _ if !held => Ok(()),
        Finished::Answered(answer) => end(store, &request.key, "answered", Some(answer)),
        Finished::Unknown => end(store, &request.key, "unknown", None),
        Finished::NothingDone => forget(store, &request.key),
    }
}

struct Kept {
    fingerprint: Vec<u8>,
    arrival: i64,
    begun_at: Timestamp,
    standing: String,
    answer: Option<KeptAnswer>,
}

impl Kept {
    fn begun(self, request: &IdempotentRequest) -> Begun {
        if self.fingerprint != request.fingerprint {
            return Begun::OtherBody;
        }
        match (self.standing.as_str(), self.answer) {
            ("answered", Some(answer)) => Begun::Answered(answer),
            ("under_way", _) if self.arrival == arrival(request) => Begun::Fresh,
            ("under_way", _) if request.at.since(self.begun_at) < UNDER_WAY_LIMIT => {
                Begun::UnderWay
            }
            _ => Begun::Unknown,
        }
    }
}

fn find(store: &mut Store<'_>, key: &IdempotencyKey) -> Result<Option<Kept>, LedgerError> {
    let kept = store
        .statement(
            "SELECT fingerprint, arrival, begun_at, standing, status, body FROM idempotency
             WHERE account = ?1 AND route = ?2 AND key = ?3",
        )?
        .query_row((&key.account, key.route, &key.key), |row| {
            let status: Option<u16> = row.get("status")?;
            let body: Option<Vec<u8>> = row.get("body")?;
            Ok(Kept {
                fingerprint: row.get("fingerprint")?,
                arrival: row.get("arrival")?,
                begun_at: row.get("begun_at")?,
                standing: row.get("standing")?,
                answer: status.zip(body).map(|(status, body)| KeptAnswer {
                    status,
                    body: Bytes::from(body),
                }),
            })
        })
        .optional()?;
    Ok(kept)
}

fn keep(
    store: &mut Store<'_>,
    request: &IdempotentRequest,
    expired: Timestamp,
) -> Result<Begun, LedgerError> {
    let IdempotencyKey {
        account,
        route,
        key,
    } = &request.key;
    store
        .statement(
            "INSERT INTO idempotency
             (account, route, key, fingerprint, arrival, begun_at, standing)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, 'under_way')",
        )?
        .execute((
            account,
            route,
            key,
            request.fingerprint,
            arrival(request),
            request.at,
        ))?;
    let limit = i64::try_from(EXPIRED_PER_BEGIN).unwrap_or(i64::MAX);
    store
        .statement(
            "DELETE FROM idempotency WHERE rowid IN
             (SELECT rowid FROM idempotency WHERE begun_at <= ?1 ORDER BY begun_at LIMIT ?2)",
        )?
        .execute((expired, limit))?;
    Ok(Begun::Fresh)
}

fn end(
    store: &mut Store<'_>,
    key: &IdempotencyKey,
    standing: &str,
    answer: Option<&KeptAnswer>,
) -> Result<(), LedgerError> {
    store
        .statement(
            "UPDATE idempotency SET standing = ?4, status = ?5, body = ?6
             WHERE account = ?1 AND route = ?2 AND key = ?3",
        )?
        .execute((
            &key.account,
            key.route,
            &key.key,
            standing,
            answer.map(|answer| answer.status),
            answer.map(|answer| answer.body.as_ref()),
        ))?;
    Ok(())
}

fn forget(store: &mut Store<'_>, key: &IdempotencyKey) -> Result<(), LedgerError> {
    store
        .statement("DELETE FROM idempotency WHERE account = ?1 AND route = ?2 AND key = ?3")?
        .execute((&key.account, key.route, &key.key))?;
    Ok(())
}

/// SQLite's integers are signed; every bit is kept.
fn arrival(request: &IdempotentRequest) -> i64 {
    request.arrival.cast_signed()
}
