//! What only a relay with a network beneath it can get wrong.

use std::time::Duration;

use redis_processes::{Options, RedisCluster, RedisServer};
use tokio::sync::mpsc;

use super::*;
use crate::payment::{State, Status, Timestamp};
use crate::redis::fixture::{cluster, standalone};
use crate::redis::{Settings, change};

/// Only a failing test ever waits this long.
const DEADLINE: Duration = Duration::from_secs(20);

#[derive(Debug, PartialEq)]
enum Heard {
    Change(Change),
    Missed(Vec<PaymentId>),
}

struct Ears(mpsc::UnboundedSender<Heard>);

impl Listener for Ears {
    fn heard(&self, change: Change) {
        let _ = self.0.send(Heard::Change(change));
    }

    fn missed(&self, mut ids: Vec<PaymentId>) {
        ids.sort();
        let _ = self.0.send(Heard::Missed(ids));
    }
}

struct Instance {
    redis: Arc<Redis>,
    relay: RedisRelay,
    heard: mpsc::UnboundedReceiver<Heard>,
}

impl Instance {
    async fn start(settings: Settings) -> Self {
        let redis = Redis::open(&settings).await.expect("routes");
        let (sender, heard) = mpsc::unbounded_channel();
        let relay = RedisRelay::new(Arc::clone(&redis), Arc::new(Ears(sender)));
        let instance = Self {
            redis,
            relay,
            heard,
        };
        instance.listens().await;
        instance
    }

    async fn listens(&self) {
        eventually("the relay listens", async || self.relay.ready().await.ok()).await;
    }

    async fn subscribe(&self, name: &str) {
        self.relay.subscribe(&id(name)).await.expect("subscribed");
    }

    /// As the ledger's scripts do it.
    async fn tell(&self, name: &str) {
        let id = id(name);
        let call = TELL
            .call()
            .key(change::channel(&id))
            .arg(self.redis.publish_command())
            .arg("6 1 0 ");
        let told = self.redis.run(Partition::of(id.as_str()), &call).await;
        told.expect("told");
    }

    async fn next(&mut self) -> Heard {
        timeout(DEADLINE, self.heard.recv())
            .await
            .expect("heard in time")
            .expect("the relay is alive")
    }

    async fn hears(&mut self, name: &str) {
        assert_eq!(self.next().await, confirmed(name));
    }

    /// Whatever order the servers come back in.
    async fn has_missed(&mut self, mut names: Vec<&str>) {
        while !names.is_empty() {
            match self.next().await {
                Heard::Missed(ids) => names.retain(|name| !ids.contains(&id(name))),
                Heard::Change(_) => {}
            }
        }
    }
}

fn id(name: &str) -> PaymentId {
    PaymentId::parse(name).expect("id")
}

fn confirmed(name: &str) -> Heard {
    Heard::Change(Change {
        payment_id: id(name),
        state: State {
            status: Status::Confirmed,
            ..State::pending(Timestamp::from_unix_ms(1))
        },
    })
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
async fn what_is_told_on_one_instance_is_heard_on_the_others_that_asked() {
    let server = RedisServer::start(&Options::default()).await;
    let mut instances = Vec::new();
    for _ in 0..3 {
        instances.push(Instance::start(standalone(&server)).await);
    }
    instances[1].subscribe("p1").await;
    instances[2].subscribe("p2").await;
    instances[0].tell("p1").await;
    instances[0].tell("p2").await;
    instances[1].hears("p1").await;
    instances[2].hears("p2").await;
    assert!(instances[0].heard.try_recv().is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_a_cluster_channels_of_every_slot_are_heard() {
    let nodes = RedisCluster::start(&Options::default()).await;
    let teller = Instance::start(cluster(&nodes)).await;
    let mut listener = Instance::start(cluster(&nodes)).await;
    for n in 0..200 {
        let name = format!("p{n}");
        listener.subscribe(&name).await;
        teller.tell(&name).await;
        listener.hears(&name).await;
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
    server.start_again().await;
    match instance.next().await {
        Heard::Missed(ids) => assert_eq!(ids.len(), MANY),
        other => panic!("{other:?}"),
    }
    instance.tell("p19999").await;
    instance.hears("p19999").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frozen_server_is_noticed_and_then_refused_at_once() {
    let server = RedisServer::start(&Options::default()).await;
    let mut instance = Instance::start(standalone(&server)).await;
    instance.subscribe("p1").await;
    server.freeze();
    let frozen_at = std::time::Instant::now();
    eventually("the silence is noticed", async || {
        instance.relay.shared.board.silence(Partition::of("p1"))
    })
    .await;
    let noticed = frozen_at.elapsed();
    assert!(noticed < Duration::from_secs(5), "{noticed:?}");
    let asked_at = std::time::Instant::now();
    assert!(instance.relay.subscribe(&id("p2")).await.is_err());
    assert!(asked_at.elapsed() < Duration::from_millis(100));
    assert!(instance.relay.ready().await.is_err());

    server.thaw();
    instance.has_missed(vec!["p1"]).await;
    instance.tell("p1").await;
    instance.hears("p1").await;
    instance.listens().await;
    instance.subscribe("p2").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_subscriber_that_redis_cuts_off_reads_everything_again() {
    let server = RedisServer::start(&Options::default()).await;
    let mut instance = Instance::start(standalone(&server)).await;
    instance.subscribe("p1").await;
    server.command(&["CLIENT", "KILL", "TYPE", "pubsub"]).await;
    instance.has_missed(vec!["p1"]).await;
    instance.tell("p1").await;
    instance.hears("p1").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slot_that_moves_takes_its_subscriptions_along() {
    let nodes = RedisCluster::start(&Options::default()).await;
    let mut instance = Instance::start(cluster(&nodes)).await;
    instance.subscribe("moving").await;
    let slot = Partition::of("moving").slot();
    let to = (nodes.master_of_slot(slot).await + 1) % 3;
    nodes.migrate_slot(slot, to).await;
    instance.has_missed(vec!["moving"]).await;
    instance.tell("moving").await;
    eventually("the change is heard", async || {
        match instance.next().await {
            Heard::Change(_) => Some(()),
            Heard::Missed(_) => None,
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_master_that_fails_over_takes_its_subscriptions_along() {
    let mut nodes = RedisCluster::start(&Options::default()).await;
    let mut instance = Instance::start(cluster(&nodes)).await;
    instance.subscribe("moving").await;
    let master = nodes.master_of_slot(Partition::of("moving").slot()).await;
    nodes.nodes[master].kill();
    instance.has_missed(vec!["moving"]).await;
    instance.listens().await;
    instance.tell("moving").await;
    instance.hears("moving").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_subscribes_and_leaves_again_and_again_never_misses_what_comes_after() {
    let server = RedisServer::start(&Options::default()).await;
    let teller = Instance::start(standalone(&server)).await;
    let mut instance = Instance::start(standalone(&server)).await;
    for _ in 0..2000 {
        let _ = timeout(
            Duration::from_micros(rand::random_range(0..400)),
            instance.subscribe("p1"),
        )
        .await
        .map(|()| instance.relay.unsubscribe(&id("p1")));
        instance.subscribe("p1").await;
        teller.tell("p1").await;
        instance.hears("p1").await;
        instance.relay.unsubscribe(&id("p1"));
    }
    eventually("nothing stays subscribed", async || {
        let channels: Vec<String> = server.ask(&["PUBSUB", "CHANNELS", "*:change:*"]).await;
        channels.is_empty().then_some(())
    })
    .await;
}
