//! What the relay and its subscribers share.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;

use super::subscription_registry::SubscriptionRegistry;
use crate::keys;
use chasqui_redis_topology::{Partition, RedisClient};
use chasqui_store::RelayListener;

pub(super) struct RelayState {
    pub(super) redis: Arc<RedisClient>,
    pub(super) listener: Arc<dyn RelayListener>,
    pub(super) registry: SubscriptionRegistry,
    pub(super) commands: CommandNames,
    /// By the first partition of each subscriber: the newest probe that it received.
    pub(super) probes: watch::Sender<HashMap<Partition, u64>>,
    next_probe: Mutex<u64>,
    /// Tells this instance's probes from those of others.
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
            next_probe: Mutex::default(),
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
        let mut next = self
            .next_probe
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        *next += 1;
        *next
    }
}
