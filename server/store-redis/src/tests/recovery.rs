//! An operation that ended halfway, or happened twice, is repaired by a repetition.

use chasqui_payment::{Status, Verdict};
use chasqui_store::{TIMELINE_LIMIT, TimelineEvent};
use chasqui_store_suite::{
    at, attempt, confirming, events, id, intent, notified, payment, shop, status,
};

use super::*;

#[tokio::test]
async fn an_attempt_that_is_finished_again_is_recorded_once() {
    let server = start().await;
    let store = open_standalone(&server).await;
    let observed = store.observe(&id("p1"), &confirming("{}", 10)).await;
    observed.expect("observe");
    let now = time(&server).await;
    let leased = store.lease_due(JobKind::Delivery, now, 1, Duration::from_secs(60));
    let leased = leased.await.expect("lease").remove(0);
    let tried = attempt(60, "connection refused");
    for holds in [true, false] {
        let again = JobResult::Retry { due_at: now };
        let finished = store.finish(&leased, &again, Some(&tried)).await;
        assert_eq!(finished.expect("finish"), holds);
    }
    let attempts = events(&store, "p1").await.into_iter();
    let attempts = attempts.filter(|event| matches!(event, TimelineEvent::Attempted { .. }));
    assert_eq!(attempts.count(), 1);
}

#[tokio::test]
async fn an_intent_that_was_not_bound_is_bound_when_the_payment_is_created_again() {
    let server = start().await;
    let store = open_standalone(&server).await;
    store.save_intent(&intent(9)).await.expect("save");
    store.create(&payment("p1")).await.expect("create");
    let (_, place) = keys::intent(&intent(9).reference);
    server.command(&["HDEL", &place, "payment_id"]).await;
    store.create(&payment("p1")).await.expect("again");
    let bound = store.intent(&intent(9).reference).await.expect("intent");
    assert_eq!(bound.and_then(|bound| bound.payment_id), Some(id("p1")));
}

#[tokio::test]
async fn an_index_that_leads_nowhere_is_passed_over() {
    let server = start().await;
    let store = open_standalone(&server).await;
    // It ended between the index and the payment, which later has other terms.
    for name in ["never", "other"] {
        transactions::index(&store, &payment(name))
            .await
            .expect("keep");
    }
    let mut other = payment("other");
    if let Some(terms) = &mut other.terms {
        terms.transaction_id = Some("order 78".to_owned());
    }
    for created in [&other, &payment("p1")] {
        store.create(created).await.expect("create");
    }
    let found = store.by_transaction(&shop(), "order 77").await;
    assert_eq!(found.expect("found"), [id("p1")]);
}

#[tokio::test]
async fn a_transaction_that_all_payments_share_keeps_to_its_bounds() {
    let server = start().await;
    let store = open_standalone(&server).await;
    let (_, index) = keys::transaction(&shop(), "order 77");
    for n in 0..300 {
        let payment = Payment {
            reference: None,
            created_at: at(n),
            ..payment(&format!("p{n}"))
        };
        store.create(&payment).await.expect("create");
    }
    assert_eq!(server.ask::<i64>(&["ZCARD", &index]).await, 200);
    let newest: Vec<String> = server.ask(&["ZRANGE", &index, "-1", "-1"]).await;
    assert_eq!(newest, ["p299"]);
}

#[tokio::test]
async fn a_timeline_keeps_to_its_bounds() {
    let server = start().await;
    let store = open_standalone(&server).await;
    for n in 0..TIMELINE_LIMIT + 3 {
        let observation = notified(&n.to_string(), Verdict::Stale, 5);
        let observed = store.observe(&id("p1"), &observation).await;
        observed.expect("observe");
    }
    let length: usize = server.ask(&["LLEN", &key("timeline", "p1")]).await;
    assert_eq!(length, TIMELINE_LIMIT);
    // What is no longer recorded still happens.
    let observed = store.observe(&id("p1"), &confirming("{}", 10)).await;
    assert!(observed.expect("observe").changed());
    assert_eq!(status(&store, "p1").await, Some(Status::Confirmed));
}

#[tokio::test]
async fn an_older_schema_is_raised_and_a_newer_one_is_refused() {
    let server = start().await;
    let settings = standalone(&server);
    let version = keys::key(Partition::of("schema"), "schema", "version");
    for found in ["1", "2"] {
        server.command(&["SET", &version, found]).await;
        drop(open_standalone(&server).await);
        assert_eq!(server.ask::<String>(&["GET", &version]).await, "2");
    }

    server.command(&["SET", &version, "3"]).await;
    let redis = RedisClient::open(&settings).await.expect("reachable");
    let error = RedisStore::open(redis, RETENTION).await;
    let text = error.expect_err("newer").to_string();
    assert!(text.contains("newer chasqui"), "{text}");
    assert_eq!(server.ask::<String>(&["GET", &version]).await, "3");
}

#[tokio::test]
async fn a_redis_that_is_gone_fails_the_health_check() {
    let mut server = start().await;
    let store = open_standalone(&server).await;
    store.health_check().await.expect("all is well");
    server.kill();
    let error = store.health_check().await.expect_err("it is gone");
    assert!(matches!(error, StoreError::Unavailable(_)), "{error}");
    server.restart().await;
    redis_processes::deadline::eventually("it can be written to again", async || {
        store.health_check().await.ok()
    })
    .await;
}

#[tokio::test]
async fn every_key_has_the_prefix_and_the_slot_of_its_partition() {
    let server = start().await;
    let store = open_standalone(&server).await;
    store.save_intent(&intent(9)).await.expect("save");
    store.create(&payment("p1")).await.expect("create");
    let observed = store.observe(&id("p1"), &confirming("{}", 10)).await;
    observed.expect("observe");
    let taken = store.try_lock_poll(&id("p1"), at(1), HOURS).await;
    assert!(taken.expect("lock"));
    let keys: Vec<String> = server.ask(&["KEYS", "*"]).await;
    let of_payment: Vec<_> = keys.iter().filter(|key| key.ends_with(":p1")).collect();
    assert_eq!(of_payment.len(), 5, "{keys:?}");
    for key in &of_payment {
        assert!(
            key.starts_with(&(keys::prefix(Partition::of("p1")) + ":")),
            "{key}"
        );
    }
    for key in &keys {
        assert!(key.starts_with("chasqui:{p"), "{key}");
    }
}
