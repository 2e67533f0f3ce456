//! A cluster whose master dies or whose slots move, and a master that the sentinels replace: watchers stay connected, and
//! what was answered 200 is kept.

use std::collections::HashSet;
use std::time::Duration;

use chasqui_tests::background_watcher::BackgroundWatcher;
use chasqui_tests::fleet::{AT_ONCE, Fleet};
use chasqui_tests::gateway_client::TestPayment;
use chasqui_tests::khipu_proxy::KhipuProxy;
use futures_util::{StreamExt, stream};
use redis_processes::{Options, RedisCluster, SentinelTrio};
use tokio::sync::watch;

use super::{PROMPTLY, only_the_relay_delivers, patient_with_khipu};

const PAYMENTS: usize = 300;
/// How many have been accepted when the master dies.
const BEFORE: usize = 100;
/// Enough to be on every master.
const LATER: usize = 30;

/// Three gateways and many watchers on the two that are not notified. Khipu's answers are held back.
struct FailoverTestbed {
    fleet: Fleet,
    _khipu_proxy: KhipuProxy,
    payments: Vec<TestPayment>,
    watchers: Vec<BackgroundWatcher>,
    /// Unchanged until the failover is over.
    later: Vec<TestPayment>,
    later_watchers: Vec<BackgroundWatcher>,
    accepted: watch::Sender<usize>,
}

impl FailoverTestbed {
    /// `has_deliveries`: whether the payments have a notify_url.
    async fn start(url: &str, has_deliveries: bool) -> Self {
        let storage = vec![url.to_owned(); 3];
        let (fleet, khipu_proxy) =
            Fleet::start_with_khipu_proxy(&storage, patient_with_khipu).await;
        only_the_relay_delivers(&khipu_proxy);
        let payments = match has_deliveries {
            true => fleet.create(PAYMENTS).await,
            false => fleet.create_without_notify_url(PAYMENTS).await,
        };
        let watchers = follow_all(&fleet, &payments).await;
        let later = fleet.create_without_notify_url(LATER).await;
        let later_watchers = follow_all(&fleet, &later).await;
        Self {
            fleet,
            _khipu_proxy: khipu_proxy,
            payments,
            watchers,
            later,
            later_watchers,
            accepted: watch::Sender::new(0),
        }
    }

    /// Repeats each notification until it is answered 200, as Khipu does.
    async fn notify_all(&self) {
        stream::iter(&self.payments)
            .for_each_concurrent(8, |payment| async move {
                self.fleet.apis[0].notify_until_accepted(&payment.id).await;
                self.accepted.send_modify(|count| *count += 1);
            })
            .await;
    }

    async fn some_are_accepted(&self) {
        let mut count = self.accepted.subscribe();
        let enough = count.wait_for(|&count| count >= BEFORE).await;
        drop(enough.expect("the counter lives"));
    }

    async fn expect_nothing_lost(&mut self) {
        // The watchers that stayed connected get the next change.
        for (payment, watcher) in self.later.iter().zip(&mut self.later_watchers) {
            let accepted = self.fleet.apis[0].notify_until_accepted(&payment.id).await;
            let shown = watcher.until("confirmed").await;
            let took = shown.saturating_duration_since(accepted);
            assert!(took < PROMPTLY, "{} was shown after {took:?}", payment.id);
        }
        for watcher in &mut self.watchers {
            watcher.until("confirmed").await;
        }
        for gateway in 0..3 {
            self.fleet.expect_confirmed(gateway, &self.payments).await;
        }
    }
}

