//! Payments by their merchant's transaction id: an index for each, in a partition of its own.
//!
//! Written before the payment. An entry leads nowhere, and is passed over, where its payment was never created, belongs to
//! another transaction or has expired.

use std::cmp::Reverse;

use chasqui_payment::{AccountName, Payment, PaymentId};
use chasqui_store::{BY_TRANSACTION_LIMIT, StoreError};

use super::redis_store::{RedisStore, ms};
use super::{fields, keys, replies, scripts};

/// The most entries of one index; the oldest beyond it are dropped. More than are shown, because some lead nowhere.
const INDEXED_LIMIT: usize = 2 * BY_TRANSACTION_LIMIT;

/// Nothing to do for a payment without a transaction id.
pub(super) async fn index(store: &RedisStore, payment: &Payment) -> Result<(), StoreError> {
    let terms = payment.terms.as_ref();
    let Some(transaction_id) = terms.and_then(|terms| terms.transaction_id.as_deref()) else {
        return Ok(());
    };
    let (partition, key) = keys::transaction(&payment.account, transaction_id);
    let call = scripts::INDEX_TRANSACTION
        .call()
        .key(key)
        .arg(payment.id.as_str())
        .arg(payment.created_at.unix_ms())
        .arg(INDEXED_LIMIT)
        .arg(ms(store.retention.references()));
    store.run(partition, &call).await
}

pub(super) async fn find(
    store: &RedisStore,
    account: &AccountName,
    transaction_id: &str,
) -> Result<Vec<PaymentId>, StoreError> {
    let (partition, key) = keys::transaction(account, transaction_id);
    let indexed: Vec<String> = store
        .run(partition, &scripts::BY_TRANSACTION.call().key(key))
        .await?;
    let ids = indexed
        .iter()
        .map(|id| replies::payment_id(id))
        .collect::<Result<Vec<_>, _>>()?;

    let rows = fields::of_payments(store, &ids, "account transaction_id created_at").await?;
    let mut found = Vec::new();
    for (id, row) in ids.into_iter().zip(rows) {
        if let Some([Some(owner), Some(its), Some(created_at)]) = row.as_deref()
            && owner == account.as_str()
            && its == transaction_id
        {
            found.push((Reverse(replies::timestamp(created_at)?), Reverse(id)));
        }
    }
    found.sort_unstable();
    let newest = found.into_iter().take(BY_TRANSACTION_LIMIT);
    Ok(newest.map(|(_, Reverse(id))| id).collect())
}
