//! Timed work: scheduled, taken under a lease, settled or put back.

use rusqlite::{Connection, OptionalExtension};

use super::store::Store;
use crate::ledger::{Leased, LedgerError, Settlement};
use crate::payment::{ErrandKind, PaymentId, Priority, Timestamp};

/// Once a payment, ever: a row that is done or dead stays as it is.
pub(super) fn schedule_delivery(
    store: &mut Store<'_>,
    id: &PaymentId,
    due_at: Timestamp,
) -> Result<(), LedgerError> {
    store
        .statement(
            "INSERT INTO errand (payment_id, kind, standing, due_at, attempts)
             VALUES (?1, ?2, 'open', ?3, 0)
             ON CONFLICT (payment_id, kind) DO UPDATE SET due_at = excluded.due_at
             WHERE standing = 'open' AND attempts = 0 AND excluded.due_at < due_at",
        )?
        .execute((id, ErrandKind::Delivery, due_at))?;
    Ok(())
}

/// Due at the earlier of what is planned and what is asked for, and from the first attempt: what was tried before is no
/// reason to let the newest wait. A check that is leased may have asked Khipu already: what is scheduled meanwhile follows it.
pub(super) fn schedule_check(
    store: &mut Store<'_>,
    id: &PaymentId,
    due_at: Timestamp,
    priority: Priority,
) -> Result<(), LedgerError> {
    let leased = store
        .statement(
            "UPDATE errand SET again_at = min(coalesce(again_at, ?3), ?3),
                    again_priority = min(coalesce(again_priority, ?4), ?4)
             WHERE payment_id = ?1 AND kind = ?2 AND lease_token IS NOT NULL",
        )?
        .execute((id, ErrandKind::Check, due_at, priority))?;
    if leased == 0 {
        store
            .statement(
                "INSERT INTO errand (payment_id, kind, standing, due_at, attempts, priority)
                 VALUES (?1, ?2, 'open', ?3, 0, ?4)
                 ON CONFLICT (payment_id, kind) DO UPDATE
                 SET due_at = iif(standing = 'open', min(due_at, excluded.due_at), excluded.due_at),
                     priority = iif(standing = 'open', min(priority, excluded.priority), excluded.priority),
                     attempts = 0, standing = 'open'",
            )?
            .execute((id, ErrandKind::Check, due_at, priority))?;
    }
    Ok(())
}

/// The payment is confirmed or reversed: what was planned to find that out is over, and a cross-check may follow.
pub(super) fn end_checks(
    store: &mut Store<'_>,
    id: &PaymentId,
    cross_check: Option<Timestamp>,
) -> Result<(), LedgerError> {
    let leased = store
        .statement(
            "UPDATE errand SET again_at = ?3, again_priority = ?4
             WHERE payment_id = ?1 AND kind = ?2 AND lease_token IS NOT NULL",
        )?
        .execute((
            id,
            ErrandKind::Check,
            cross_check,
            // Without a time there is nothing whose priority it could be.
            cross_check.map(|_| Priority::CrossCheck),
        ))?;
    if leased > 0 {
        return Ok(());
    }
    forget(store, id, ErrandKind::Check)?;
    match cross_check {
        Some(due_at) => schedule_check(store, id, due_at, Priority::CrossCheck),
        None => Ok(()),
    }
}

pub(super) fn claim(
    store: &mut Store<'_>,
    kind: ErrandKind,
    now: Timestamp,
    limit: usize,
    leased_until: Timestamp,
) -> Result<Vec<Leased>, LedgerError> {
    let mut leased = Vec::new();
    for priority in Priority::ALL {
        let room = i64::try_from(limit - leased.len()).unwrap_or(i64::MAX);
        let due = store
            .statement(
                "SELECT payment_id, attempts FROM errand
                 WHERE kind = ?1 AND priority = ?2 AND standing = 'open' AND due_at <= ?3
                   AND (lease_token IS NULL OR leased_until <= ?3)
                 ORDER BY due_at LIMIT ?4",
            )?
            .query_map((kind, priority, now, room), |row| {
                Ok(Leased {
                    kind,
                    payment_id: row.get(0)?,
                    attempts: row.get(1)?,
                    priority,
                    token: new_token(),
                })
            })?
            .collect::<Result<Vec<_>, _>>()?;
        leased.extend(due);
    }
    for lease in &leased {
        store
            .statement(
                "UPDATE errand SET lease_token = ?3, leased_until = ?4
                 WHERE payment_id = ?1 AND kind = ?2",
            )?
            .execute((&lease.payment_id, kind, column(lease.token), leased_until))?;
    }
    Ok(leased)
}

