//! Final payments expire, open ones stay, and delivered bytes are erased.

use chasqui_payment::{StatusKind, Verdict};
use chasqui_store::TimelineEvent;
use chasqui_store_suite::{
    attempt, confirming, events, id, intent, notified, payment, reporting, scheduling, shop,
};
use redis_processes::deadline::eventually;

use super::*;

const RETENTION: Duration = Duration::from_secs(1000);
const RAW_RETENTION: Duration = Duration::from_secs(100);

/// No such key.
const GONE: i64 = -2;

async fn open_with(server: &RedisServer, raw_retention: Duration) -> RedisStore {
    let retention = Retention {
        payments: RETENTION,
        notification_bytes: raw_retention,
    };
    open(&standalone(server), retention).await
}

async fn left(server: &RedisServer, key: &str) -> i64 {
    server.ask(&["PTTL", key]).await
}

/// The payment's four keys: itself, its notifications, its timeline, their bytes.
async fn all_left(server: &RedisServer, name: &str) -> [i64; 4] {
    let mut all = [0; 4];
    for (left_of, kind) in all
        .iter_mut()
        .zip(["payment", "notified", "timeline", "raw"])
    {
        *left_of = left(server, &key(kind, name)).await;
    }
    all
}

/// Within what a test takes.
fn is(left: i64, expected: Duration) -> bool {
    let expected = i64::try_from(expected.as_millis()).expect("short");
    (expected - 30_000..=expected).contains(&left)
}

async fn observe(store: &RedisStore, name: &str, observation: &Observation) {
    let observed = store.observe(&id(name), observation).await;
    observed.expect("observe");
}

/// Leases the payment's delivery and finishes it.
async fn deliver(server: &RedisServer, store: &RedisStore) {
    let now = time(server).await;
    let leased = store.lease_due(JobKind::Delivery, now, 10, RAW_RETENTION);
    let tried = attempt(60, "200");
    for leased in leased.await.expect("lease") {
        let finished = store.finish(&leased, &JobResult::Done, Some(&tried));
        assert!(finished.await.expect("finish"));
    }
}

#[tokio::test]
async fn an_open_payment_is_kept_while_khipu_is_asked_and_then_for_its_retention() {
    const DAY: Duration = Duration::from_secs(24 * 3600);
    let server = start().await;
    let store = open_with(&server, RAW_RETENTION).await;
    let now = time(&server).await;
    for (name, expires_at) in [("dated", Some(now.plus(2 * DAY))), ("undated", None)] {
        let open = Payment {
            expires_at,
            created_at: now,
            ..payment(name)
        };
        store.create(&open).await.expect("create");
        observe(&store, name, &notified("{}", Verdict::Stale, 10)).await;
        let term = match expires_at {
            Some(_) => 2 * DAY,
            None => DAY,
        };
        let left = all_left(&server, name).await;
        let expected = term + 10 * DAY + RETENTION;
        assert!(left.iter().all(|ms| is(*ms, expected)), "{name} {left:?}");
    }
}

#[tokio::test]
async fn a_final_payment_expires_after_its_retention() {
    let server = start().await;
    let store = open_with(&server, RAW_RETENTION).await;
    for (name, kind) in [
        ("confirmed", StatusKind::Confirmed),
        ("reversed", StatusKind::Reversed),
    ] {
        observe(&store, name, &notified("{}", Verdict::Stale, 10)).await;
        observe(&store, name, &reporting(kind, 20)).await;
        let left = all_left(&server, name).await;
        assert!(left.iter().all(|ms| is(*ms, RETENTION)), "{name} {left:?}");
    }
}

#[tokio::test]
async fn every_write_to_a_final_payment_starts_its_retention_again() {
    let server = start().await;
    let store = open_with(&server, RAW_RETENTION).await;
    let now = time(&server).await;
    observe(&store, "p1", &confirming("{}", 10)).await;
    let shorten = async || {
        for kind in ["payment", "notified", "timeline", "raw"] {
            server
                .command(&["PEXPIRE", &key(kind, "p1"), "50000"])
                .await;
        }
    };
    let renewed = async |what: &str| {
        let left = all_left(&server, "p1").await;
        assert!(left.iter().all(|ms| is(*ms, RETENTION)), "{what} {left:?}");
    };

    shorten().await;
    observe(&store, "p1", &notified("{\"n\":2}", Verdict::Stale, 20)).await;
    renewed("a notification").await;
    shorten().await;
    observe(&store, "p1", &scheduling(JobKind::Check, 30)).await;
    renewed("a job").await;
    shorten().await;
    store.create(&payment("p1")).await.expect("create");
    renewed("its creation").await;
    shorten().await;
    let leased = store.lease_due(JobKind::Delivery, now, 10, RETENTION).await;
    let again = JobResult::Retry { due_at: now };
    let finished = store.finish(&leased.expect("lease")[0], &again, None).await;
    assert!(finished.expect("finish"));
    renewed("an attempt").await;

    shorten().await;
    observe(&store, "p1", &reporting(StatusKind::Verifying, 40)).await;
    let left = all_left(&server, "p1").await;
    assert!(
        left.iter().all(|ms| *ms <= 50_000),
        "nothing was written: {left:?}"
    );
}

