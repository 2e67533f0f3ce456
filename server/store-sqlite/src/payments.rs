//! Payments: created, observed, read.

use async_trait::async_trait;
use chasqui_payment::{
    AccountName, Intent, JobKind, JobPriority, MerchantUrls, NewJob, Observation, Payment,
    PaymentId, PaymentReference, PaymentState, PaymentTerms, StatusReason, Timestamp, Version,
};
use chasqui_store::{Outcome, PaymentReader, PaymentStore, StoreError, StoredNotification};
use rusqlite::{OptionalExtension, Row};

use super::columns::{RowExt, damaged, state};
use super::error::DatabaseError;
use super::sqlite_store::SqliteStore;
use super::statement_cache::StatementCache;
use super::{intents, job_queue, notifications, status_events, timeline};

#[async_trait]
impl PaymentReader for SqliteStore {
    async fn payment(&self, id: &PaymentId) -> Result<Option<Payment>, StoreError> {
        let id = id.clone();
        self.read(move |statements| find(statements, &id)).await
    }

    async fn states(&self, ids: &[PaymentId]) -> Result<Vec<Option<PaymentState>>, StoreError> {
        let ids = ids.to_vec();
        self.read(move |statements| {
            let states = ids.iter().map(|id| find_state(statements, id));
            states
                .map(|found| Ok(found?.map(|(state, _)| state)))
                .collect()
        })
        .await
    }

    async fn notification(&self, id: &PaymentId) -> Result<Option<StoredNotification>, StoreError> {
        let id = id.clone();
        self.read(move |statements| notifications::find(statements, &id))
            .await
    }
}

#[async_trait]
impl PaymentStore for SqliteStore {
    async fn save_intent(&self, intent: &Intent) -> Result<(), StoreError> {
        let intent = intent.clone();
        self.write(move |statements| intents::save(statements, &intent))
            .await
    }

    async fn create(&self, payment: &Payment) -> Result<Outcome, StoreError> {
        let payment = payment.clone();
        self.write(move |statements| create(statements, &payment))
            .await
    }

    async fn observe(
        &self,
        id: &PaymentId,
        observation: &Observation,
    ) -> Result<Outcome, StoreError> {
        let (id, observation) = (id.clone(), observation.clone());
        self.write(move |statements| observe(statements, &id, &observation))
            .await
    }
}

fn create(
    statements: &mut StatementCache<'_>,
    payment: &Payment,
) -> Result<Outcome, DatabaseError> {
    let id = &payment.id;
    if let Some(reference) = &payment.reference {
        intents::check_account(statements, reference, &payment.account)?;
    }
    let known = match find(statements, id)? {
        Some(known) if known.account != payment.account => {
            if known.terms.is_some() {
                return Err(DatabaseError::WRONG_ACCOUNT);
            }
            delete(statements, id)?;
            None
        }
        known => known,
    };
    let merged = match &known {
        Some(known) => merged(known, payment),
        None => payment.clone(),
    };
    if known.as_ref() != Some(&merged) {
        save(statements, &merged)?;
    }
    if known.as_ref().is_none_or(|known| is_news(known, &merged)) {
        mark_changed(statements, id)?;
    }
    let is_first = timeline::record_created(statements, id, payment.created_at)?;
    if is_first && !merged.state.is_final() {
        let check = NewJob::check(merged.first_check_at(), JobPriority::Silent);
        job_queue::schedule_again(statements, id, &check)?;
    }
    if let Some(reference) = &payment.reference {
        intents::bind(statements, reference, id)?;
    }
    Ok(Outcome {
        before: known.map(|known| known.state),
        after: merged.state,
    })
}

pub(super) fn observe(
    statements: &mut StatementCache<'_>,
    id: &PaymentId,
    observation: &Observation,
) -> Result<Outcome, DatabaseError> {
    let before = match find_state(statements, id)? {
        Some((_, owner)) if owner != observation.account => {
            return Err(DatabaseError::WRONG_ACCOUNT);
        }
        found => found.map(|(state, _)| state),
    };
    let held = before.unwrap_or(PaymentState::created(observation.at));
    let after = match &observation.update {
        Some(update) => held.updated(update, observation.at),
        None => held,
    };
    let outcome = Outcome { before, after };

    if before.is_none() {
        save(statements, &without_terms(id, observation, after))?;
    } else if outcome.changed() {
        save_state(statements, id, &after)?;
    }
    if outcome.changed() {
        mark_changed(statements, id)?;
    }
    let is_new_notification = match &observation.notification {
        Some(notification) => notifications::save(statements, id, notification, observation.at)?,
        None => false,
    };
    if let Some(update) = &observation.update
        && (outcome.changed() || is_new_notification)
    {
        let accepted = outcome.changed();
        timeline::record_observed(statements, id, observation, update.version, accepted)?;
    }
    let is_event = after.version != held.version;
    schedule(statements, id, observation, &outcome, is_event)?;
    Ok(outcome)
}

