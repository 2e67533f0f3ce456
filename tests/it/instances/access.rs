//! Access to Redis: an ACL user, TLS, and configurations that a gateway refuses.

use std::time::Duration;

use chasqui_tests::fleet::Fleet;
use chasqui_tests::gateway_process::{GatewayProcess, check};
use chasqui_tests::gateway_settings::GatewaySettings;
use chasqui_tests::sandbox::Sandbox;
use redis_processes::{AppendOnly, Certificates, Options, RedisCluster, RedisServer, SentinelTrio};

/// The ACL user of the operating guide, word for word, on each of these.
async fn admit_user(servers: &[RedisServer]) {
    let guide = include_str!("../../../OPERATING.md");
    let line = guide
        .lines()
        .find(|line| line.starts_with("ACL SETUSER chasqui "))
        .expect("the guide names a user");
    let words: Vec<&str> = line.split(' ').collect();
    for server in servers {
        server.command(&words).await;
    }
}

/// The URL with the guide's user in it.
fn as_user(url: &str) -> [String; 2] {
    let url = url.replacen("://", "://chasqui:secret@", 1);
    [url.clone(), url]
}

/// A payment is made on one gateway, watched on another, notified and delivered.
async fn expect_work(storage: &[String; 2], change: impl FnOnce(&mut GatewaySettings)) {
    let mut fleet = Fleet::start_with(storage, change).await;
    let payments = fleet.create(3).await;
    let mut watchers = Vec::new();
    for payment in &payments {
        watchers.push(fleet.watch(1, payment).await);
    }
    for payment in &payments {
        fleet.sandbox.act(&payment.id, "conciliate").await;
        fleet.sandbox.notified(&payment.id, 200).await;
    }
    for watcher in &mut watchers {
        watcher.until("confirmed").await;
    }
    fleet.expect_delivered(&payments, Duration::ZERO).await;
    let health = fleet.apis[1].try_get("/healthz").await;
    health.expect("an answer").expect(200);
}

#[tokio::test]
async fn the_user_of_the_operating_guide_may_do_what_is_needed() {
    let redis = [RedisServer::start(&Options::default()).await];
    admit_user(&redis).await;
    expect_work(&as_user(&redis[0].url()), |_| {}).await;
}

#[tokio::test]
async fn the_user_of_the_operating_guide_may_do_what_is_needed_on_a_cluster() {
    let cluster = RedisCluster::start(&Options::default()).await;
    admit_user(&cluster.nodes).await;
    expect_work(&as_user(&cluster.url()), |_| {}).await;
}

#[tokio::test]
async fn the_user_of_the_operating_guide_may_do_what_is_needed_behind_sentinels() {
    let trio = SentinelTrio::start(&Options::default()).await;
    admit_user(&trio.servers).await;
    expect_work(&as_user(&trio.url()), |_| {}).await;
}

#[tokio::test]
async fn a_password_is_enough() {
    let redis = RedisServer::start(&Options::default().with_password("s3cret")).await;
    expect_work(&[redis.url(), redis.url()], |_| {}).await;
}

#[tokio::test]
async fn redis_is_reached_over_tls_by_an_authority_of_ones_own() {
    let certificates = Certificates::generate();
    let redis = RedisServer::start_with_tls(&Options::default(), &certificates).await;
    let ca_file = format!("ca_file = {:?}", certificates.ca_file());
    let url = redis.tls_url();
    expect_work(&[url.clone(), url], |settings| {
        settings.storage_more.push(ca_file);
    })
    .await;
}

/// Starts a gateway that must refuse to start, and returns its error.
async fn refusal(settings: &GatewaySettings) -> String {
    let mut gateway = GatewayProcess::launch(settings);
    let status = gateway.ended().await;
    assert_eq!(status.code(), Some(1), "{}", gateway.log());
    gateway.log()
}

#[tokio::test]
async fn a_certificate_of_an_unknown_authority_is_refused() {
    let certificates = Certificates::generate();
    let redis = RedisServer::start_with_tls(&Options::default(), &certificates).await;
    let stranger = Certificates::generate();
    let sandbox = Sandbox::start().await;
    let mut settings = GatewaySettings::new(&sandbox.url);
    settings.storage = redis.tls_url();
    settings
        .storage_more
        .push(format!("ca_file = {:?}", stranger.ca_file()));
    // `serve` would wait for a Redis that may become reachable.
    let mut check = GatewayProcess::launch_with(&mut check(), &settings);
    assert_eq!(check.ended().await.code(), Some(1));
    let output = check.stdout() + &check.log();
    assert!(output.contains("certificate"), "{output}");
}

#[tokio::test]
async fn a_redis_on_this_machine_that_keeps_nothing_is_warned_of_with_the_setting_to_change() {
    let redis = RedisServer::start(&Options::append_only(AppendOnly::No)).await;
    let sandbox = Sandbox::start().await;
    let mut settings = GatewaySettings::new(&sandbox.url);
    settings.storage = redis.url();
    let gateway = GatewayProcess::start(&settings).await;
    let log = gateway.log();
    for word in ["WARN", "appendonly yes", "accept_data_loss"] {
        assert!(log.contains(word), "{word} is missing from {log}");
    }
}

#[tokio::test]
async fn a_redis_that_evicts_is_refused_with_the_setting_to_change() {
    let evicting = Options::default()
        .with("maxmemory 100mb")
        .with("maxmemory-policy allkeys-lru");
    let redis = RedisServer::start(&evicting).await;
    let sandbox = Sandbox::start().await;
    let mut settings = GatewaySettings::new(&sandbox.url);
    settings.storage = redis.url();
    let refusal = refusal(&settings).await;
    assert!(refusal.contains("maxmemory-policy"), "{refusal}");
}
