//! Deliveries are read, and those that their merchant does not have are listed.

use std::time::Duration;

use chasqui_store::{
    Delivery, JobResult, LastAttempt, LeasedJob, ListedDelivery, Redelivery, StoreError,
};

use crate::fixtures::*;

async fn confirm(store: &dyn Store, name: &str) {
    let observed = store.observe(&id(name), &confirming("{}", 10)).await;
    observed.expect("observe");
    // Deliveries of one moment are listed by their payments' ids.
    passed(now()).await;
}

async fn lease(store: &dyn Store) -> Vec<LeasedJob> {
    let lease = Duration::from_secs(60);
    let leased = store.lease_due(JobKind::Delivery, now(), 1000, lease).await;
    leased.expect("lease")
}

async fn finish(store: &dyn Store, leased: &LeasedJob, end: JobResult, tried: &JobAttempt) {
    let finished = store.finish(leased, &end, Some(tried)).await;
    assert!(finished.expect("finish"));
}

/// Ends all due deliveries.
async fn finish_due(store: &dyn Store, end: JobResult) {
    for leased in lease(store).await {
        finish(store, &leased, end, &attempt(20, "503")).await;
    }
}

async fn delivery(store: &dyn Store, name: &str) -> Option<Delivery> {
    store.delivery(&id(name)).await.expect("delivery")
}

async fn page(
    store: &dyn Store,
    state: Undelivered,
    after: Option<&str>,
    limit: usize,
) -> Vec<ListedDelivery> {
    let after = after.map(id);
    let listed = store
        .undelivered(&shop(), state, after.as_ref(), limit)
        .await;
    listed.expect("undelivered").expect("a known payment")
}

async fn names(store: &dyn Store, state: Undelivered, after: Option<&str>) -> Vec<String> {
    let listed = page(store, state, after, 1000).await.into_iter();
    listed.map(|it| it.payment_id.to_string()).collect()
}

pub async fn a_payment_without_a_delivery_has_none(factory: &impl StoreFactory) {
    let store = factory.fresh().await;
    store.create(&payment("p1")).await.expect("create");
    for name in ["p1", "unknown"] {
        assert_eq!(delivery(&*store, name).await, None, "{name}");
        let after = id(name);
        let listed = store
            .undelivered(&shop(), Undelivered::Open, Some(&after), 9)
            .await;
        assert_eq!(listed.expect("undelivered"), None, "{name}");
    }
    assert_eq!(
        names(&*store, Undelivered::Open, None).await,
        Vec::<String>::new()
    );
}

pub async fn a_delivery_is_open_until_it_is_done_or_dead(factory: &impl StoreFactory) {
    for (end, state) in [
        (JobResult::Done, DeliveryState::Done),
        (JobResult::Dead, DeliveryState::Dead),
    ] {
        let store = factory.fresh().await;
        confirm(&*store, "p1").await;
        let scheduled = Delivery {
            state: DeliveryState::Open,
            attempts: 0,
            next_at: Some(at(10)),
            last: None,
        };
        assert_eq!(delivery(&*store, "p1").await, Some(scheduled.clone()));
        let leased = lease(&*store).await.remove(0);
        assert_eq!(delivery(&*store, "p1").await, Some(scheduled));

        let again = JobResult::Retry { due_at: at(30) };
        finish(&*store, &leased, again, &attempt(20, "connection refused")).await;
        let last = |ms, result: &str| {
            Some(LastAttempt {
                at: at(ms),
                result: result.to_owned(),
            })
        };
        let tried = Delivery {
            state: DeliveryState::Open,
            attempts: 1,
            next_at: Some(at(30)),
            last: last(20, "connection refused"),
        };
        assert_eq!(delivery(&*store, "p1").await, Some(tried));

        let leased = lease(&*store).await.remove(0);
        finish(&*store, &leased, end, &attempt(40, "404")).await;
        let ended = Delivery {
            state,
            attempts: 2,
            next_at: None,
            last: last(40, "404"),
        };
        assert_eq!(delivery(&*store, "p1").await, Some(ended));
    }
}

