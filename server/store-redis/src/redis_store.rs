//! The store's handle: a client, and how long data is kept.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use chasqui_redis_topology::{Partition, RedisClient, ScriptCall};
use chasqui_store::{Store, StoreError};
use redis::FromRedisValue;
use tokio::sync::Semaphore;

use super::replies::{read, unavailable};
use super::retention::Retention;
use super::{keys, scripts};

/// The most final payments whose references expire at once; see [`retention`](super::retention).
const REFERENCES_AT_ONCE: usize = 256;

/// The version of the keys and fields that this chasqui writes. 1: statuses numbered 1 to 7, which are still read. 2:
/// statuses numbered by round and kind.
const SCHEMA_VERSION: u32 = 2;

/// How long the key of a health check is kept; it is never read.
const HEALTH_KEY_KEPT: Duration = Duration::from_secs(60);

#[derive(Debug)]
pub struct RedisStore {
    pub(super) redis: Arc<RedisClient>,
    pub(super) retention: Retention,
    pub(super) expiring: Arc<Semaphore>,
}

impl RedisStore {
    /// Refuses what a newer chasqui has written.
    pub async fn open(redis: Arc<RedisClient>, retention: Retention) -> Result<Self, StoreError> {
        let store = Self {
            redis,
            retention: retention.bounded(),
            expiring: Arc::new(Semaphore::new(REFERENCES_AT_ONCE)),
        };
        store.check_schema().await?;
        Ok(store)
    }

    /// Raises the version that Redis holds to today's, so that older instances refuse to start on it. The write is not
    /// durable: a gateway must be able to start while there is no replica, and the next start writes the version again.
    async fn check_schema(&self) -> Result<(), StoreError> {
        let (partition, key) = keys::schema_version();
        let call = scripts::SCHEMA.call().key(key).arg(SCHEMA_VERSION);
        let found: u32 = self.run(partition, &call).await?;
        match found > SCHEMA_VERSION {
            true => Err(StoreError::Unavailable(format!(
                "redis holds schema version {found}, this chasqui knows versions up to {SCHEMA_VERSION}: use a newer chasqui"
            ))),
            false => Ok(()),
        }
    }

    /// Runs a script and reads its reply.
    pub(super) async fn run<T: FromRedisValue>(
        &self,
        partition: Partition,
        call: &ScriptCall,
    ) -> Result<T, StoreError> {
        let reply = self.redis.run(partition, call).await;
        read(reply.map_err(unavailable)?)
    }
}

#[async_trait]
impl Store for RedisStore {
    /// Writes to every partition: a cluster that has lost a master still serves the partitions of the others.
    async fn health_check(&self) -> Result<(), StoreError> {
        let calls = Partition::all().map(|partition| {
            let key = keys::key(partition, "health", "store");
            let call = scripts::HEALTH.call().key(key).arg(ms(HEALTH_KEY_KEPT));
            (partition, call)
        });
        let calls: Vec<_> = calls.collect();
        let replies = self.redis.run_all(&calls).await;
        for (partition, reply) in Partition::all().zip(replies) {
            let prefix = keys::prefix(partition);
            reply.map_err(|error| StoreError::Unavailable(format!("{prefix}: {error}")))?;
        }
        Ok(())
    }
}

pub(super) fn ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
