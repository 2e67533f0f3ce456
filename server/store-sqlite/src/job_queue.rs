//! Timed work: scheduled, leased, finished or put back.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use chasqui_payment::{JobKind, JobPriority, NewJob, PaymentId, Timestamp};
use chasqui_store::{JobAttempt, JobQueue, JobResult, LeasedJob, StoreError};
use rusqlite::OptionalExtension;

use super::columns::RowExt;
use super::error::DatabaseError;
use super::sqlite_store::SqliteStore;
use super::statement_cache::StatementCache;
use super::{status_events, timeline};

#[async_trait]
impl JobQueue for SqliteStore {
    async fn lease_due(
        &self,
        kind: JobKind,
        now: Timestamp,
        limit: usize,
        lease: Duration,
    ) -> Result<Vec<LeasedJob>, StoreError> {
        // Nothing is leased for a caller that has stopped waiting: the jobs would lie idle until their leases run out.
        let caller = Arc::new(());
        let waiting = Arc::downgrade(&caller);
        let leased = self.write(move |statements| match waiting.upgrade() {
            Some(_) => lease_due(statements, kind, now, limit, now.plus(lease)),
            None => Ok(Vec::new()),
        });
        let leased = leased.await;
        drop(caller);
        leased
    }

    async fn next_due(&self, kind: JobKind) -> Result<Option<Timestamp>, StoreError> {
        self.read(move |statements| next_due(statements, kind))
            .await
    }

    async fn finish(
        &self,
        leased: &LeasedJob,
        result: &JobResult,
        attempt: Option<&JobAttempt>,
    ) -> Result<bool, StoreError> {
        let (leased, result, attempt) = (leased.clone(), *result, attempt.cloned());
        self.write(move |statements| {
            if let Some(attempt) = &attempt {
                timeline::record_attempt(statements, &leased, attempt)?;
            }
            finish(statements, &leased, result)
        })
        .await
    }
}

pub(super) fn delivery_is_open(
    statements: &mut StatementCache<'_>,
    id: &PaymentId,
) -> Result<bool, DatabaseError> {
    let is_open = statements
        .prepare(
            "SELECT EXISTS (SELECT 1 FROM job
             WHERE payment_id = ?1 AND kind = 'delivery' AND standing = 'open')",
        )?
        .query_row([id.as_str()], |row| row.get(0))?;
    Ok(is_open)
}

/// Schedules the delivery if it never was. It keeps its place among the account's deliveries.
pub(super) fn reopen_delivery(
    statements: &mut StatementCache<'_>,
    id: &PaymentId,
    due_at: Timestamp,
) -> Result<(), DatabaseError> {
    schedule_delivery(statements, id, due_at)?;
    statements.execute(
        "UPDATE job SET standing = 'open', due_at = ?2, attempts = 0
         WHERE payment_id = ?1 AND kind = 'delivery'",
        (id.as_str(), due_at.unix_ms()),
    )?;
    Ok(())
}

/// Once per payment, ever: a row that is done or dead stays as it is.
pub(super) fn schedule_delivery(
    statements: &mut StatementCache<'_>,
    id: &PaymentId,
    due_at: Timestamp,
) -> Result<(), DatabaseError> {
    statements.execute(
        "INSERT INTO job (payment_id, kind, standing, due_at, attempts, account, scheduled_at)
             SELECT id, ?2, 'open', ?3, 0, account, CAST(unixepoch('subsec') * 1000 AS INTEGER)
             FROM payment WHERE id = ?1
             ON CONFLICT (payment_id, kind) DO UPDATE SET due_at = excluded.due_at
             WHERE standing = 'open' AND attempts = 0 AND excluded.due_at < due_at",
        (id.as_str(), JobKind::Delivery.as_str(), due_at.unix_ms()),
    )?;
    Ok(())
}

