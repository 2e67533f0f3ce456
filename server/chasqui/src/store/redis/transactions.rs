//! Payments by what their merchant calls them: for each transaction an index, in a partition of its own.
//!
//! Written before the payment. An entry whose payment never came to be, is of another transaction after all, or has
//! expired, leads nowhere and is passed over.

use std::cmp::Reverse;
use std::sync::LazyLock;

use super::{RedisStore, fields, ms, names, replies, retention};
use crate::payment::{AccountName, Payment, PaymentId};
use crate::redis::{Partition, Script};
use crate::store::{BY_TRANSACTION_LIMIT, StoreError};

static INDEX: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("index.lua")));
static INDEXED: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("indexed.lua")));

/// The most entries of one index; the oldest beyond it are dropped. More than are shown, because some lead nowhere.
const INDEXED_LIMIT: usize = 2 * BY_TRANSACTION_LIMIT;

/// Nothing to do for a payment without a transaction id.
pub(super) async fn keep(store: &RedisStore, payment: &Payment) -> Result<(), StoreError> {
    let terms = payment.terms.as_ref();
    let Some(transaction_id) = terms.and_then(|terms| terms.transaction_id.as_deref()) else {
        return Ok(());
    };
    let (partition, key) = place(&payment.account, transaction_id);
    let call = INDEX
        .call()
        .key(key)
        .arg(payment.id.as_str())
        .arg(payment.created_at.unix_ms())
        .arg(INDEXED_LIMIT)
        .arg(ms(retention::of_names(store)));
    store.redis.run_durably(partition, &call).await?;
    Ok(())
}

pub(super) async fn find(
    store: &RedisStore,
    account: &AccountName,
    transaction_id: &str,
) -> Result<Vec<PaymentId>, StoreError> {
    let (partition, key) = place(account, transaction_id);
    let indexed = store.redis.run(partition, &INDEXED.call().key(key)).await?;
    let ids = replies::read::<Vec<String>>(indexed)?
        .iter()
        .map(|id| PaymentId::parse(id).map_err(|_| replies::damaged("payment id")))
        .collect::<Result<Vec<_>, _>>()?;

    let asked = ["account", "transaction_id", "created_at"];
    let rows = fields::of_payments(store, &ids, &asked).await?;
    let mut found = Vec::new();
    for (id, row) in ids.into_iter().zip(rows) {
        match row.as_deref() {
            Some([Some(owner), Some(its), Some(created_at)])
                if owner == account.as_str() && its == transaction_id =>
            {
                found.push((Reverse(replies::moment(created_at)?), Reverse(id)));
            }
            _ => {}
        }
    }
    found.sort_unstable();
    let newest = found.into_iter().take(BY_TRANSACTION_LIMIT);
    Ok(newest.map(|(_, Reverse(id))| id).collect())
}

pub(super) fn place(account: &AccountName, transaction_id: &str) -> (Partition, String) {
    let name = names::digest(&[account.as_str(), transaction_id]);
    let partition = Partition::of(&name);
    (partition, partition.key("transaction", &name))
}
