//! The relay: subscriptions as its callers see them, and one subscriber for each master.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use chasqui_payment::PaymentId;
use chasqui_redis_topology::{NodeAddress, Partition, RedisClient};
use chasqui_store::{Change, Relay, RelayError, RelayListener};
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;

use super::node_subscriber::NodeSubscriber;
use super::relay_state::RelayState;
use super::subscription_registry::{Subscription, SubscriptionRegistry};
use crate::scripts;

/// How long a subscription may take; then it fails, and the watcher must come back.
const CONFIRM_TIMEOUT: Duration = Duration::from_secs(2);

/// How long a probe may take from publication to receipt.
const PROBE_TIMEOUT: Duration = Duration::from_secs(2);

pub struct RedisRelay {
    pub(super) state: Arc<RelayState>,
    supervisor: AbortOnDropHandle<()>,
}

impl RedisRelay {
    /// Begins to listen. Until a server is reached, none of its channels can be subscribed.
    pub fn new(redis: Arc<RedisClient>, listener: Arc<dyn RelayListener>) -> Self {
        let state = Arc::new(RelayState::new(redis, listener));
        let supervisor = tokio::spawn(supervise(Arc::clone(&state)));
        Self {
            state,
            supervisor: AbortOnDropHandle::new(supervisor),
        }
    }
}

/// One subscriber for each master, as long as it is a master and holds the same partitions.
async fn supervise(state: Arc<RelayState>) {
    let mut subscribers: HashMap<NodeAddress, (Vec<Partition>, AbortOnDropHandle<()>)> =
        HashMap::new();
    let mut owners = state.redis.owners();
    loop {
        let mut masters: HashMap<NodeAddress, Vec<Partition>> = HashMap::new();
        // One snapshot: what changes from here on is seen in the next round.
        let now = Arc::clone(&owners.borrow_and_update());
        for partition in Partition::all() {
            match &now[partition.index()] {
                Some(owner) => masters.entry(owner.clone()).or_default().push(partition),
                None => state
                    .registry
                    .detach(&[partition], "no redis server holds this part of the data"),
            }
        }
        let unchanged = |address: &NodeAddress, partitions: &Vec<Partition>| {
            masters.get(address) == Some(partitions)
        };
        for (_, (partitions, subscriber)) in
            subscribers.extract_if(|address, (partitions, _)| !unchanged(address, partitions))
        {
            subscriber.abort();
            let _ = subscriber.await;
            state
                .registry
                .detach(&partitions, "the redis server of the channel changed");
        }
        state.probes.send_modify(|probes| {
            probes.retain(|first, _| masters.values().any(|partitions| partitions[0] == *first))
        });
        for (address, partitions) in masters {
            subscribers.entry(address.clone()).or_insert_with(|| {
                state.probes.send_modify(|probes| {
                    probes.insert(partitions[0], 0);
                });
                let state = Arc::clone(&state);
                let subscriber = NodeSubscriber::new(state, address, partitions.clone());
                let run = tokio::spawn(subscriber.run());
                (partitions, AbortOnDropHandle::new(run))
            });
        }
        if owners.changed().await.is_err() {
            // A standalone server stays where it is.
            std::future::pending::<()>().await;
        }
    }
}

/// Gives a subscription up unless it was confirmed: its caller may stop waiting.
struct PendingSubscription<'a>(Option<(&'a SubscriptionRegistry, &'a PaymentId)>);

impl Drop for PendingSubscription<'_> {
    fn drop(&mut self) {
        if let Some((registry, id)) = self.0 {
            registry.unsubscribe(id);
        }
    }
}

#[async_trait]
impl Relay for RedisRelay {
    async fn subscribe(&self, id: &PaymentId) -> Result<(), RelayError> {
        let registry = &self.state.registry;
        let subscription = registry.subscribe(id).map_err(RelayError)?;
        let mut pending = PendingSubscription(Some((registry, id)));
        if let Subscription::Sent(confirmed) = subscription {
            timeout(CONFIRM_TIMEOUT, confirmed)
                .await
                .map_err(|_| RelayError("redis does not confirm a subscription".into()))?
                .map_err(|_| RelayError("the connection to redis was lost".into()))?;
        }
        pending.0 = None;
        Ok(())
    }

    fn unsubscribe(&self, id: &PaymentId) {
        self.state.registry.unsubscribe(id);
    }

    /// The change was published when it was committed; here it need not wait for the echo.
    async fn publish(&self, change: &Change) -> Result<(), RelayError> {
        self.state.listener.changed(change.clone());
        Ok(())
    }

    /// Publishes a probe on each master and waits until all have come back.
    async fn health_check(&self) -> Result<(), RelayError> {
        let state = &self.state;
        if self.supervisor.is_finished() {
            return Err(RelayError("the relay's task has ended".into()));
        }
        for partition in Partition::all() {
            if let Some(reason) = state.registry.outage(partition) {
                return Err(RelayError(reason));
            }
        }
        let number = state.next_probe();
        let calls: Vec<_> = state
            .probes
            .borrow()
            .keys()
            .map(|partition| {
                let call = scripts::PUBLISH
                    .call()
                    .key(state.probe_channel(*partition))
                    .arg(state.redis.publish_command())
                    .arg(number);
                (*partition, call)
            })
            .collect();
        let mut probes = state.probes.subscribe();
        for published in state.redis.run_all(&calls).await {
            published.map_err(|failure| RelayError(failure.0))?;
        }
        let all_back = probes.wait_for(|probes| probes.values().all(|newest| *newest >= number));
        match timeout(PROBE_TIMEOUT, all_back).await {
            Ok(Ok(_)) => Ok(()),
            _ => Err(RelayError("a published probe was not received".into())),
        }
    }
}

impl fmt::Debug for RedisRelay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisRelay").finish_non_exhaustive()
    }
}
