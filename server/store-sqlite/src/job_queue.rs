//! Timed work: scheduled, taken under a lease, settled or put back.

use rusqlite::{Connection, OptionalExtension};

use super::columns::RowExt;
use super::error::DatabaseError;
use super::statement_cache::StatementCache;
use chasqui_payment::{JobKind, PaymentId, Priority, Timestamp};
use chasqui_store::{JobResult, LeasedJob};

/// Once a payment, ever: a row that is done or dead stays as it is.
pub(super) fn schedule_delivery(
    db: &mut StatementCache<'_>,
    id: &PaymentId,
    due_at: Timestamp,
) -> Result<(), DatabaseError> {
    db.statement(
        "INSERT INTO job (payment_id, kind, standing, due_at, attempts)
             VALUES (?1, ?2, 'open', ?3, 0)
             ON CONFLICT (payment_id, kind) DO UPDATE SET due_at = excluded.due_at
             WHERE standing = 'open' AND attempts = 0 AND excluded.due_at < due_at",
    )?
    .execute((id.as_str(), JobKind::Delivery.as_str(), due_at.unix_ms()))?;
    Ok(())
}

/// Due at the earlier of what is planned and what is asked for, and from the first attempt: what was tried before is no
/// reason to let the newest wait. A check that is leased may have asked Khipu already: what is scheduled meanwhile follows it.
pub(super) fn schedule_check(
    db: &mut StatementCache<'_>,
    id: &PaymentId,
    due_at: Timestamp,
    priority: Priority,
) -> Result<(), DatabaseError> {
    let leased = db
        .statement(
            "UPDATE job SET again_at = min(coalesce(again_at, ?3), ?3),
                    again_priority = min(coalesce(again_priority, ?4), ?4)
             WHERE payment_id = ?1 AND kind = ?2 AND lease_token IS NOT NULL",
        )?
        .execute((
            id.as_str(),
            JobKind::Check.as_str(),
            due_at.unix_ms(),
            priority.rank(),
        ))?;
    if leased == 0 {
        db
            .statement(
                "INSERT INTO job (payment_id, kind, standing, due_at, attempts, priority)
                 VALUES (?1, ?2, 'open', ?3, 0, ?4)
                 ON CONFLICT (payment_id, kind) DO UPDATE
                 SET due_at = iif(standing = 'open', min(due_at, excluded.due_at), excluded.due_at),
                     priority = iif(standing = 'open', min(priority, excluded.priority), excluded.priority),
                     attempts = 0, standing = 'open'",
            )?
            .execute((id.as_str(), JobKind::Check.as_str(), due_at.unix_ms(), priority.rank()))?;
    }
    Ok(())
}

/// The payment is confirmed or reversed: what was planned to find that out is over, and a cross-check may follow.
pub(super) fn end_checks(
    db: &mut StatementCache<'_>,
    id: &PaymentId,
    cross_check: Option<Timestamp>,
) -> Result<(), DatabaseError> {
    let leased = db
        .statement(
            "UPDATE job SET again_at = ?3, again_priority = ?4
             WHERE payment_id = ?1 AND kind = ?2 AND lease_token IS NOT NULL",
        )?
        .execute((
            id.as_str(),
            JobKind::Check.as_str(),
            cross_check.map(Timestamp::unix_ms),
            // Without a time there is nothing whose priority it could be.
            cross_check.map(|_| Priority::CrossCheck.rank()),
        ))?;
    if leased > 0 {
        return Ok(());
    }
    forget(db, id, JobKind::Check)?;
    match cross_check {
        Some(due_at) => schedule_check(db, id, due_at, Priority::CrossCheck),
        None => Ok(()),
    }
}

pub(super) fn lease_due(
    db: &mut StatementCache<'_>,
    kind: JobKind,
    now: Timestamp,
    limit: usize,
    leased_until: Timestamp,
) -> Result<Vec<LeasedJob>, DatabaseError> {
    let mut leased = Vec::new();
    for priority in Priority::ALL {
        let room = i64::try_from(limit - leased.len()).unwrap_or(i64::MAX);
        let due = db
            .statement(
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
                        token: new_token(),
                    })
                },
            )?
            .collect::<Result<Vec<_>, _>>()?;
        leased.extend(due);
    }
    for lease in &leased {
        db.statement(
            "UPDATE job SET lease_token = ?3, leased_until = ?4
                 WHERE payment_id = ?1 AND kind = ?2",
        )?
        .execute((
            lease.payment_id.as_str(),
            kind.as_str(),
            column(lease.token),
            leased_until.unix_ms(),
        ))?;
    }
    Ok(leased)
}

