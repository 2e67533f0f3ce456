//! How many calls are made to Khipu in an account's name, by all instances together.

use std::time::Duration;

use async_trait::async_trait;
use chasqui_payment::{AccountName, Timestamp};
use chasqui_store::{CallBucket, CallPacer, StoreError};

use super::redis_store::{RedisStore, ms};
use super::{keys, scripts};

/// Longer than the burst: a bucket that expires after it makes no difference.
const BUCKET_KEPT: Duration = Duration::from_secs(2);

#[async_trait]
impl CallPacer for RedisStore {
    /// The script counts in microseconds: at a thousand a second a millisecond is a whole interval.
    async fn reserve_call(
        &self,
        account: &AccountName,
        _now: Timestamp,
        per_second: u32,
    ) -> Result<Duration, StoreError> {
        let (partition, key) = keys::call_bucket(account);
        let call = scripts::RESERVE_CALL
            .call()
            .key(key)
            .arg(us(CallBucket::interval(per_second)))
            .arg(us(CallBucket::burst(per_second)))
            .arg(us(CallBucket::HORIZON))
            .arg(us(BUCKET_KEPT));
        let wait = self.run(partition, &call).await?;
        Ok(Duration::from_micros(wait))
    }

    async fn pause_calls(
        &self,
        account: &AccountName,
        _now: Timestamp,
        pause: Duration,
    ) -> Result<(), StoreError> {
        let (partition, key) = keys::call_bucket(account);
        let call = scripts::PAUSE_CALLS
            .call()
            .key(key)
            .arg(us(pause))
            .arg(ms(pause.saturating_add(BUCKET_KEPT)));
        self.run(partition, &call).await
    }
}

fn us(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
