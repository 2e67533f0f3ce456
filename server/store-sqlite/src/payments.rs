//! Payments: created, observed, read.

use rusqlite::{OptionalExtension, Row};

use super::columns::RowExt;
use super::error::DatabaseError;
use super::statement_cache::StatementCache;
use super::{intents, job_queue, notifications, timeline};
use chasqui_payment::{
    AccountName, JobKind, MerchantUrls, Observation, Payment, PaymentId, PaymentReference,
    PaymentState, PaymentTerms, Priority, StatusReason, Timestamp, Version,
};
use chasqui_store::{BY_TRANSACTION_LIMIT, Outcome};

pub(super) fn create(
    db: &mut StatementCache<'_>,
    payment: &Payment,
) -> Result<Outcome, DatabaseError> {
    if let Some(reference) = &payment.reference {
        intents::check_account(db, reference, &payment.account)?;
    }
    let known = match find(db, &payment.id)? {
        Some(known) if known.account != payment.account => {
            if known.terms.is_some() {
                return Err(DatabaseError::WrongAccount);
            }
            forget(db, &payment.id)?;
            None
        }
        known => known,
    };
    let before = known.as_ref().map(|known| known.state);
    let merged = match &known {
        Some(known) => filled_in(known, payment),
        None => payment.clone(),
    };
    if known.as_ref() != Some(&merged) {
        save(db, &merged)?;
    }
    let is_first = timeline::created(db, &payment.id, payment.created_at)?;
    if is_first && !merged.state.is_final() {
        let due_at = merged.first_check_at();
        job_queue::schedule_check(db, &payment.id, due_at, Priority::Silent)?;
    }
    if let Some(reference) = &payment.reference {
        intents::bind(db, reference, &payment.id)?;
    }
    Ok(Outcome {
        before,
        after: merged.state,
    })
}

pub(super) fn observe(
    db: &mut StatementCache<'_>,
    id: &PaymentId,
    observation: &Observation,
) -> Result<Outcome, DatabaseError> {
    let before = owned_state(db, id, &observation.account)?;
    let start = before.unwrap_or(PaymentState::created(observation.at));
    let after = match &observation.update {
        Some(update) => start.updated(update, observation.at),
        None => start,
    };
    let outcome = Outcome { before, after };

    if before.is_none() {
        save(db, &begun(id, observation, after))?;
    } else if outcome.changed() {
        move_on(db, id, &after)?;
    }
    let is_copy = match &observation.notification {
        Some(notification) => !notifications::keep(db, id, notification, observation.at)?,
        None => false,
    };
    if let Some(update) = &observation.update {
        let is_notified = observation.notification.is_some() && !is_copy;
        if outcome.changed() || is_notified {
            timeline::observed(db, id, observation, update.version, outcome.changed())?;
        }
    }
    let is_over = after.is_final();
    let mut cross_check = None;
    for job in &observation.jobs {
        match job.kind {
            JobKind::Check if !is_over => {
                job_queue::schedule_check(db, id, job.due_at, job.priority)?;
            }
            JobKind::Check if job.priority == Priority::CrossCheck => {
                cross_check = Some(job.due_at);
            }
            JobKind::Delivery if after.version == Version::CONFIRMED => {
                job_queue::schedule_delivery(db, id, job.due_at)?;
            }
            JobKind::Check | JobKind::Delivery => {}
        }
    }
    if is_over && outcome.changed() {
        job_queue::end_checks(db, id, cross_check)?;
    }
    Ok(outcome)
}

pub(super) fn state(
    db: &mut StatementCache<'_>,
    id: &PaymentId,
) -> Result<Option<PaymentState>, DatabaseError> {
    let state = db
        .statement("SELECT status, status_at, late, reason FROM payment WHERE id = ?1")?
        .query_row([id.as_str()], |row| state_from(row, 0))
        .optional()?;
    Ok(state)
}

pub(super) fn find(
    db: &mut StatementCache<'_>,
    id: &PaymentId,
) -> Result<Option<Payment>, DatabaseError> {
    let payment = db
        .statement(
            "SELECT status, status_at, late, reason, id, account, amount, currency, transaction_id,
                    return_url, cancel_url, notify_url, reference, payment_url, expires_at, created_at
             FROM payment WHERE id = ?1",
        )?
        .query_row([id.as_str()], from_row)
        .optional()?;
    Ok(payment)
}

pub(super) fn by_transaction(
    db: &mut StatementCache<'_>,
    account: &AccountName,
    transaction_id: &str,
) -> Result<Vec<PaymentId>, DatabaseError> {
    let limit = i64::try_from(BY_TRANSACTION_LIMIT).unwrap_or(i64::MAX);
    let ids = db
        .statement(
            "SELECT id FROM payment WHERE account = ?1 AND transaction_id = ?2
             ORDER BY created_at DESC, id DESC LIMIT ?3",
        )?
        .query_map((account.as_str(), transaction_id, limit), |row| {
            row.value(0)
        })?
        .collect::<Result<_, _>>()?;
    Ok(ids)
}

