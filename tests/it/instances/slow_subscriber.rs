//! Redis disconnects a subscriber that does not keep up: its watchers get every status nevertheless.

use std::time::Instant;

use chasqui_tests::deadline::eventually;
use chasqui_tests::fleet::Fleet;
use redis_processes::{Options, RedisServer};

use super::{PROMPTLY, only_the_relay_delivers, patient_with_khipu};

const A: usize = 0;
const B: usize = 1;

#[tokio::test]
async fn watchers_of_a_subscriber_that_was_cut_miss_nothing() {
    const ROUNDS: usize = 20;
    let redis = RedisServer::start(&Options::default()).await;
    let storage = [redis.url(), redis.url()];
    let (fleet, khipu_proxy) = Fleet::start_with_khipu_proxy(&storage, patient_with_khipu).await;
    only_the_relay_delivers(&khipu_proxy);
    let payments = fleet.create(ROUNDS).await;
    let mut watchers = Vec::new();
    for payment in &payments {
        watchers.push(fleet.watch(B, payment).await);
    }
    for (payment, watcher) in payments.iter().zip(&mut watchers) {
        let killed: usize = redis.ask(&["CLIENT", "KILL", "TYPE", "pubsub"]).await;
        // In some rounds this happens before the subscriber is back, as intended.
        assert!(killed <= fleet.gateways.len(), "{killed}");
        let accepted = fleet.apis[A].notify_until_accepted(&payment.id).await;
        let shown = watcher.until("confirmed").await;
        let took = shown.saturating_duration_since(accepted);
        assert!(took < PROMPTLY, "{} was shown after {took:?}", payment.id);
    }
}

#[tokio::test]
async fn watchers_of_an_instance_that_slept_through_its_output_buffer_miss_nothing() {
    /// More than the kernel and Redis together buffer for one subscriber.
    const FLOOD: usize = 64 * 1024 * 1024;
    const MESSAGE: usize = 64 * 1024;
    let limit = "client-output-buffer-limit pubsub 1mb 512kb 1";
    let redis = RedisServer::start(&Options::default().with(limit)).await;
    let storage = [redis.url(), redis.url()];
    let (fleet, khipu_proxy) = Fleet::start_with_khipu_proxy(&storage, patient_with_khipu).await;
    only_the_relay_delivers(&khipu_proxy);
    let payments = fleet.create(20).await;
    let mut watchers = Vec::new();
    for payment in &payments {
        watchers.push(fleet.watch(B, payment).await);
    }

    fleet.gateways[B].freeze();
    let channels: Vec<String> = redis.ask(&["PUBSUB", "CHANNELS", "chasqui:*"]).await;
    let channel = channels
        .iter()
        .find(|channel| channel.contains(&payments[0].id))
        .expect("a channel for a payment that is watched");
    // A message that no gateway publishes; a subscriber must ignore it.
    let noise = "x".repeat(MESSAGE);
    for _ in 0..FLOOD / MESSAGE {
        let _: usize = redis.ask(&["PUBLISH", channel, &noise]).await;
    }
    fleet.notify_all(A, &payments).await;
    eventually("redis cuts the subscriber", async || {
        let says = "overcoming of output buffer limits";
        redis.log().contains(says).then_some(())
    })
    .await;
    fleet.gateways[B].thaw();
    let thawed = Instant::now();
    for watcher in &mut watchers {
        let shown = watcher.until("confirmed").await;
        let took = shown.duration_since(thawed);
        assert!(took < PROMPTLY, "it was shown after {took:?}");
    }
}
