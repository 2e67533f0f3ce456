//! A call reaches its server, or fails within its time.

use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use ::redis::Value;
use redis_processes::{AppendOnly, Options, RedisCluster, RedisServer, SentinelTrio};

use super::client::CALL_TIMEOUT;
use super::*;

static COUNT: LazyLock<Script> =
    LazyLock::new(|| Script::new("return redis.call('INCR', KEYS[1])"));
static COUNT_DURABLY: LazyLock<Script> =
    LazyLock::new(|| Script::new("return redis.call('INCR', KEYS[1])").durable());

/// Only a failing test ever waits this long.
const DEADLINE: Duration = Duration::from_secs(20);

fn standalone(server: &RedisServer) -> RedisSettings {
    RedisSettings::new(Topology::Standalone(server.address().into()))
}

fn on_cluster(cluster: &RedisCluster) -> RedisSettings {
    let nodes = cluster.nodes.iter().map(|node| node.address().into());
    RedisSettings::new(Topology::Cluster(nodes.collect()))
}

fn on_sentinels(trio: &SentinelTrio) -> RedisSettings {
    let sentinels = trio.sentinels.iter().map(|it| it.address().into());
    RedisSettings::new(Topology::Sentinel {
        sentinels: sentinels.collect(),
        master: redis_processes::sentinel::MASTER_NAME.into(),
    })
}

async fn open(settings: &RedisSettings) -> Arc<RedisClient> {
    RedisClient::open(settings).await.expect("routes")
}

fn counting(script: &'static Script, name: &str) -> (Partition, ScriptCall) {
    let partition = Partition::of(name);
    let key = format!("{partition}:count:{name}");
    (partition, script.call().key(key))
}

async fn count(redis: &RedisClient, name: &str) -> Result<i64, CallError> {
    let (partition, call) = counting(&COUNT_DURABLY, name);
    redis.run(partition, &call).await.map(number)
}

fn number(value: Value) -> i64 {
    match value {
        Value::Int(number) => number,
        other => panic!("{other:?}"),
    }
}

