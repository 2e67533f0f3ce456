//! The pace of calls to Khipu, in memory.

use std::sync::PoisonError;
use std::time::Duration;

use async_trait::async_trait;
use chasqui_payment::{AccountName, Timestamp};
use chasqui_store::{CallBucket, CallPacer, StoreError};

use super::sqlite_store::SqliteStore;

#[async_trait]
impl CallPacer for SqliteStore {
    async fn reserve_call(
        &self,
        account: &AccountName,
        now: Timestamp,
        per_second: u32,
    ) -> Result<Duration, StoreError> {
        Ok(with_bucket(self, account, |bucket| {
            bucket.reserve(now.since(Timestamp::default()), per_second)
        }))
    }

    async fn pause_calls(
        &self,
        account: &AccountName,
        now: Timestamp,
        pause: Duration,
    ) -> Result<(), StoreError> {
        let now = now.since(Timestamp::default());
        with_bucket(self, account, |bucket| bucket.pause(now, pause));
        Ok(())
    }
}

fn with_bucket<T>(
    store: &SqliteStore,
    account: &AccountName,
    work: impl FnOnce(&mut CallBucket) -> T,
) -> T {
    // A bucket stays consistent even if a thread panicked while it held the lock.
    let buckets = store.call_buckets.lock();
    let mut buckets = buckets.unwrap_or_else(PoisonError::into_inner);
    work(buckets.entry(account.clone()).or_default())
}
