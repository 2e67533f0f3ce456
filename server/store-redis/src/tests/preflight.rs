//! The findings on real servers.

use super::*;
use crate::preflight::examine;

async fn connect(settings: &RedisSettings) -> Arc<RedisClient> {
    RedisClient::open(settings).await.expect("reachable")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn settings_of_real_servers_lead_to_findings() {
    let fit = RedisServer::start(&Options::append_only(AppendOnly::Always)).await;
    let redis = connect(&standalone(&fit)).await;
    assert_eq!(examine(&redis, false).await.expect("reachable"), []);

    let evicting = Options::default()
        .with("maxmemory 100mb")
        .with("maxmemory-policy allkeys-lru");
    let evicting = RedisServer::start(&evicting.with("appendfsync always")).await;
    let settings = standalone(&evicting);
    let found = examine(&*connect(&settings).await, false)
        .await
        .expect("reachable");
    assert!(found.len() == 1 && found[0].is_fatal, "{found:?}");
    let found = examine(&*connect(&settings).await, true)
        .await
        .expect("reachable");
    assert!(found.len() == 1 && !found[0].is_fatal, "{found:?}");

    let hidden =
        RedisServer::start(&Options::default().with("user default on nopass ~* &* +@all -config"))
            .await;
    let found = examine(&*connect(&standalone(&hidden)).await, false)
        .await
        .expect("reachable");
    assert!(
        found.len() == 1 && found[0].text.contains("CONFIG GET"),
        "{found:?}"
    );
}
