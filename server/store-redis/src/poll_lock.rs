//! Which instance may query Khipu about a payment now.

use std::time::Duration;

use async_trait::async_trait;
use chasqui_payment::{PaymentId, Timestamp};
use chasqui_redis_topology::Partition;
use chasqui_store::{LONGEST_POLL_LOCK, PollLock, StoreError};

use super::redis_store::{RedisStore, ms};
use super::{keys, scripts};

#[async_trait]
impl PollLock for RedisStore {
    async fn try_lock_poll(
        &self,
        id: &PaymentId,
        _now: Timestamp,
        min_interval: Duration,
    ) -> Result<bool, StoreError> {
        let call = scripts::TRY_LOCK_POLL
            .call()
            .key(keys::poll_lock(id))
            .arg(ms(min_interval.min(LONGEST_POLL_LOCK)))
            .arg(ms(LONGEST_POLL_LOCK));
        self.run(Partition::of(id.as_str()), &call).await
    }
}
