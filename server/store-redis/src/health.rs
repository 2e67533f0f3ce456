//! Whether the store can be written to: a key written in every partition.

use std::sync::LazyLock;
use std::time::Duration;

use async_trait::async_trait;

use super::redis_store::{RedisStore, ms};
use super::{keys, scripts};
use chasqui_redis_topology::{Partition, Script};
use chasqui_store::{Store, StoreError};

static HEALTH: LazyLock<Script> =
    LazyLock::new(|| scripts::script(include_str!("../scripts/health.lua")));

/// It is never read.
const KEPT: Duration = Duration::from_secs(60);

#[async_trait]
impl Store for RedisStore {
    /// In every partition: a cluster that has lost a master still serves the others'.
    async fn health_check(&self) -> Result<(), StoreError> {
        let calls: Vec<_> = Partition::all()
            .map(|partition| {
                let call = HEALTH.call().key(keys::key(partition, "health", "store"));
                (partition, call.arg(ms(KEPT)))
            })
            .collect();
        let replies = self.redis.run_all_durably(&calls).await;
        for (partition, reply) in Partition::all().zip(replies) {
            if let Err(error) = reply {
                let prefix = keys::prefix(partition);
                return Err(StoreError::Unavailable(format!("{prefix}: {error}")));
            }
        }
        Ok(())
    }
}
