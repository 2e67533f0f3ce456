//! Timed work: scheduled, taken under a lease, settled or put back.

use rusqlite::OptionalExtension;

use super::store::Store;
use crate::ledger::{Leased, LedgerError, Settlement};
use crate::payment::{ErrandKind, PaymentId, Timestamp};

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
) -> Result<(), LedgerError> {
    let in_hand = store
        .statement(
            "UPDATE errand SET again_at = min(coalesce(again_at, ?3), ?3)
             WHERE payment_id = ?1 AND kind = ?2 AND lease_token IS NOT NULL",
        )?
        .execute((id, ErrandKind::Check, due_at))?;
    if in_hand == 0 {
        store
            .statement(
                "INSERT INTO errand (payment_id, kind, standing, due_at, attempts)
                 VALUES (?1, ?2, 'open', ?3, 0)
                 ON CONFLICT (payment_id, kind) DO UPDATE
                 SET due_at = CASE standing
                         WHEN 'open' THEN min(due_at, excluded.due_at)
                         ELSE excluded.due_at
                     END,
                     attempts = 0, standing = 'open'",
            )?
            .execute((id, ErrandKind::Check, due_at))?;
    }
    Ok(())
}

pub(super) fn claim(
    store: &mut Store<'_>,
    kind: ErrandKind,
    now: Timestamp,
    limit: usize,
    leased_until: Timestamp,
) -> Result<Vec<Leased>, LedgerError> {
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let leased: Vec<_> = store
        .statement(
            "SELECT payment_id, attempts FROM errand
             WHERE kind = ?1 AND standing = 'open' AND due_at <= ?2
               AND (lease_token IS NULL OR leased_until <= ?2)
             ORDER BY due_at LIMIT ?3",
        )?
        .query_map((kind, now, limit), |row| {
            Ok(Leased {
                kind,
                payment_id: row.get(0)?,
                attempts: row.get(1)?,
                token: new_token(),
            })
        })?
        .collect::<Result<_, _>>()?;
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

pub(super) fn next_due(
    store: &mut Store<'_>,
    kind: ErrandKind,
) -> Result<Option<Timestamp>, LedgerError> {
    let free: Option<Timestamp> = store
        .statement(
            "SELECT due_at FROM errand WHERE kind = ?1 AND standing = 'open' AND lease_token IS NULL
             ORDER BY due_at LIMIT 1",
        )?
        .query_row([kind], |row| row.get(0))
        .optional()?;
    let in_hand: Option<Timestamp> = store
        .statement(
            "SELECT min(max(due_at, leased_until)) FROM errand
             WHERE kind = ?1 AND lease_token IS NOT NULL",
        )?
        .query_row([kind], |row| row.get(0))?;
    Ok(free.into_iter().chain(in_hand).min())
}

pub(super) fn settle(
    store: &mut Store<'_>,
    leased: &Leased,
    settlement: Settlement,
) -> Result<bool, LedgerError> {
    let holds = store
        .statement(
            "SELECT again_at FROM errand
             WHERE payment_id = ?1 AND kind = ?2 AND lease_token = ?3",
        )?
        .query_row(
            (&leased.payment_id, leased.kind, column(leased.token)),
            |row| row.get::<_, Option<Timestamp>>(0),
        )
        .optional()?;
    let Some(again_at) = holds else {
        return Ok(false);
    };
    let attempts = leased.attempts.saturating_add(1);
    match (settlement, again_at) {
        (Settlement::Again { due_at } | Settlement::Untried { due_at }, Some(asked)) => {
            put(store, leased, "open", Some(due_at.min(asked)), 0)?;
        }
        (_, Some(asked)) => put(store, leased, "open", Some(asked), 0)?,
        (Settlement::Again { due_at }, None) => put(store, leased, "open", Some(due_at), attempts)?,
        (Settlement::Untried { due_at }, None) => {
            put(store, leased, "open", Some(due_at), leased.attempts)?;
        }
        (Settlement::Dead, None) => put(store, leased, "dead", None, attempts)?,
        (Settlement::Done, None) if leased.kind == ErrandKind::Check => forget(store, leased)?,
        (Settlement::Done, None) => put(store, leased, "done", None, attempts)?,
    }
    Ok(true)
}

/// Out of the holder's hands.
fn put(
    store: &mut Store<'_>,
    leased: &Leased,
    standing: &str,
    due_at: Option<Timestamp>,
    attempts: u32,
) -> Result<(), LedgerError> {
    store
        .statement(
            "UPDATE errand SET standing = ?3, due_at = coalesce(?4, due_at), attempts = ?5,
                    lease_token = NULL, leased_until = NULL, again_at = NULL
             WHERE payment_id = ?1 AND kind = ?2",
        )?
        .execute((&leased.payment_id, leased.kind, standing, due_at, attempts))?;
    Ok(())
}

fn forget(store: &mut Store<'_>, leased: &Leased) -> Result<(), LedgerError> {
    store
        .statement("DELETE FROM errand WHERE payment_id = ?1 AND kind = ?2")?
        .execute((&leased.payment_id, leased.kind))?;
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