/// Schedules a check, or a job of events. Due at the earlier of the planned and the requested time, with no attempt counted. A
/// leased one may have read what it needs already: what is scheduled meanwhile follows it.
pub(super) fn schedule_again(
    statements: &mut StatementCache<'_>,
    id: &PaymentId,
    job: &NewJob,
) -> Result<(), DatabaseError> {
    let leased = statements.execute(
        "UPDATE job SET again_at = min(coalesce(again_at, ?3), ?3),
                    again_priority = min(coalesce(again_priority, ?4), ?4)
             WHERE payment_id = ?1 AND kind = ?2 AND lease_token IS NOT NULL",
        (
            id.as_str(),
            job.kind.as_str(),
            job.due_at.unix_ms(),
            job.priority.rank(),
        ),
    )?;
    if leased == 0 {
        statements.execute("INSERT INTO job (payment_id, kind, standing, due_at, attempts, priority)
                 VALUES (?1, ?2, 'open', ?3, 0, ?4)
                 ON CONFLICT (payment_id, kind) DO UPDATE
                 SET due_at = iif(standing = 'open', min(due_at, excluded.due_at), excluded.due_at),
                     priority = iif(standing = 'open', min(priority, excluded.priority), excluded.priority),
                     attempts = 0, standing = 'open'", (id.as_str(), job.kind.as_str(), job.due_at.unix_ms(), job.priority.rank()))?;
    }
    Ok(())
}

/// The payment is confirmed or reversed: its checks end, and a cross-check may follow.
pub(super) fn end_checks(
    statements: &mut StatementCache<'_>,
    id: &PaymentId,
    cross_check: Option<Timestamp>,
) -> Result<(), DatabaseError> {
    let leased = statements.execute(
        "UPDATE job SET again_at = ?3, again_priority = ?4
             WHERE payment_id = ?1 AND kind = ?2 AND lease_token IS NOT NULL",
        (
            id.as_str(),
            JobKind::Check.as_str(),
            cross_check.map(Timestamp::unix_ms),
            cross_check.map(|_| JobPriority::CrossCheck.rank()),
        ),
    )?;
    if leased > 0 {
        return Ok(());
    }
    delete(statements, id, JobKind::Check)?;
    match cross_check {
        Some(due_at) => {
            let check = NewJob::check(due_at, JobPriority::CrossCheck);
            schedule_again(statements, id, &check)
        }
        None => Ok(()),
    }
}

fn lease_due(
    statements: &mut StatementCache<'_>,
    kind: JobKind,
    now: Timestamp,
    limit: usize,
    leased_until: Timestamp,
) -> Result<Vec<LeasedJob>, DatabaseError> {
    let mut leased = Vec::new();
    for priority in JobPriority::ALL {
        let room = i64::try_from(limit - leased.len()).unwrap_or(i64::MAX);
        let due = statements
            .prepare(
                "SELECT payment_id, attempts FROM job
                 WHERE kind = ?1 AND priority = ?2 AND standing = 'open' AND due_at <= ?3
                   AND (lease_token IS NULL OR leased_until <= ?3)
                 ORDER BY due_at LIMIT ?4",
            )?
            .query_map(
                (kind.as_str(), priority.rank(), now.unix_ms(), room),
                |row| {
                    Ok(LeasedJob {
                        kind,
                        payment_id: row.value(0)?,
                        attempts: row.get(1)?,
                        priority,
                        // Random, so that no forgotten lease of a check matches a new one.
                        token: rand::random(),
                    })
                },
            )?
            .collect::<Result<Vec<_>, _>>()?;
        leased.extend(due);
    }
    for lease in &leased {
        statements.execute(
            "UPDATE job SET lease_token = ?3, leased_until = ?4
                 WHERE payment_id = ?1 AND kind = ?2",
            (
                lease.payment_id.as_str(),
                kind.as_str(),
                lease.token.cast_signed(),
                leased_until.unix_ms(),
            ),
        )?;
    }
    Ok(leased)
}

fn next_due(
    statements: &mut StatementCache<'_>,
    kind: JobKind,
) -> Result<Option<Timestamp>, DatabaseError> {
    let mut earliest: Option<Timestamp> = statements
        .prepare(
            "SELECT min(max(due_at, leased_until)) FROM job
             WHERE kind = ?1 AND lease_token IS NOT NULL",
        )?
        .query_row([kind.as_str()], |row| row.value(0))?;
    for priority in JobPriority::ALL {
        let free: Option<Timestamp> = statements
            .prepare(
                "SELECT due_at FROM job
                 WHERE kind = ?1 AND priority = ?2 AND standing = 'open' AND lease_token IS NULL
                 ORDER BY due_at LIMIT 1",
            )?
            .query_row((kind.as_str(), priority.rank()), |row| row.value(0))
            .optional()?;
        earliest = earliest.into_iter().chain(free).min();
    }
    Ok(earliest)
}

fn finish(
    statements: &mut StatementCache<'_>,
    leased: &LeasedJob,
    result: JobResult,
) -> Result<bool, DatabaseError> {
    let (id, kind) = (&leased.payment_id, leased.kind);
    let held = statements
        .prepare(
            "SELECT again_at, again_priority FROM job
             WHERE payment_id = ?1 AND kind = ?2 AND lease_token = ?3",
        )?
        .query_row(
            (id.as_str(), kind.as_str(), leased.token.cast_signed()),
            |row| {
                let requested_at: Option<Timestamp> = row.value(0)?;
                let requested = requested_at.map(|due_at| Ok((due_at, row.value(1)?)));
                requested.transpose()
            },
        )
        .optional()?;
    let Some(requested) = held else {
        return Ok(false);
    };
    let has_more_events = kind == JobKind::Events
        && result == JobResult::Done
        && status_events::remove_first(statements, id)?;
    let attempts = leased.attempts.saturating_add(1);
    let (state, due_at, priority, attempts) = match (result, requested) {
        (
            JobResult::Retry { due_at } | JobResult::PutBack { due_at },
            Some((requested_at, priority @ (JobPriority::Notified | JobPriority::Silent))),
        ) => {
            let due_at = due_at.min(requested_at);
            ("open", Some(due_at), priority.min(leased.priority), 0)
        }
        // After a cross-check was requested the payment is confirmed: only that is left.
        (_, Some((requested_at, priority))) => ("open", Some(requested_at), priority, 0),
        (JobResult::Retry { due_at }, None) => ("open", Some(due_at), leased.priority, attempts),
        (JobResult::PutBack { due_at }, None) => {
            ("open", Some(due_at), leased.priority, leased.attempts)
        }
        (JobResult::Done, None) if has_more_events => ("open", None, leased.priority, 0),
        (JobResult::Done, None) if kind != JobKind::Delivery => {
            delete(statements, id, kind)?;
            return Ok(true);
        }
        (JobResult::Done, None) => ("done", None, leased.priority, attempts),
        (JobResult::Dead, None) => ("dead", None, leased.priority, attempts),
    };
    statements.execute(
        "UPDATE job SET standing = ?3, due_at = coalesce(?4, due_at), priority = ?5, attempts = ?6,
                lease_token = NULL, leased_until = NULL, again_at = NULL, again_priority = NULL
         WHERE payment_id = ?1 AND kind = ?2",
        (
            id.as_str(),
            kind.as_str(),
            state,
            due_at.map(Timestamp::unix_ms),
            priority.rank(),
            attempts,
        ),
    )?;
    Ok(true)
}

fn delete(
    statements: &mut StatementCache<'_>,
    id: &PaymentId,
    kind: JobKind,
) -> Result<(), DatabaseError> {
    statements.execute(
        "DELETE FROM job WHERE payment_id = ?1 AND kind = ?2",
        (id.as_str(), kind.as_str()),
    )?;
    Ok(())
}
