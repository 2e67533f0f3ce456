//! What only a relay with a network can get wrong.

use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

use chasqui_payment::PaymentId;
use chasqui_redis_topology::{Partition, RedisClient, RedisSettings, Topology};
use chasqui_store::{Change, Relay};
use chasqui_store_suite::relay::{self, DEADLINE, Deployment, Received, listener};
use chasqui_store_suite::relay_suite;
use futures_util::FutureExt;
use redis_processes::{Options, RedisCluster, RedisServer};
use tokio::time::timeout;

use super::*;
use crate::{change, scripts};

struct Instance {
    redis: Arc<RedisClient>,
    relay: Arc<RedisRelay>,
    received: Received,
}

impl Instance {
    async fn start(settings: RedisSettings) -> Self {
        let redis = RedisClient::open(&settings).await.expect("routes");
        let (listener, received) = listener();
        let instance = Self {
            relay: Arc::new(RedisRelay::new(Arc::clone(&redis), listener)),
            redis,
            received,
        };
        instance.is_connected().await;
        instance
    }

    async fn is_connected(&self) {
        eventually("the relay is connected", async || {
            self.relay.health_check().await.ok()
        })
        .await;
    }

    async fn subscribe(&self, name: &str) {
        self.relay.subscribe(&id(name)).await.expect("subscribed");
    }

    async fn publish(&self, name: &str) {
        publish(Arc::clone(&self.redis), confirmed(name)).await;
    }

    async fn receives(&mut self, name: &str) {
        assert_eq!(self.next().await, confirmed(name));
    }

    async fn next(&mut self) -> Change {
        timeout(DEADLINE, self.received.changes.recv())
            .await
            .expect("received in time")
            .expect("the relay is alive")
    }

    /// However often the connection is made until then.
    async fn has_missed(&mut self, name: &str) {
        let missed = async {
            while let Some(ids) = self.received.missed.recv().await {
                if ids.contains(&id(name)) {
                    return;
                }
            }
        };
        timeout(DEADLINE, missed).await.expect("missed in time");
    }
}

fn standalone(server: &RedisServer) -> RedisSettings {
    RedisSettings::new(Topology::Standalone(server.address().into()))
}

fn cluster(cluster: &RedisCluster) -> RedisSettings {
    let nodes = cluster.nodes.iter().map(|node| node.address().into());
    RedisSettings::new(Topology::Cluster(nodes.collect()))
}

/// As the store's scripts publish it.
async fn publish(redis: Arc<RedisClient>, change: Change) {
    let call = scripts::PUBLISH
        .call()
        .key(change::channel(&change.payment_id))
        .arg(redis.publish_command())
        .arg(format!(
            "{} {} 0 ",
            change.state.version.number(),
            change.state.at.unix_ms()
        ));
    let partition = Partition::of(change.payment_id.as_str());
    redis.run(partition, &call).await.expect("published");
}

/// Three instances for the suite, on a medium of their own.
async fn deployment(settings: RedisSettings, backend: impl Any + Send) -> Deployment {
    let mut instances = Vec::new();
    for _ in 0..3 {
        let Instance {
            redis,
            relay,
            received,
        } = Instance::start(settings.clone()).await;
        instances.push(relay::Instance {
            relay,
            received,
            commit: Box::new(move |change| publish(Arc::clone(&redis), change).boxed()),
        });
    }
    Deployment {
        instances,
        backend: Box::new(backend),
    }
}

async fn a_server() -> Deployment {
    let server = RedisServer::start(&Options::default()).await;
    deployment(standalone(&server), server).await
}

async fn a_cluster() -> Deployment {
    let nodes = RedisCluster::start(&Options::default()).await;
    deployment(cluster(&nodes), nodes).await
}

relay_suite!(on_a_server, a_server());
relay_suite!(on_a_cluster, a_cluster());

fn id(name: &str) -> PaymentId {
    PaymentId::parse(name).expect("id")
}

fn confirmed(name: &str) -> Change {
    relay::change(name, 1)
}

