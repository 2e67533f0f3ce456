//! Payers' data is erased, and then from the append-only file.

use async_trait::async_trait;
use chasqui_payment::{AccountName, PaymentId, Timestamp};
use chasqui_redis_topology::{NodeAddress, Partition};
use chasqui_store::{Erasure, PayerData, StoreError};
use redis::cmd;

use super::payment_calls::writing;
use super::redis_store::RedisStore;
use super::{replies, scripts};

#[async_trait]
impl PayerData for RedisStore {
    /// A replica has an append-only file of its own, which Redis rewrites as it grows.
    async fn erase(
        &self,
        account: &AccountName,
        id: &PaymentId,
        at: Timestamp,
    ) -> Result<Erasure, StoreError> {
        let (partition, call) = writing(self, &scripts::ERASE, id);
        let call = call.arg(account.as_str()).arg(at.unix_ms());
        let word: String = replies::unless_foreign(self.run(partition, &call).await?)?;
        match word.as_str() {
            replies::ERASED => Ok(Erasure::Erased {
                warning: rewrite_log(self, partition).await.err(),
            }),
            replies::ALREADY_OPEN => Ok(Erasure::DeliveryOpen),
            replies::UNKNOWN => Ok(Erasure::UnknownPayment),
            _ => Err(replies::damaged("erasure")),
        }
    }
}

/// Starts the rewrite on the partition's server. `Err` says why it did not start, and what to do.
async fn rewrite_log(store: &RedisStore, partition: Partition) -> Result<(), String> {
    let owner = store.redis.owners().borrow()[partition.index()].clone();
    let reason = match &owner {
        Some(address) => match start_rewrite(store, address).await {
            None => return Ok(()),
            Some(reason) => format!("redis at {address}: {reason}"),
        },
        None => "no redis server holds the payment now".to_owned(),
    };
    Err(format!(
        "{reason}: its append-only file holds what was erased until its next rewrite, run BGREWRITEAOF there"
    ))
}

/// Why it did not start.
async fn start_rewrite(store: &RedisStore, address: &NodeAddress) -> Option<String> {
    match store.redis.send_to(address, &cmd("BGREWRITEAOF")).await {
        Ok(Some(_)) => None,
        Ok(None) => Some(
            "BGREWRITEAOF is refused, because a rewrite is under way or the user may not run it"
                .to_owned(),
        ),
        Err(error) => Some(error.to_string()),
    }
}