pub async fn undelivered_are_listed_by_state_the_first_scheduled_first(
    factory: &impl StoreFactory,
) {
    let store = factory.fresh().await;
    for name in ["c", "a", "d", "b"] {
        confirm(&*store, name).await;
    }
    for leased in lease(&*store).await {
        let end = match leased.payment_id.as_str() {
            "a" => JobResult::Retry { due_at: later() },
            "d" => JobResult::Done,
            _ => JobResult::Dead,
        };
        finish(&*store, &leased, end, &attempt(20, "503")).await;
    }
    confirm(&*store, "e").await;

    assert_eq!(names(&*store, Undelivered::Open, None).await, ["a", "e"]);
    assert_eq!(names(&*store, Undelivered::Dead, None).await, ["c", "b"]);
    for state in [Undelivered::Open, Undelivered::Dead] {
        for listed in page(&*store, state, None, 9).await {
            let read = delivery(&*store, listed.payment_id.as_str()).await;
            assert_eq!(read, Some(listed.delivery));
        }
    }
}

pub async fn pages_of_undelivered_have_every_one_once(factory: &impl StoreFactory) {
    let store = factory.fresh().await;
    at_once(120, |n| {
        let store = Arc::clone(&store);
        async move { confirm(&*store, &format!("p{n}")).await }
    })
    .await;
    finish_due(&*store, JobResult::Dead).await;
    let all = page(&*store, Undelivered::Dead, None, 1000).await;
    assert_eq!(all.len(), 120);
    for size in [7, 119, 120] {
        let mut read: Vec<ListedDelivery> = Vec::new();
        loop {
            let last = read.last().map(|it| it.payment_id.as_str());
            let page = page(&*store, Undelivered::Dead, last, size).await;
            if page.is_empty() {
                break;
            }
            read.extend(page);
        }
        assert_eq!(read, all, "{size}");
    }
}

pub async fn a_page_continues_after_a_delivery_that_has_left_the_state(
    factory: &impl StoreFactory,
) {
    let store = factory.fresh().await;
    for name in ["a", "b", "c"] {
        confirm(&*store, name).await;
    }
    for leased in lease(&*store).await {
        let end = match leased.payment_id.as_str() {
            "b" => JobResult::Done,
            _ => JobResult::Retry { due_at: later() },
        };
        finish(&*store, &leased, end, &attempt(20, "503")).await;
    }
    assert_eq!(names(&*store, Undelivered::Open, Some("b")).await, ["c"]);
    assert_eq!(names(&*store, Undelivered::Open, Some("a")).await, ["c"]);
}

pub async fn only_the_accounts_deliveries_are_listed(factory: &impl StoreFactory) {
    let store = factory.fresh().await;
    confirm(&*store, "own").await;
    let foreign = Observation {
        account: other_shop(),
        ..confirming("{}", 10)
    };
    for name in ["foreign", "taken"] {
        store.observe(&id(name), &foreign).await.expect("observe");
    }
    assert_eq!(names(&*store, Undelivered::Open, None).await, ["own"]);
    let after = id("foreign");
    let listed = store
        .undelivered(&shop(), Undelivered::Open, Some(&after), 9)
        .await;
    assert_eq!(listed.expect("undelivered"), None);

    // It was this account's all along.
    store.create(&payment("taken")).await.expect("create");
    let listed = store
        .undelivered(&other_shop(), Undelivered::Open, None, 9)
        .await;
    let listed = listed.expect("undelivered").expect("from the beginning");
    assert_eq!(listed.len(), 1, "{listed:?}");
    assert_eq!(listed[0].payment_id, id("foreign"));
}

fn later() -> Timestamp {
    now().plus(Duration::from_secs(3600))
}

async fn redeliver(store: &dyn Store, name: &str, ms: i64) -> Redelivery {
    let reopened = store.redeliver(&shop(), &id(name), at(ms)).await;
    reopened.expect("redeliver")
}