/// What is known stays, what was unknown comes from the newcomer, the state is merged.
fn filled_in(known: &Payment, new: &Payment) -> Payment {
    fn either<T: Clone>(known: &Option<T>, new: &Option<T>) -> Option<T> {
        known.as_ref().or(new.as_ref()).cloned()
    }
    // Of two states the higher: a payment is made or adopted, never moved, by this.
    let state = match new.state.version > known.state.version {
        true => new.state,
        false => known.state,
    };
    Payment {
        id: known.id.clone(),
        account: known.account.clone(),
        terms: either(&known.terms, &new.terms),
        urls: MerchantUrls {
            return_url: either(&known.urls.return_url, &new.urls.return_url),
            cancel_url: either(&known.urls.cancel_url, &new.urls.cancel_url),
            notify_url: either(&known.urls.notify_url, &new.urls.notify_url),
        },
        reference: either(&known.reference, &new.reference),
        payment_url: either(&known.payment_url, &new.payment_url),
        expires_at: either(&known.expires_at, &new.expires_at),
        // A payment that began with a notification was created before that.
        created_at: known.created_at.min(new.created_at),
        state,
    }
}

fn begun(id: &PaymentId, observation: &Observation, state: PaymentState) -> Payment {
    Payment {
        id: id.clone(),
        account: observation.account.clone(),
        terms: None,
        urls: MerchantUrls::default(),
        reference: None,
        payment_url: None,
        expires_at: None,
        created_at: observation.at,
        state,
    }
}

/// What another account's notification left of a payment that was unknown here. It owns nothing: Khipu's answer says whose
/// the payment is, and what the other account sent about it goes.
fn forget(db: &mut StatementCache<'_>, id: &PaymentId) -> Result<(), DatabaseError> {
    for statement in [
        "DELETE FROM job WHERE payment_id = ?1",
        "DELETE FROM record WHERE payment_id = ?1",
        "DELETE FROM notification WHERE payment_id = ?1",
        "DELETE FROM payment WHERE id = ?1",
    ] {
        db.statement(statement)?.execute([id.as_str()])?;
    }
    Ok(())
}

/// `WrongAccount` if the payment is another account's.
fn owned_state(
    db: &mut StatementCache<'_>,
    id: &PaymentId,
    account: &AccountName,
) -> Result<Option<PaymentState>, DatabaseError> {
    let found = db
        .statement("SELECT account, status, status_at, late, reason FROM payment WHERE id = ?1")?
        .query_row([id.as_str()], |row| {
            Ok((row.value::<AccountName>(0)?, state_from(row, 1)?))
        })
        .optional()?;
    match found {
        Some((owner, _)) if owner != *account => Err(DatabaseError::WrongAccount),
        Some((_, state)) => Ok(Some(state)),
        None => Ok(None),
    }
}

fn move_on(
    db: &mut StatementCache<'_>,
    id: &PaymentId,
    state: &PaymentState,
) -> Result<(), DatabaseError> {
    db.statement(
        "UPDATE payment SET status = ?2, status_at = ?3, late = ?4, reason = ?5 WHERE id = ?1",
    )?
    .execute((
        id.as_str(),
        state.version.number(),
        state.at.unix_ms(),
        state.late,
        state.reason.map(StatusReason::as_str),
    ))?;
    Ok(())
}

fn save(db: &mut StatementCache<'_>, payment: &Payment) -> Result<(), DatabaseError> {
    let terms = payment.terms.as_ref();
    db.statement(
        "INSERT INTO payment
             (id, account, amount, currency, transaction_id, return_url, cancel_url, notify_url,
              reference, payment_url, expires_at, created_at, status, status_at, late, reason)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16)
             ON CONFLICT (id) DO UPDATE SET
              amount = excluded.amount, currency = excluded.currency,
              transaction_id = excluded.transaction_id, return_url = excluded.return_url,
              cancel_url = excluded.cancel_url, notify_url = excluded.notify_url,
              reference = excluded.reference, payment_url = excluded.payment_url,
              expires_at = excluded.expires_at, created_at = excluded.created_at,
              status = excluded.status, status_at = excluded.status_at,
              late = excluded.late, reason = excluded.reason",
    )?
    .execute((
        payment.id.as_str(),
        payment.account.as_str(),
        terms.map(|terms| terms.amount.to_string()),
        terms.map(|terms| terms.currency.as_str()),
        terms.and_then(|terms| terms.transaction_id.as_deref()),
        &payment.urls.return_url,
        &payment.urls.cancel_url,
        &payment.urls.notify_url,
        payment.reference.as_ref().map(PaymentReference::as_str),
        &payment.payment_url,
        payment.expires_at.map(Timestamp::unix_ms),
        payment.created_at.unix_ms(),
        payment.state.version.number(),
        payment.state.at.unix_ms(),
        payment.state.late,
        payment.state.reason.map(StatusReason::as_str),
    ))?;
    Ok(())
}

fn from_row(row: &Row<'_>) -> rusqlite::Result<Payment> {
    let terms = match (row.value("amount")?, row.value("currency")?) {
        (Some(amount), Some(currency)) => Some(PaymentTerms {
            amount,
            currency,
            transaction_id: row.get("transaction_id")?,
        }),
        _ => None,
    };
    Ok(Payment {
        id: row.value("id")?,
        account: row.value("account")?,
        terms,
        urls: MerchantUrls {
            return_url: row.get("return_url")?,
            cancel_url: row.get("cancel_url")?,
            notify_url: row.get("notify_url")?,
        },
        reference: row.value("reference")?,
        payment_url: row.get("payment_url")?,
        expires_at: row.value("expires_at")?,
        created_at: row.value("created_at")?,
        state: state_from(row, 0)?,
    })
}

/// From the four columns that begin at `first`.
fn state_from(row: &Row<'_>, first: usize) -> rusqlite::Result<PaymentState> {
    Ok(PaymentState {
        version: row.value(first)?,
        at: row.value(first + 1)?,
        late: row.get(first + 2)?,
        reason: row.value(first + 3)?,
    })
}