/// The process that held these leases is gone, for the file belongs to one: its checks are due as they were, or as they were
/// asked for meanwhile. Deliveries keep their leases: an attempt may have reached its merchant a moment ago.
pub(super) fn release_checks(connection: &Connection) -> Result<(), LedgerError> {
    let cross_check = Priority::CrossCheck.rank();
    connection.execute(
        "UPDATE errand SET
            due_at = CASE WHEN again_at IS NULL THEN due_at WHEN again_priority = ?2 THEN again_at
                     ELSE min(due_at, again_at) END,
            priority = CASE WHEN again_at IS NULL THEN priority WHEN again_priority = ?2 THEN ?2
                       ELSE min(priority, coalesce(again_priority, priority)) END,
            attempts = CASE WHEN again_at IS NULL THEN attempts ELSE 0 END,
            lease_token = NULL, leased_until = NULL, again_at = NULL, again_priority = NULL
         WHERE kind = ?1 AND lease_token IS NOT NULL",
        (ErrandKind::Check, cross_check),
    )?;
    Ok(())
}

pub(super) fn next_due(
    store: &mut Store<'_>,
    kind: ErrandKind,
) -> Result<Option<Timestamp>, LedgerError> {
    let mut earliest: Option<Timestamp> = store
        .statement(
            "SELECT min(max(due_at, leased_until)) FROM errand
             WHERE kind = ?1 AND lease_token IS NOT NULL",
        )?
        .query_row([kind], |row| row.get(0))?;
    for priority in Priority::ALL {
        let free: Option<Timestamp> = store
            .statement(
                "SELECT due_at FROM errand
                 WHERE kind = ?1 AND priority = ?2 AND standing = 'open' AND lease_token IS NULL
                 ORDER BY due_at LIMIT 1",
            )?
            .query_row((kind, priority), |row| row.get(0))
            .optional()?;
        earliest = earliest.into_iter().chain(free).min();
    }
    Ok(earliest)
}

pub(super) fn settle(
    store: &mut Store<'_>,
    leased: &Leased,
    settlement: Settlement,
) -> Result<bool, LedgerError> {
    let holds = store
        .statement(
            "SELECT again_at, again_priority FROM errand
             WHERE payment_id = ?1 AND kind = ?2 AND lease_token = ?3",
        )?
        .query_row(
            (&leased.payment_id, leased.kind, column(leased.token)),
            |row| {
                let priority: Option<Priority> = row.get(1)?;
                let again_at: Option<Timestamp> = row.get(0)?;
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
            Settlement::Again { due_at } | Settlement::Untried { due_at },
            Some((asked_at, priority @ (Priority::Notified | Priority::Silent))),
        ) => {
            let priority = priority.min(leased.priority);
            put_back(store, leased, due_at.min(asked_at), priority, 0)?;
        }
        // The payment is confirmed: nothing else is left to find out.
        (_, Some((asked_at, priority))) => put_back(store, leased, asked_at, priority, 0)?,
        (Settlement::Again { due_at }, None) => {
            put_back(store, leased, due_at, leased.priority, attempts)?;
        }
        (Settlement::Untried { due_at }, None) => {
            put_back(store, leased, due_at, leased.priority, leased.attempts)?;
        }
        (Settlement::Dead, None) => close(store, leased, "dead", attempts)?,
        (Settlement::Done, None) if leased.kind == ErrandKind::Check => {
            forget(store, &leased.payment_id, leased.kind)?;
        }
        (Settlement::Done, None) => close(store, leased, "done", attempts)?,
    }
    Ok(true)
}

fn put_back(
    store: &mut Store<'_>,
    leased: &Leased,
    due_at: Timestamp,
    priority: Priority,
    attempts: u32,
) -> Result<(), LedgerError> {
    store
        .statement(
            "UPDATE errand SET due_at = ?3, priority = ?4, attempts = ?5,
                    lease_token = NULL, leased_until = NULL, again_at = NULL, again_priority = NULL
             WHERE payment_id = ?1 AND kind = ?2",
        )?
        .execute((&leased.payment_id, leased.kind, due_at, priority, attempts))?;
    Ok(())
}

fn close(
    store: &mut Store<'_>,
    leased: &Leased,
    standing: &str,
    attempts: u32,
) -> Result<(), LedgerError> {
    store
        .statement(
            "UPDATE errand SET standing = ?3, attempts = ?4,
                    lease_token = NULL, leased_until = NULL, again_at = NULL, again_priority = NULL
             WHERE payment_id = ?1 AND kind = ?2",
        )?
        .execute((&leased.payment_id, leased.kind, standing, attempts))?;
    Ok(())
}

fn forget(store: &mut Store<'_>, id: &PaymentId, kind: ErrandKind) -> Result<(), LedgerError> {
    store
        .statement("DELETE FROM errand WHERE payment_id = ?1 AND kind = ?2")?
        .execute((id, kind))?;
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