#[tokio::test]
async fn delivered_bytes_are_erased_and_nothing_else() {
    let server = start().await;
    let store = open_with(&server, Duration::from_millis(300)).await;
    observe(&store, "p1", &confirming("{}", 10)).await;
    assert!(
        store
            .notification(&id("p1"))
            .await
            .expect("notification")
            .is_some()
    );
    deliver(&server, &store).await;
    eventually("the bytes are erased", async || {
        let kept = store.notification(&id("p1")).await.expect("notification");
        kept.is_none().then_some(())
    })
    .await;
    assert_eq!(left(&server, &key("raw", "p1")).await, GONE);
    let counted = TimelineEvent::Notified {
        verdict: Verdict::Agrees,
        copies: 1,
    };
    assert!(events(&store, "p1").await.contains(&counted));
    assert!(is(left(&server, &key("payment", "p1")).await, RETENTION));
}

#[tokio::test]
async fn bytes_are_kept_for_their_retention_since_the_newest_came() {
    let server = start().await;
    let store = open_with(&server, RAW_RETENTION).await;
    observe(&store, "p1", &confirming("{}", 10)).await;
    deliver(&server, &store).await;
    let raw = key("raw", "p1");
    assert!(is(left(&server, &raw).await, RAW_RETENTION));

    // As if it had come a minute ago.
    let minute_ago = time(&server).await.minus(Duration::from_secs(60)).unix_ms();
    let (notified_key, minute_ago) = (key("notified", "p1"), minute_ago.to_string());
    server
        .command(&["HSET", &notified_key, "newest", &minute_ago])
        .await;
    observe(&store, "p1", &scheduling(JobKind::Check, 30)).await;
    assert!(is(left(&server, &raw).await, Duration::from_secs(40)));

    for copy in ["{}", "{\"n\":2}"] {
        server
            .command(&["HSET", &notified_key, "newest", &minute_ago])
            .await;
        observe(&store, "p1", &notified(copy, Verdict::Agrees, 50)).await;
        assert!(is(left(&server, &raw).await, RAW_RETENTION), "{copy}");
    }

    server
        .command(&["HSET", &notified_key, "newest", "1"])
        .await;
    observe(&store, "p1", &scheduling(JobKind::Check, 20)).await;
    eventually("expired bytes are deleted at once", async || {
        (left(&server, &raw).await == GONE).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_dead_or_open_delivery_erases_nothing() {
    let server = start().await;
    let store = open_with(&server, Duration::from_millis(1)).await;
    for name in ["open", "dead"] {
        observe(&store, name, &confirming("{}", 10)).await;
    }
    let now = time(&server).await;
    let leased = store.lease_due(JobKind::Delivery, now, 10, RETENTION).await;
    for leased in leased.expect("lease") {
        let end = match leased.payment_id.as_str() {
            "dead" => JobResult::Dead,
            _ => JobResult::Retry { due_at: now },
        };
        assert!(store.finish(&leased, &end, None).await.expect("finish"));
    }
    for name in ["open", "dead"] {
        let left = all_left(&server, name).await;
        assert!(left.iter().all(|ms| is(*ms, RETENTION)), "{name} {left:?}");
    }
}

#[tokio::test]
async fn references_expire_with_their_payment() {
    let server = start().await;
    let store = open_with(&server, RAW_RETENTION).await;
    store.save_intent(&intent(9)).await.expect("save");
    store.create(&payment("p1")).await.expect("create");
    let reference = intent(9).reference;
    let (_, intent) = keys::intent(&reference);
    let (_, index) = keys::transaction(&shop(), "order 77");
    for name in [&intent, &index] {
        let left = left(&server, name).await;
        assert!(is(left, store.retention.references()), "{name} {left}");
    }
    observe(&store, "p1", &reporting(StatusKind::Confirmed, 20)).await;
    for name in [&intent, &index] {
        eventually("it is kept no longer than the payment", async || {
            is(left(&server, name).await, RETENTION).then_some(())
        })
        .await;
    }
}

#[tokio::test]
async fn references_to_another_payment_stay() {
    let server = start().await;
    let store = open_with(&server, RAW_RETENTION).await;
    store.save_intent(&intent(9)).await.expect("save");
    for name in ["p1", "p2"] {
        store.create(&payment(name)).await.expect("create");
    }
    let (_, intent) = keys::intent(&intent(9).reference);
    let (_, index) = keys::transaction(&shop(), "order 77");
    // The intent is the first one's.
    observe(&store, "p2", &reporting(StatusKind::Confirmed, 20)).await;
    observe(&store, "p1", &reporting(StatusKind::Confirmed, 20)).await;
    eventually("the first one's intent expires", async || {
        is(left(&server, &intent).await, RETENTION).then_some(())
    })
    .await;
    assert!(is(
        left(&server, &index).await,
        store.retention.references()
    ));
    let found = store.by_transaction(&shop(), "order 77").await;
    assert_eq!(found.expect("found"), ["p2", "p1"].map(id));
}

#[tokio::test]
async fn a_retention_without_end_is_a_long_one() {
    let server = start().await;
    let endless = Retention {
        payments: Duration::MAX,
        notification_bytes: Duration::MAX,
    };
    let store = open(&standalone(&server), endless).await;
    store.save_intent(&intent(9)).await.expect("save");
    store.create(&payment("p1")).await.expect("create");
    observe(&store, "p1", &confirming("{}", 10)).await;
    deliver(&server, &store).await;
    let left = all_left(&server, "p1").await;
    assert!(
        left.iter().all(|ms| is(*ms, retention::LONGEST)),
        "{left:?}"
    );
}
