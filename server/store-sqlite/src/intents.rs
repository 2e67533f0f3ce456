//! What a merchant asked for, recorded before Khipu is called.

use chasqui_payment::{AccountName, Intent, MerchantUrls, PaymentId, PaymentReference};
use rusqlite::OptionalExtension;

use super::columns::RowExt;
use super::error::DatabaseError;
use super::statement_cache::StatementCache;

pub(super) fn save(
    statements: &mut StatementCache<'_>,
    intent: &Intent,
) -> Result<(), DatabaseError> {
    check_account(statements, &intent.reference, &intent.account)?;
    statements.execute(
        "INSERT INTO intent
         (reference, account, return_url, cancel_url, notify_url, created_at, payment_id)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT (reference) DO NOTHING",
        (
            intent.reference.as_str(),
            intent.account.as_str(),
            &intent.urls.return_url,
            &intent.urls.cancel_url,
            &intent.urls.notify_url,
            intent.created_at.unix_ms(),
            intent.payment_id.as_ref().map(PaymentId::as_str),
        ),
    )?;
    Ok(())
}

pub(super) fn find(
    statements: &mut StatementCache<'_>,
    reference: &PaymentReference,
) -> Result<Option<Intent>, DatabaseError> {
    let intent = statements
        .prepare(
            "SELECT account, return_url, cancel_url, notify_url, created_at, payment_id
             FROM intent WHERE reference = ?1",
        )?
        .query_row([reference.as_str()], |row| {
            Ok(Intent {
                reference: reference.clone(),
                account: row.value("account")?,
                urls: MerchantUrls {
                    return_url: row.get("return_url")?,
                    cancel_url: row.get("cancel_url")?,
                    notify_url: row.get("notify_url")?,
                },
                created_at: row.value("created_at")?,
                payment_id: row.value("payment_id")?,
            })
        })
        .optional()?;
    Ok(intent)
}

/// `WrongAccount` if the reference belongs to another account. One without an intent belongs to none.
pub(super) fn check_account(
    statements: &mut StatementCache<'_>,
    reference: &PaymentReference,
    account: &AccountName,
) -> Result<(), DatabaseError> {
    let owner: Option<AccountName> = statements
        .prepare("SELECT account FROM intent WHERE reference = ?1")?
        .query_row([reference.as_str()], |row| row.value(0))
        .optional()?;
    match owner {
        Some(owner) if owner != *account => Err(DatabaseError::WRONG_ACCOUNT),
        _ => Ok(()),
    }
}

/// An intent that is bound already keeps its payment.
pub(super) fn bind(
    statements: &mut StatementCache<'_>,
    reference: &PaymentReference,
    id: &PaymentId,
) -> Result<(), DatabaseError> {
    statements.execute(
        "UPDATE intent SET payment_id = ?2 WHERE reference = ?1 AND payment_id IS NULL",
        (reference.as_str(), id.as_str()),
    )?;
    Ok(())
}
