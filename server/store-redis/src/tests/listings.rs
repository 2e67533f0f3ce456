//! An account's listings: what was written before there were any, and what has expired.

use chasqui_payment::{StatusKind, Timestamp, Undelivered};
use chasqui_store::{ChangeCursor, Deliveries};
use chasqui_store_suite::{confirming, id, payment, reporting, shop};

use super::*;

/// Two payments of one partition.
fn neighbours() -> [String; 2] {
    let first = "p0".to_owned();
    let partition = Partition::of(&first);
    let second = (1..).map(|n| format!("p{n}"));
    let second = second
        .into_iter()
        .find(|name| Partition::of(name) == partition);
    [first, second.expect("one of 64")]
}

fn listing(name: &str, of: &str) -> String {
    keys::listing(Partition::of(of), name, &shop())
}

async fn listed(store: &RedisStore) -> Vec<PaymentId> {
    let beginning = ChangeCursor {
        updated_at: Timestamp::from_unix_ms(0),
        id: None,
    };
    tokio::time::sleep(Duration::from_millis(10)).await;
    let listed = store.changed_since(&shop(), &beginning, None, 100).await;
    let listed = listed.expect("changed_since").into_iter();
    listed.map(|changed| changed.id).collect()
}

#[tokio::test]
async fn a_payment_without_an_entry_gets_one_with_its_next_change() {
    let server = start().await;
    let store = open_standalone(&server).await;
    store.create(&payment("p1")).await.expect("create");
    server.command(&["DEL", &listing("changes", "p1")]).await;
    assert_eq!(listed(&store).await, []);
    let observed = store
        .observe(&id("p1"), &reporting(StatusKind::Verifying, 20))
        .await;
    observed.expect("observe");
    assert_eq!(listed(&store).await, [id("p1")]);
}

#[tokio::test]
async fn a_delivery_without_an_entry_gets_one_with_its_next_attempt() {
    let server = start().await;
    let store = open_standalone(&server).await;
    let observed = store.observe(&id("p1"), &confirming("{}", 10)).await;
    observed.expect("observe");
    let payment = key("payment", "p1");
    server
        .command(&["HDEL", &payment, "delivery_scheduled"])
        .await;
    for name in ["deliveries:open", "deliveries:dead"] {
        server.command(&["DEL", &listing(name, "p1")]).await;
    }
    let dead = async || {
        let listed = store.undelivered(&shop(), Undelivered::Dead, None, 9).await;
        listed
            .expect("undelivered")
            .expect("from the beginning")
            .len()
    };
    assert_eq!(dead().await, 0);
    let now = time(&server).await;
    let leased = store.lease_due(JobKind::Delivery, now, 1, HOURS).await;
    let finished = store
        .finish(&leased.expect("lease")[0], &JobResult::Dead, None)
        .await;
    assert!(finished.expect("finish"));
    assert_eq!(dead().await, 1);
}

#[tokio::test]
async fn a_change_is_later_than_the_mark_of_a_reading_although_the_clock_was_set_back() {
    let server = start().await;
    let store = open_standalone(&server).await;
    let changes = listing("changes", "p1");
    let mark = time(&server).await.plus(HOURS).unix_ms();
    server
        .command(&["ZADD", &changes, &mark.to_string(), ""])
        .await;
    store.create(&payment("p1")).await.expect("create");
    let score: i64 = server.ask(&["ZSCORE", &changes, "p1"]).await;
    assert!(score > mark, "{score}");
}

#[tokio::test]
async fn an_expired_payment_is_not_listed_and_its_entries_leave_with_a_neighbours_write() {
    let server = start().await;
    let store = open_standalone(&server).await;
    let [expired, other] = neighbours();
    let create = async |name: &str| {
        let created = store.create(&payment(name)).await;
        created.expect("create");
    };
    create(&expired).await;
    let observed = store.observe(&id(&expired), &confirming("{}", 10)).await;
    observed.expect("observe");
    let expires_at: i64 = server
        .ask(&["ZSCORE", &listing("expiries", &expired), &expired])
        .await;
    let left: i64 = server
        .ask(&["PEXPIRETIME", &key("payment", &expired)])
        .await;
    assert_eq!(expires_at, left);

    server.command(&["DEL", &key("payment", &expired)]).await;
    assert_eq!(listed(&store).await, []);
    server
        .command(&["ZADD", &listing("expiries", &expired), "1", &expired])
        .await;
    create(&other).await;
    for name in keys::LISTINGS {
        let rank: Option<i64> = server
            .ask(&["ZRANK", &listing(name, &expired), &expired])
            .await;
        assert_eq!(rank, None, "{name}");
    }
    assert_eq!(listed(&store).await, [id(&other)]);
}