/// On the two instances that are not notified.
async fn follow_all(fleet: &Fleet, payments: &[TestPayment]) -> Vec<BackgroundWatcher> {
    stream::iter(payments.iter().enumerate())
        .map(|(number, payment)| fleet.watch(1 + number % 2, payment))
        .buffered(AT_ONCE)
        .collect()
        .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_master_that_is_killed_under_load_loses_nothing() {
    let mut cluster = RedisCluster::start(&Options::default()).await;
    let mut testbed = FailoverTestbed::start(&cluster.url(), false).await;
    let slot = slots_of(&cluster, &testbed.payments[..1]).await[0];
    let killing = async {
        testbed.some_are_accepted().await;
        let master = cluster.master_of_slot(slot).await;
        cluster.kill_master(master);
        cluster.until_failed_over(slot, master).await;
        // As its new master's replica, without which writes would have too few copies.
        cluster.nodes[master].restart().await;
        cluster.until_whole().await;
    };
    tokio::join!(testbed.notify_all(), killing);
    testbed.expect_nothing_lost().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_master_that_the_sentinels_replace_under_load_loses_nothing() {
    let mut trio = SentinelTrio::start(&Options::default()).await;
    let mut testbed = FailoverTestbed::start(&trio.url(), true).await;
    let killing = async {
        testbed.some_are_accepted().await;
        trio.kill_master();
        trio.until_failed_over(0).await;
    };
    tokio::join!(testbed.notify_all(), killing);
    testbed.expect_nothing_lost().await;
    // Jobs that were leased when the master died become due when their leases end.
    let lease = Duration::from_secs(60);
    testbed
        .fleet
        .expect_delivered(&testbed.payments, lease)
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slot_that_moves_takes_its_watchers_along() {
    let cluster = RedisCluster::start(&Options::default()).await;
    let testbed = FailoverTestbed::start(&cluster.url(), false).await;
    let slots = slots_of(&cluster, &testbed.payments).await;
    let population = |slot: u16| slots.iter().filter(|other| **other == slot).count();
    let busiest = slots.iter().copied().max_by_key(|slot| population(*slot));
    let slot = busiest.expect("there are payments");
    let moving: Vec<usize> = (0..slots.len())
        .filter(|number| slots[*number] == slot)
        .collect();
    assert!(moving.len() >= 3, "too few payments share a slot");
    let FailoverTestbed {
        fleet,
        payments,
        mut watchers,
        _khipu_proxy,
        ..
    } = testbed;
    let notify = async |number: usize| {
        let id = &payments[number].id;
        fleet.apis[0].notify_until_accepted(id).await
    };
    let from = cluster.master_of_slot(slot).await;
    let to = (0..3).find(|master| *master != from).expect("three");

    notify(moving[0]).await;
    let migration = cluster.begin_migration(slot, to).await;
    // A moving slot may refuse a script with keys on both sides; the notification is repeated, as Khipu does.
    let finishing = async {
        cluster.move_keys(&migration).await;
        cluster.finish_migration(migration).await;
    };
    tokio::join!(notify(moving[1]), finishing);
    assert_eq!(cluster.master_of_slot(slot).await, to);
    for &number in &moving[2..] {
        let accepted = notify(number).await;
        let shown = watchers[number].until("confirmed").await;
        let took = shown.saturating_duration_since(accepted);
        assert!(took < PROMPTLY, "it was shown after {took:?}");
    }
    for &number in &moving[..2] {
        watchers[number].until("confirmed").await;
    }
    let moving: HashSet<usize> = moving.into_iter().collect();
    for (number, payment) in payments.iter().enumerate() {
        if !moving.contains(&number) {
            watchers[number].expect_open();
            continue;
        }
        // A new watcher finds the new master too.
        let mut newcomer = fleet.watch(1 + number % 2, payment).await;
        newcomer.until("confirmed").await;
    }
}

/// The slot of each payment's keys, as Redis has them.
async fn slots_of(cluster: &RedisCluster, payments: &[TestPayment]) -> Vec<u16> {
    let mut keys: Vec<String> = Vec::new();
    for node in &cluster.nodes[..3] {
        keys.extend(node.ask::<Vec<String>>(&["KEYS", "chasqui:*"]).await);
    }
    let mut slots = Vec::new();
    for payment in payments {
        let key = keys.iter().find(|key| key.contains(&payment.id));
        let key = key.unwrap_or_else(|| panic!("redis has no key of {}", payment.id));
        slots.push(cluster.nodes[0].ask(&["CLUSTER", "KEYSLOT", key]).await);
    }
    slots
}