pub async fn a_delivery_that_is_done_or_dead_is_reopened_and_counts_from_zero(
    factory: &impl StoreFactory,
) {
    for end in [JobResult::Done, JobResult::Dead] {
        let store = factory.fresh().await;
        confirm(&*store, "p1").await;
        finish_due(&*store, JobResult::Retry { due_at: at(30) }).await;
        finish_due(&*store, end).await;

        assert_eq!(redeliver(&*store, "p1", 50).await, Redelivery::Reopened);
        let reopened = delivery(&*store, "p1").await.expect("a delivery");
        assert_eq!(reopened.state, DeliveryState::Open);
        assert_eq!((reopened.attempts, reopened.next_at), (0, Some(at(50))));
        assert_eq!(names(&*store, Undelivered::Open, None).await, ["p1"]);
        assert_eq!(
            names(&*store, Undelivered::Dead, None).await,
            Vec::<String>::new()
        );

        let leased = lease(&*store).await.remove(0);
        assert_eq!(leased.attempts, 0);
        finish(&*store, &leased, JobResult::Done, &attempt(60, "200")).await;
        assert_eq!(lease(&*store).await, []);
        let timeline = events(&*store, "p1").await;
        let [
            ..,
            TimelineEvent::Redelivered,
            TimelineEvent::Attempted { number, .. },
        ] = &timeline[..]
        else {
            panic!("{timeline:?}");
        };
        assert_eq!(*number, 1);
    }
}

pub async fn a_confirmed_payment_without_a_delivery_gets_one(factory: &impl StoreFactory) {
    let store = factory.fresh().await;
    let confirmed = reporting(StatusKind::Confirmed, 10);
    store.observe(&id("p1"), &confirmed).await.expect("observe");
    assert_eq!(redeliver(&*store, "p1", 50).await, Redelivery::Reopened);
    assert_eq!(lease(&*store).await.len(), 1);
    assert_eq!(names(&*store, Undelivered::Open, None).await, ["p1"]);
}

pub async fn of_concurrent_redeliveries_one_reopens(factory: &impl StoreFactory) {
    let store = factory.fresh().await;
    confirm(&*store, "p1").await;
    finish_due(&*store, JobResult::Dead).await;
    let outcomes = at_once(16, |_| {
        let store = Arc::clone(&store);
        async move { redeliver(&*store, "p1", 50).await }
    })
    .await;
    let reopened = |outcome: &&Redelivery| **outcome == Redelivery::Reopened;
    assert_eq!(outcomes.iter().filter(reopened).count(), 1);
    let events = events(&*store, "p1").await;
    let redelivered = |event: &&TimelineEvent| **event == TimelineEvent::Redelivered;
    assert_eq!(events.iter().filter(redelivered).count(), 1);
}

pub async fn an_open_delivery_is_not_reopened(factory: &impl StoreFactory) {
    let store = factory.fresh().await;
    confirm(&*store, "p1").await;
    finish_due(&*store, JobResult::Retry { due_at: later() }).await;
    let before = delivery(&*store, "p1").await;
    assert_eq!(redeliver(&*store, "p1", 50).await, Redelivery::AlreadyOpen);
    assert_eq!(delivery(&*store, "p1").await, before);
}

pub async fn a_payment_that_is_not_confirmed_is_not_redelivered(factory: &impl StoreFactory) {
    let store = factory.fresh().await;
    assert_eq!(
        redeliver(&*store, "unknown", 50).await,
        Redelivery::UnknownPayment
    );
    store.create(&payment("open")).await.expect("create");
    confirm(&*store, "reversed").await;
    finish_due(&*store, JobResult::Dead).await;
    let reversed = reporting(StatusKind::Reversed, 30);
    store
        .observe(&id("reversed"), &reversed)
        .await
        .expect("observe");
    for name in ["open", "reversed"] {
        assert_eq!(
            redeliver(&*store, name, 50).await,
            Redelivery::NotConfirmed,
            "{name}"
        );
    }
    assert_eq!(lease(&*store).await, []);
}

pub async fn another_accounts_delivery_is_not_reopened(factory: &impl StoreFactory) {
    let store = factory.fresh().await;
    confirm(&*store, "p1").await;
    finish_due(&*store, JobResult::Dead).await;
    let refused = store.redeliver(&other_shop(), &id("p1"), at(50)).await;
    assert!(
        matches!(refused, Err(StoreError::WrongAccount)),
        "{refused:?}"
    );
    assert_eq!(names(&*store, Undelivered::Dead, None).await, ["p1"]);
}
