//! What was erased leaves the append-only file too.

use chasqui_payment::Verdict;
use chasqui_store::{Erasure, PayerData};
use chasqui_store_suite::{at, id, notified, shop};

use super::*;

async fn erase(store: &RedisStore) -> Option<String> {
    let observed = store
        .observe(&id("p1"), &notified("{}", Verdict::Agrees, 10))
        .await;
    observed.expect("observe");
    match store
        .erase(&shop(), &id("p1"), at(20))
        .await
        .expect("erase")
    {
        Erasure::Erased { warning } => warning,
        refused => panic!("{refused:?}"),
    }
}

#[tokio::test]
async fn erasing_starts_a_rewrite_of_the_append_only_file() {
    let server = start().await;
    let store = open_standalone(&server).await;
    assert_eq!(erase(&store).await, None);
    let left: i64 = server.ask(&["EXISTS", &key("raw", "p1")]).await;
    assert_eq!(left, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_who_may_not_rewrite_the_file_gets_a_warning() {
    let standalone = Standalone::default();
    let settings = standalone.settings();
    let server = standalone.server.get().expect("started with the settings");
    server
        .command(&["ACL", "SETUSER", "chasqui", "-bgrewriteaof"])
        .await;
    let store = open(&settings, RETENTION).await;
    let warning = erase(&store).await.expect("a warning");
    assert!(warning.contains("run BGREWRITEAOF"), "{warning}");
}
