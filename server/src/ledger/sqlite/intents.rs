//! What was meant before Khipu was called.

use rusqlite::{OptionalExtension, Row};

use super::store::Store;
use crate::ledger::LedgerError;
use crate::payment::{AccountName, Intent, MerchantUrls, PaymentId, Ref};

pub(super) fn keep(store: &mut Store<'_>, intent: &Intent) -> Result<(), LedgerError> {
    check_account(store, &intent.reference, &intent.account)?;
    store
        .statement(
            "INSERT INTO intent
             (reference, account, return_url, cancel_url, notify_url, created_at, payment_id)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT (reference) DO NOTHING",
        )?
        .execute((
            &intent.reference,
            &intent.account,
            &intent.urls.return_url,
            &intent.urls.cancel_url,
            &intent.urls.notify_url,
            intent.created_at,
            &intent.payment_id,
        ))?;
    Ok(())
}

pub(super) fn find(store: &mut Store<'_>, reference: &Ref) -> Result<Option<Intent>, LedgerError> {
    let intent = store
        .statement(
            "SELECT reference, account, return_url, cancel_url, notify_url, created_at, payment_id
             FROM intent WHERE reference = ?1",
        )?
        .query_row([reference], from_row)
        .optional()?;
    Ok(intent)
}

/// `Foreign` if the reference is another account's. One that nobody intended is anybody's.
pub(super) fn check_account(
    store: &mut Store<'_>,
    reference: &Ref,
    account: &AccountName,
) -> Result<(), LedgerError> {
    let owner: Option<AccountName> = store
        .statement("SELECT account FROM intent WHERE reference = ?1")?
        .query_row([reference], |row| row.get(0))
        .optional()?;
    match owner {
        Some(owner) if owner != *account => Err(LedgerError::Foreign),
        _ => Ok(()),
    }
}

/// The first payment that came of the intent stays.
pub(super) fn bind(
    store: &mut Store<'_>,
    reference: &Ref,
    id: &PaymentId,
) -> Result<(), LedgerError> {
    store
        .statement("UPDATE intent SET payment_id = ?2 WHERE reference = ?1 AND payment_id IS NULL")?
        .execute((reference, id))?;
    Ok(())
}

fn from_row(row: &Row<'_>) -> rusqlite::Result<Intent> {
    Ok(Intent {
        reference: row.get("reference")?,
        account: row.get("account")?,
        urls: MerchantUrls {
            return_url: row.get("return_url")?,
            cancel_url: row.get("cancel_url")?,
            notify_url: row.get("notify_url")?,
        },
        created_at: row.get("created_at")?,
        payment_id: row.get("payment_id")?,
    })
}
