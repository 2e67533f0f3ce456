//! What was meant before Khipu was called.

use rusqlite::{OptionalExtension, Row};

use super::columns::RowExt;
use super::error::DatabaseError;
use super::statement_cache::StatementCache;
use chasqui_payment::{AccountName, Intent, MerchantUrls, PaymentId, PaymentReference};

pub(super) fn keep(db: &mut StatementCache<'_>, intent: &Intent) -> Result<(), DatabaseError> {
    check_account(db, &intent.reference, &intent.account)?;
    db.statement(
        "INSERT INTO intent
             (reference, account, return_url, cancel_url, notify_url, created_at, payment_id)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT (reference) DO NOTHING",
    )?
    .execute((
        intent.reference.as_str(),
        intent.account.as_str(),
        &intent.urls.return_url,
        &intent.urls.cancel_url,
        &intent.urls.notify_url,
        intent.created_at.unix_ms(),
        intent.payment_id.as_ref().map(PaymentId::as_str),
    ))?;
    Ok(())
}

pub(super) fn find(
    db: &mut StatementCache<'_>,
    reference: &PaymentReference,
) -> Result<Option<Intent>, DatabaseError> {
    let intent = db
        .statement(
            "SELECT reference, account, return_url, cancel_url, notify_url, created_at, payment_id
             FROM intent WHERE reference = ?1",
        )?
        .query_row([reference.as_str()], from_row)
        .optional()?;
    Ok(intent)
}

/// `WrongAccount` if the reference is another account's. One that nobody intended is anybody's.
pub(super) fn check_account(
    db: &mut StatementCache<'_>,
    reference: &PaymentReference,
    account: &AccountName,
) -> Result<(), DatabaseError> {
    let owner: Option<AccountName> = db
        .statement("SELECT account FROM intent WHERE reference = ?1")?
        .query_row([reference.as_str()], |row| row.value(0))
        .optional()?;
    match owner {
        Some(owner) if owner != *account => Err(DatabaseError::WrongAccount),
        _ => Ok(()),
    }
}

/// The first payment that came of the intent stays.
pub(super) fn bind(
    db: &mut StatementCache<'_>,
    reference: &PaymentReference,
    id: &PaymentId,
) -> Result<(), DatabaseError> {
    db.statement("UPDATE intent SET payment_id = ?2 WHERE reference = ?1 AND payment_id IS NULL")?
        .execute((reference.as_str(), id.as_str()))?;
    Ok(())
}

fn from_row(row: &Row<'_>) -> rusqlite::Result<Intent> {
    Ok(Intent {
        reference: row.value("reference")?,
        account: row.value("account")?,
        urls: MerchantUrls {
            return_url: row.get("return_url")?,
            cancel_url: row.get("cancel_url")?,
            notify_url: row.get("notify_url")?,
        },
        created_at: row.value("created_at")?,
        payment_id: row.value("payment_id")?,
    })
}