fn schedule(
    statements: &mut StatementCache<'_>,
    id: &PaymentId,
    observation: &Observation,
    outcome: &Outcome,
    is_event: bool,
) -> Result<(), DatabaseError> {
    let is_final = outcome.after.is_final();
    let mut cross_check = None;
    for job in &observation.jobs {
        match job.kind {
            JobKind::Check if !is_final => {
                job_queue::schedule_again(statements, id, job)?;
            }
            JobKind::Check if job.priority == JobPriority::CrossCheck => {
                cross_check = Some(job.due_at);
            }
            JobKind::Delivery if outcome.after.version == Version::CONFIRMED => {
                job_queue::schedule_delivery(statements, id, job.due_at)?;
            }
            JobKind::Events if is_event => {
                status_events::add(statements, id, &outcome.after)?;
                job_queue::schedule_again(statements, id, job)?;
            }
            JobKind::Check | JobKind::Delivery | JobKind::Events => {}
        }
    }
    if is_final && outcome.changed() {
        job_queue::end_checks(statements, id, cross_check)?;
    }
    Ok(())
}

/// The payment's state and account.
pub(super) fn find_state(
    statements: &mut StatementCache<'_>,
    id: &PaymentId,
) -> Result<Option<(PaymentState, AccountName)>, DatabaseError> {
    let found = statements
        .prepare("SELECT status, status_at, late, reason, account FROM payment WHERE id = ?1")?
        .query_row([id.as_str()], |row| {
            Ok((state(row)?, row.value("account")?))
        })
        .optional()?;
    Ok(found)
}

fn find(
    statements: &mut StatementCache<'_>,
    id: &PaymentId,
) -> Result<Option<Payment>, DatabaseError> {
    let payment = statements
        .prepare(
            "SELECT status, status_at, late, reason, id, account, amount, currency, transaction_id,
                    return_url, cancel_url, notify_url, reference, payment_url, expires_at, created_at
             FROM payment WHERE id = ?1",
        )?
        .query_row([id.as_str()], payment)
        .optional()?;
    Ok(payment)
}

/// What is known stays, what was unknown comes from the new payment, the higher state counts.
fn merged(known: &Payment, new: &Payment) -> Payment {
    fn either<T: Clone>(known: &Option<T>, new: &Option<T>) -> Option<T> {
        known.as_ref().or(new.as_ref()).cloned()
    }
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
        // A payment whose notification arrived first was created before that.
        created_at: known.created_at.min(new.created_at),
        state: known.state.raised_to(new.state),
    }
}

/// Whether a reader of the account's changes should see the payment again.
fn is_news(before: &Payment, after: &Payment) -> bool {
    before.state.version != after.state.version || before.terms.is_some() != after.terms.is_some()
}

/// By SQLite's clock, and later than every change of the account before: one thread commits, so that a reader sees changes in
/// this order.
fn mark_changed(statements: &mut StatementCache<'_>, id: &PaymentId) -> Result<(), DatabaseError> {
    statements.execute(
        "UPDATE payment SET updated_at = max(CAST(unixepoch('subsec') * 1000 AS INTEGER),
             1 + (SELECT max(updated_at) FROM payment AS other WHERE other.account = payment.account))
         WHERE id = ?1",
        [id.as_str()],
    )?;
    Ok(())
}

fn without_terms(id: &PaymentId, observation: &Observation, state: PaymentState) -> Payment {
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

/// Deletes a payment that another account's notification began. Khipu's answer decides whose the payment is.
fn delete(statements: &mut StatementCache<'_>, id: &PaymentId) -> Result<(), DatabaseError> {
    for statement in [
        "DELETE FROM job WHERE payment_id = ?1",
        "DELETE FROM status_event WHERE payment_id = ?1",
        "DELETE FROM record WHERE payment_id = ?1",
        "DELETE FROM notification WHERE payment_id = ?1",
        "DELETE FROM payment WHERE id = ?1",
    ] {
        statements.execute(statement, [id.as_str()])?;
    }
    Ok(())
}

fn save_state(
    statements: &mut StatementCache<'_>,
    id: &PaymentId,
    state: &PaymentState,
) -> Result<(), DatabaseError> {
    statements.execute(
        "UPDATE payment SET status = ?2, status_at = ?3, late = ?4, reason = ?5 WHERE id = ?1",
        (
            id.as_str(),
            state.version.number(),
            state.at.unix_ms(),
            state.late,
            state.reason.map(StatusReason::as_str),
        ),
    )?;
    Ok(())
}

fn save(statements: &mut StatementCache<'_>, payment: &Payment) -> Result<(), DatabaseError> {
    let terms = payment.terms.as_ref();
    statements.execute(
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
        (
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
        ),
    )?;
    Ok(())
}

fn payment(row: &Row<'_>) -> rusqlite::Result<Payment> {
    let terms = match (row.value("amount")?, row.value("currency")?) {
        (Some(amount), Some(currency)) => Some(PaymentTerms {
            amount,
            currency,
            transaction_id: row.get("transaction_id")?,
        }),
        (None, None) => None,
        _ => return Err(damaged("PaymentTerms").into()),
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
        state: state(row)?,
    })
}
