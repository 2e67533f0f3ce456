//! The store's handle: a client, a clock, and how long things are kept.

use std::sync::Arc;
use std::time::Duration;

use redis::FromRedisValue;
use tokio::sync::Semaphore;

use super::replies::{read, unavailable};
use super::retention::Retention;
use super::schema;
use chasqui_payment::Timestamp;
use chasqui_redis_topology::{Partition, RedisClient, ScriptCall};
use chasqui_store::StoreError;

/// The most final payments whose references expire at once; see [`retention`](super::retention).
const REFERENCES_AT_ONCE: usize = 256;

#[derive(Debug)]
pub struct RedisStore {
    pub(super) redis: Arc<RedisClient>,
    pub(super) clock: Clock,
    pub(super) retention: Retention,
    pub(super) expiring: Arc<Semaphore>,
}

/// By whose clock something is due, and a lease or a lock is over.
#[derive(Debug, Clone, Copy)]
pub(super) enum Clock {
    /// The node's that keeps it: one clock for all instances.
    Store,
    /// The caller's, so that the suite can choose the time.
    #[cfg(test)]
    Caller,
}

impl RedisStore {
    /// Refuses what a newer chasqui has written.
    pub async fn open(redis: Arc<RedisClient>, retention: Retention) -> Result<Self, StoreError> {
        schema::check(&redis).await?;
        Ok(Self {
            redis,
            clock: Clock::Store,
            retention: retention.bounded(),
            expiring: Arc::new(Semaphore::new(REFERENCES_AT_ONCE)),
        })
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

    /// The same, once the replicas that are waited for have it too.
    pub(super) async fn run_durably<T: FromRedisValue>(
        &self,
        partition: Partition,
        call: &ScriptCall,
    ) -> Result<T, StoreError> {
        let reply = self.redis.run_durably(partition, call).await;
        read(reply.map_err(unavailable)?)
    }
}

impl Clock {
    /// What a script takes for the time: nothing, where it is to look itself.
    pub(super) fn argument(self, callers: Timestamp) -> String {
        let _ = callers;
        match self {
            Self::Store => String::new(),
            #[cfg(test)]
            Self::Caller => callers.unix_ms().to_string(),
        }
    }
}

pub(super) fn ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