/// Until a call succeeds.
async fn counts_again(redis: &RedisClient, name: &str) -> i64 {
    let started = Instant::now();
    loop {
        match count(redis, name).await {
            Ok(number) => return number,
            Err(failure) => assert!(started.elapsed() < DEADLINE, "{failure}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_script_that_the_server_lost_is_sent_again() {
    let server = RedisServer::start(&Options::default()).await;
    let redis = open(&standalone(&server)).await;
    assert_eq!(count(&redis, "a").await.expect("first"), 1);
    server.command(&["SCRIPT", "FLUSH"]).await;
    assert_eq!(count(&redis, "a").await.expect("second"), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn callers_do_not_notice_a_quick_restart() {
    let mut server = RedisServer::start(&Options::append_only(AppendOnly::Always)).await;
    let redis = open(&standalone(&server)).await;
    assert_eq!(count(&redis, "a").await.expect("before"), 1);
    server.kill();
    let (restarted, counted) = tokio::join!(server.restart(), count(&redis, "a"));
    let () = restarted;
    assert_eq!(counted.expect("meanwhile"), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_to_a_server_that_is_gone_fail_in_time_and_soon_at_once() {
    let mut server = RedisServer::start(&Options::default()).await;
    let redis = open(&standalone(&server)).await;
    count(&redis, "a").await.expect("before");
    server.kill();
    for _ in 0..3 {
        let called_at = Instant::now();
        assert!(count(&redis, "a").await.is_err());
        assert!(called_at.elapsed() < CALL_TIMEOUT + Duration::from_millis(500));
    }
    // In the pause between two attempts to connect, calls fail at once.
    let mut quickest = Duration::MAX;
    for _ in 0..5 {
        let called_at = Instant::now();
        assert!(count(&redis, "a").await.is_err());
        quickest = quickest.min(called_at.elapsed());
    }
    assert!(quickest < Duration::from_millis(50), "{quickest:?}");
    server.restart().await;
    counts_again(&redis, "a").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_to_a_frozen_server_fail_in_time_and_succeed_once_it_thaws() {
    let server = RedisServer::start(&Options::default()).await;
    let redis = open(&standalone(&server)).await;
    count(&redis, "a").await.expect("before");
    server.freeze();
    for _ in 0..4 {
        let called_at = Instant::now();
        assert!(count(&redis, "a").await.is_err());
        assert!(called_at.elapsed() < CALL_TIMEOUT + Duration::from_millis(500));
    }
    server.thaw();
    counts_again(&redis, "a").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_is_called_where_each_partition_lives() {
    let cluster = RedisCluster::start(&Options::default()).await;
    let redis = open(&on_cluster(&cluster)).await;
    let calls: Vec<_> = (0..200)
        .map(|n| counting(&COUNT, &format!("n{n}")))
        .collect();
    for reply in redis.run_all(&calls).await {
        assert_eq!(number(reply.expect("counted")), 1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_follow_a_slot_while_it_moves_and_after() {
    let cluster = RedisCluster::start(&Options::default()).await;
    let redis = open(&on_cluster(&cluster)).await;
    let slot = Partition::of("a").slot();
    let to = (cluster.master_of_slot(slot).await + 1) % 3;
    assert_eq!(count(&redis, "a").await.expect("before"), 1);
    let migration = cluster.begin_migration(slot, to).await;
    assert_eq!(count(&redis, "a").await.expect("still there"), 2);
    cluster.move_keys(&migration).await;
    assert_eq!(count(&redis, "a").await.expect("ahead of its slot"), 3);
    cluster.finish_migration(migration).await;
    assert_eq!(count(&redis, "a").await.expect("moved"), 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replicated_write_survives_the_loss_of_a_clusters_master() {
    let mut cluster = RedisCluster::start(&Options::default()).await;
    let redis = open(&on_cluster(&cluster)).await;
    for _ in 0..50 {
        count(&redis, "a").await.expect("counted");
    }
    let master = cluster.master_of_slot(Partition::of("a").slot()).await;
    cluster.kill_master(master);
    cluster
        .until_failed_over(Partition::of("a").slot(), master)
        .await;
    // Written, but not replicated: the promoted node has no replica of its own.
    let refused = loop {
        match count(&redis, "a").await {
            Err(failure) if failure.0.contains("replicas") => break failure,
            Err(_) => {}
            Ok(_) => panic!("there is no replica"),
        }
    };
    assert!(refused.0.contains("0 of 1 replicas"), "{refused}");
    cluster.nodes[master].restart().await;
    let counted = counts_again(&redis, "a").await;
    assert!(counted > 50, "{counted}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replicated_write_survives_the_loss_of_a_master_with_sentinels() {
    let mut trio = SentinelTrio::start(&Options::default()).await;
    let redis = open(&on_sentinels(&trio)).await;
    for _ in 0..50 {
        count(&redis, "a").await.expect("counted");
    }
    // The promoted replica must have all of it: one replica acknowledged each write, the other may lag.
    trio.kill_master();
    let counted = counts_again(&redis, "a").await;
    assert!((50..=51).contains(&counted), "{counted}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_that_no_replica_acknowledges_fails() {
    let server = RedisServer::start(&Options::default()).await;
    let mut settings = standalone(&server);
    settings.wait_replicas = 1;
    settings.wait_timeout = Duration::from_millis(200);
    let redis = open(&settings).await;
    let refused = count(&redis, "a").await.expect_err("no replica has it");
    assert!(refused.0.contains("0 of 1 replicas"), "{refused}");
    let (partition, call) = counting(&COUNT, "a");
    redis
        .run(partition, &call)
        .await
        .expect("without replication");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_writes_wait_for_the_replicas_together() {
    let cluster = RedisCluster::start(&Options::default()).await;
    let redis = open(&on_cluster(&cluster)).await;
    let writes = (0..500).map(|n| {
        let redis = Arc::clone(&redis);
        async move { count(&redis, &format!("n{n}")).await }
    });
    for counted in futures_util::future::join_all(writes).await {
        assert_eq!(counted.expect("counted"), 1);
    }
    let mut waits = 0;
    for node in &cluster.nodes[..3] {
        let stats: String = node.ask(&["INFO", "commandstats"]).await;
        let line = stats.lines().find(|line| line.contains("cmdstat_wait:"));
        let calls = line.and_then(|line| line.split("calls=").nth(1)?.split(',').next());
        waits += calls.map_or(0, |calls| calls.parse::<usize>().expect("a number"));
    }
    assert!((1..100).contains(&waits), "{waits} for 500 writes");
}
