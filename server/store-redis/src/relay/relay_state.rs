//! What the relay and its subscribers share.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use chasqui_redis_topology::{Partition, RedisClient};
use chasqui_store::RelayListener;
use tokio::sync::watch;

use super::subscription_registry::SubscriptionRegistry;
use crate::keys;

pub(super) struct RelayState {
    pub(super) redis: Arc<RedisClient>,
    pub(super) listener: Arc<dyn RelayListener>,
    pub(super) registry: SubscriptionRegistry,
    pub(super) commands: CommandNames,
    /// The newest probe that each subscriber received, by the subscriber's first partition.
    pub(super) probes: watch::Sender<HashMap<Partition, u64>>,
    probes_sent: AtomicU64,
    /// A random name, which this instance's probe channels contain.
    instance: String,
}

/// A cluster keeps a channel in its slot. Elsewhere channels are global, and replicas have them too.
pub(super) struct CommandNames {
    pub(super) subscribe: &'static str,
    pub(super) unsubscribe: &'static str,
    pub(super) is_sharded: bool,
}

impl RelayState {
    pub(super) fn new(redis: Arc<RedisClient>, listener: Arc<dyn RelayListener>) -> Self {
        let commands = match redis.publish_command() {
            "SPUBLISH" => CommandNames {
                subscribe: "SSUBSCRIBE",
                unsubscribe: "SUNSUBSCRIBE",
                is_sharded: true,
            },
            _ => CommandNames {
                subscribe: "SUBSCRIBE",
                unsubscribe: "UNSUBSCRIBE",
                is_sharded: false,
            },
        };
        Self {
            redis,
            listener,
            registry: SubscriptionRegistry::new(),
            commands,
            probes: watch::Sender::default(),
            probes_sent: AtomicU64::new(0),
            instance: format!("{:016x}", rand::random::<u64>()),
        }
    }

    pub(super) fn probe_channel(&self, partition: Partition) -> String {
        keys::key(partition, "health", &self.instance)
    }

    pub(super) fn probe_received(&self, partition: Partition, number: u64) {
        self.probes.send_if_modified(|probes| {
            probes
                .get_mut(&partition)
                .is_some_and(|newest| std::mem::replace(newest, number.max(*newest)) < number)
        });
    }

    pub(super) fn next_probe(&self) -> u64 {
        self.probes_sent.fetch_add(1, Ordering::Relaxed) + 1
    }
}
