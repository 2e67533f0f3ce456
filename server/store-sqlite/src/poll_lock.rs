//! Which payments may be polled now.

use std::time::Duration;

use async_trait::async_trait;
use chasqui_payment::{PaymentId, Timestamp};
use chasqui_store::{PollLock, StoreError};

use super::sqlite_store::SqliteStore;

#[async_trait]
impl PollLock for SqliteStore {
    async fn try_lock_poll(
        &self,
        id: &PaymentId,
        now: Timestamp,
        min_interval: Duration,
    ) -> Result<bool, StoreError> {
        Ok(self.recent_polls.try_lock(id, now, min_interval))
    }
}
