//! What leads to a payment from other partitions: its intent and its transaction's index.

use std::sync::Arc;

use super::redis_store::{RedisStore, ms};
use super::{keys, scripts};
use chasqui_payment::{AccountName, PaymentId, PaymentReference};

/// What leads to a payment that has become final is kept no longer than the payment. In the background: where it fails, or
/// too many expire at once, a reference is only kept longer.
pub(super) fn expire_references(
    store: &RedisStore,
    id: &PaymentId,
    account: &AccountName,
    reference: Option<String>,
    transaction_id: Option<String>,
) {
    let intent = reference.and_then(|text| PaymentReference::parse(&text).ok());
    let intent = intent.map(|reference| (&*scripts::EXPIRE_INTENT, keys::intent(&reference)));
    let index = transaction_id.map(|name| {
        (
            &*scripts::EXPIRE_TRANSACTION,
            keys::transaction(account, &name),
        )
    });
    let calls: Vec<_> = intent
        .into_iter()
        .chain(index)
        .map(|(script, (partition, key))| {
            let call = script.call().key(key).arg(id.as_str());
            (partition, call.arg(ms(store.retention.payments)))
        })
        .collect();
    if calls.is_empty() {
        return;
    }
    let Ok(permit) = Arc::clone(&store.expiring).try_acquire_owned() else {
        return;
    };
    let (redis, id) = (Arc::clone(&store.redis), id.clone());
    tokio::spawn(async move {
        let replies = redis.run_all(&calls).await;
        for error in replies.into_iter().filter_map(Result::err) {
            tracing::debug!(payment_id = %id, %error, "a reference to a final payment does not expire with it");
        }
        drop(permit);
    });
}