/// The process that held these leases is gone, for the file belongs to one: its checks are due as they were, or as they were
/// asked for meanwhile. Deliveries keep their leases: an attempt may have reached its merchant a moment ago.
pub(super) fn release_checks(connection: &Connection) -> Result<(), DatabaseError> {
    let cross_check = Priority::CrossCheck.rank();
    connection.execute(
        "UPDATE job SET
            due_at = CASE WHEN again_at IS NULL THEN due_at WHEN again_priority = ?2 THEN again_at
                     ELSE min(due_at, again_at) END,
            priority = CASE WHEN again_at IS NULL THEN priority WHEN again_priority = ?2 THEN ?2
                       ELSE min(priority, coalesce(again_priority, priority)) END,
            attempts = CASE WHEN again_at IS NULL THEN attempts ELSE 0 END,
            lease_token = NULL, leased_until = NULL, again_at = NULL, again_priority = NULL
         WHERE kind = ?1 AND lease_token IS NOT NULL",
        (JobKind::Check.as_str(), cross_check),
    )?;
    Ok(())
}

pub(super) fn next_due(
    db: &mut StatementCache<'_>,
    kind: JobKind,
) -> Result<Option<Timestamp>, DatabaseError> {
    let mut earliest: Option<Timestamp> = db
        .statement(
            "SELECT min(max(due_at, leased_until)) FROM job
             WHERE kind = ?1 AND lease_token IS NOT NULL",
        )?
        .query_row([kind.as_str()], |row| row.value(0))?;
    for priority in Priority::ALL {
        let free: Option<Timestamp> = db
            .statement(
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

pub(super) fn finish(
    db: &mut StatementCache<'_>,
    leased: &LeasedJob,
    settlement: JobResult,
) -> Result<bool, DatabaseError> {
    let holds = db
        .statement(
            "SELECT again_at, again_priority FROM job
             WHERE payment_id = ?1 AND kind = ?2 AND lease_token = ?3",
        )?
        .query_row(
            (
                leased.payment_id.as_str(),
                leased.kind.as_str(),
                column(leased.token),
            ),
            |row| {
                let priority: Option<Priority> = row.value(1)?;
                let again_at: Option<Timestamp> = row.value(0)?;
                Ok(again_at.map(|due_at| (due_at, priority.unwrap_or_default())))
            },
        )
        .optional()?;
    let Some(asked) = holds else {
        return Ok(false);
    };
    let attempts = leased.attempts.saturating_add(1);
    match (settlement, asked) {
        (
            JobResult::Retry { due_at } | JobResult::PutBack { due_at },
            Some((asked_at, priority @ (Priority::Notified | Priority::Silent))),
        ) => {
            let priority = priority.min(leased.priority);
            put_back(db, leased, due_at.min(asked_at), priority, 0)?;
        }
        // The payment is confirmed: nothing else is left to find out.
        (_, Some((asked_at, priority))) => put_back(db, leased, asked_at, priority, 0)?,
        (JobResult::Retry { due_at }, None) => {
            put_back(db, leased, due_at, leased.priority, attempts)?;
        }
        (JobResult::PutBack { due_at }, None) => {
            put_back(db, leased, due_at, leased.priority, leased.attempts)?;
        }
        (JobResult::Dead, None) => close(db, leased, "dead", attempts)?,
        (JobResult::Done, None) if leased.kind == JobKind::Check => {
            forget(db, &leased.payment_id, leased.kind)?;
        }
        (JobResult::Done, None) => close(db, leased, "done", attempts)?,
    }
    Ok(true)
}

fn put_back(
    db: &mut StatementCache<'_>,
    leased: &LeasedJob,
    due_at: Timestamp,
    priority: Priority,
    attempts: u32,
) -> Result<(), DatabaseError> {
    db.statement(
        "UPDATE job SET due_at = ?3, priority = ?4, attempts = ?5,
                    lease_token = NULL, leased_until = NULL, again_at = NULL, again_priority = NULL
             WHERE payment_id = ?1 AND kind = ?2",
    )?
    .execute((
        leased.payment_id.as_str(),
        leased.kind.as_str(),
        due_at.unix_ms(),
        priority.rank(),
        attempts,
    ))?;
    Ok(())
}

fn close(
    db: &mut StatementCache<'_>,
    leased: &LeasedJob,
    standing: &str,
    attempts: u32,
) -> Result<(), DatabaseError> {
    db.statement(
        "UPDATE job SET standing = ?3, attempts = ?4,
                    lease_token = NULL, leased_until = NULL, again_at = NULL, again_priority = NULL
             WHERE payment_id = ?1 AND kind = ?2",
    )?
    .execute((
        leased.payment_id.as_str(),
        leased.kind.as_str(),
        standing,
        attempts,
    ))?;
    Ok(())
}

fn forget(db: &mut StatementCache<'_>, id: &PaymentId, kind: JobKind) -> Result<(), DatabaseError> {
    db.statement("DELETE FROM job WHERE payment_id = ?1 AND kind = ?2")?
        .execute((id.as_str(), kind.as_str()))?;
    Ok(())
}

/// Random, so that no lease of a check that is long forgotten matches one of today. 63 bits: SQLite's integers are
/// signed.
fn new_token() -> u64 {
    rand::random::<u64>() >> 1
}

fn column(token: u64) -> i64 {
    i64::try_from(token).unwrap_or(i64::MAX)
}