async fn eventually<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let looking = async {
        loop {
            if let Some(found) = look().await {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    match timeout(DEADLINE, looking).await {
        Ok(found) => found,
        Err(_) => panic!("{what}: not within {DEADLINE:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_published_on_one_instance_reaches_the_others_that_subscribed() {
    let server = RedisServer::start(&Options::default()).await;
    let mut instances = Vec::new();
    for _ in 0..3 {
        instances.push(Instance::start(standalone(&server)).await);
    }
    instances[1].subscribe("p1").await;
    instances[2].subscribe("p2").await;
    instances[0].publish("p1").await;
    instances[0].publish("p2").await;
    instances[1].receives("p1").await;
    instances[2].receives("p2").await;
    assert!(instances[0].received.changes.try_recv().is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_a_cluster_channels_of_every_slot_are_received() {
    let nodes = RedisCluster::start(&Options::default()).await;
    let publisher = Instance::start(cluster(&nodes)).await;
    let mut listener = Instance::start(cluster(&nodes)).await;
    for n in 0..200 {
        let name = format!("p{n}");
        listener.subscribe(&name).await;
        publisher.publish(&name).await;
        listener.receives(&name).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twenty_thousand_subscriptions_are_confirmed_and_come_back_after_a_restart() {
    const MANY: usize = 20_000;
    let mut server = RedisServer::start(&Options::default()).await;
    let mut instance = Instance::start(standalone(&server)).await;
    let names: Vec<_> = (0..MANY).map(|n| format!("p{n}")).collect();
    let subscribed = names.iter().map(|name| instance.subscribe(name));
    futures_util::future::join_all(subscribed).await;
    let channels: Vec<String> = server.ask(&["PUBSUB", "CHANNELS", "*:change:*"]).await;
    assert_eq!(channels.len(), MANY);

    server.kill();
    server.restart().await;
    let missed = timeout(DEADLINE, instance.received.missed.recv()).await;
    assert_eq!(missed.ok().flatten().map(|ids| ids.len()), Some(MANY));
    instance.publish("p19999").await;
    instance.receives("p19999").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frozen_server_is_noticed_and_then_refused_at_once() {
    let server = RedisServer::start(&Options::default()).await;
    let mut instance = Instance::start(standalone(&server)).await;
    instance.subscribe("p1").await;
    server.freeze();
    let frozen_at = std::time::Instant::now();
    eventually("the outage is noticed", async || {
        instance.relay.state.registry.outage(Partition::of("p1"))
    })
    .await;
    let noticed = frozen_at.elapsed();
    assert!(noticed < Duration::from_secs(5), "{noticed:?}");
    let asked_at = std::time::Instant::now();
    assert!(instance.relay.subscribe(&id("p2")).await.is_err());
    assert!(asked_at.elapsed() < Duration::from_millis(100));
    assert!(instance.relay.health_check().await.is_err());

    server.thaw();
    instance.has_missed("p1").await;
    instance.publish("p1").await;
    instance.receives("p1").await;
    instance.is_connected().await;
    instance.subscribe("p2").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_subscriber_that_redis_disconnects_reads_everything_again() {
    let server = RedisServer::start(&Options::default()).await;
    let mut instance = Instance::start(standalone(&server)).await;
    instance.subscribe("p1").await;
    server.command(&["CLIENT", "KILL", "TYPE", "pubsub"]).await;
    instance.has_missed("p1").await;
    instance.publish("p1").await;
    instance.receives("p1").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slot_that_moves_takes_its_subscriptions_along() {
    let nodes = RedisCluster::start(&Options::default()).await;
    let mut instance = Instance::start(cluster(&nodes)).await;
    instance.subscribe("moving").await;
    let slot = Partition::of("moving").slot();
    let to = (nodes.master_of_slot(slot).await + 1) % 3;
    nodes.migrate_slot(slot, to).await;
    instance.has_missed("moving").await;
    instance.publish("moving").await;
    instance.receives("moving").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_master_that_fails_over_takes_its_subscriptions_along() {
    let mut nodes = RedisCluster::start(&Options::default()).await;
    let mut instance = Instance::start(cluster(&nodes)).await;
    instance.subscribe("moving").await;
    let master = nodes.master_of_slot(Partition::of("moving").slot()).await;
    nodes.nodes[master].kill();
    instance.has_missed("moving").await;
    instance.is_connected().await;
    instance.publish("moving").await;
    instance.receives("moving").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn repeated_subscribing_and_unsubscribing_never_misses_a_later_change() {
    let server = RedisServer::start(&Options::default()).await;
    let publisher = Instance::start(standalone(&server)).await;
    let mut instance = Instance::start(standalone(&server)).await;
    for _ in 0..2000 {
        let _ = timeout(
            Duration::from_micros(rand::random_range(0..400)),
            instance.subscribe("p1"),
        )
        .await
        .map(|()| instance.relay.unsubscribe(&id("p1")));
        instance.subscribe("p1").await;
        publisher.publish("p1").await;
        instance.receives("p1").await;
        instance.relay.unsubscribe(&id("p1"));
    }
    eventually("nothing stays subscribed", async || {
        let channels: Vec<String> = server.ask(&["PUBSUB", "CHANNELS", "*:change:*"]).await;
        channels.is_empty().then_some(())
    })
    .await;
}
