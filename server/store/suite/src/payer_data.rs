//! A payer's data is erased on request.

use std::time::Duration;

use chasqui_store::{Erasure, JobResult, StoreError};

use crate::fixtures::*;

async fn observe(store: &dyn Store, observation: &Observation) {
    let observed = store.observe(&id("p1"), observation).await;
    observed.expect("observe");
}

/// A store may warn that its log is not rewritten yet.
async fn erase(store: &dyn Store, ms: i64) {
    let erasure = store
        .erase(&shop(), &id("p1"), at(ms))
        .await
        .expect("erase");
    assert!(matches!(erasure, Erasure::Erased { .. }), "{erasure:?}");
}

async fn refusal(store: &dyn Store) -> Erasure {
    store
        .erase(&shop(), &id("p1"), at(50))
        .await
        .expect("erase")
}

async fn body(store: &dyn Store) -> Option<Bytes> {
    let kept = store.notification(&id("p1")).await.expect("notification");
    kept.map(|kept| kept.body)
}

async fn deliver(store: &dyn Store) {
    let lease = Duration::from_secs(60);
    let leased = store.lease_due(JobKind::Delivery, now(), 1, lease).await;
    let leased = leased.expect("lease").remove(0);
    let tried = attempt(30, "200");
    let finished = store.finish(&leased, &JobResult::Done, Some(&tried));
    assert!(finished.await.expect("finish"));
}

async fn erasures(store: &dyn Store) -> usize {
    let events = events(store, "p1").await.into_iter();
    events
        .filter(|event| *event == TimelineEvent::Erased)
        .count()
}

pub async fn erasing_leaves_the_timeline_and_no_bytes(factory: &impl StoreFactory) {
    let store = factory.fresh().await;
    observe(&*store, &notified("{\"n\":1}", Verdict::Stale, 5)).await;
    observe(&*store, &confirming("{}", 10)).await;
    deliver(&*store).await;
    let before = store.timeline(&id("p1")).await.expect("timeline");
    let payment = store.payment(&id("p1")).await.expect("payment");

    erase(&*store, 50).await;
    assert_eq!(body(&*store).await, None);
    let after = store.timeline(&id("p1")).await.expect("timeline");
    assert_eq!(after[..before.len()], before);
    let erased = &after[before.len()];
    assert_eq!((erased.at, &erased.event), (at(50), &TimelineEvent::Erased));
    assert_eq!(store.payment(&id("p1")).await.expect("payment"), payment);
}

pub async fn a_payment_with_an_open_delivery_is_not_erased(factory: &impl StoreFactory) {
    let store = factory.fresh().await;
    assert_eq!(refusal(&*store).await, Erasure::UnknownPayment);
    observe(&*store, &confirming("{}", 10)).await;
    assert_eq!(refusal(&*store).await, Erasure::DeliveryOpen);
    assert!(body(&*store).await.is_some());
    deliver(&*store).await;
    erase(&*store, 50).await;
    let reopened = store.redeliver(&shop(), &id("p1"), at(60)).await;
    reopened.expect("redeliver");
    assert_eq!(refusal(&*store).await, Erasure::DeliveryOpen);
    assert_eq!(erasures(&*store).await, 1);
}

pub async fn a_copy_of_an_erased_notification_brings_no_bytes_back(factory: &impl StoreFactory) {
    let store = factory.fresh().await;
    observe(&*store, &notified("{}", Verdict::Stale, 10)).await;
    erase(&*store, 20).await;
    observe(&*store, &notified("{}", Verdict::Agrees, 30)).await;
    assert_eq!(body(&*store).await, None);
    let notified = TimelineEvent::Notified {
        verdict: Verdict::Agrees,
        copies: 2,
    };
    assert_eq!(
        events(&*store, "p1").await,
        [notified, TimelineEvent::Erased]
    );
}

pub async fn a_later_notification_is_stored_and_can_be_erased(factory: &impl StoreFactory) {
    let store = factory.fresh().await;
    observe(&*store, &notified("{}", Verdict::Agrees, 10)).await;
    erase(&*store, 20).await;
    observe(&*store, &notified("{\"n\":2}", Verdict::Agrees, 30)).await;
    assert_eq!(body(&*store).await, Some(Bytes::from("{\"n\":2}")));
    erase(&*store, 40).await;
    assert_eq!(body(&*store).await, None);
    assert_eq!(erasures(&*store).await, 2);
}

pub async fn erasing_again_is_recorded_once(factory: &impl StoreFactory) {
    let store = factory.fresh().await;
    store.create(&payment("p1")).await.expect("create");
    for ms in [20, 30] {
        erase(&*store, ms).await;
    }
    assert_eq!(erasures(&*store).await, 1);
}

pub async fn another_accounts_payment_is_not_erased(factory: &impl StoreFactory) {
    let store = factory.fresh().await;
    observe(&*store, &notified("{}", Verdict::Agrees, 10)).await;
    let refused = store.erase(&other_shop(), &id("p1"), at(20)).await;
    assert!(
        matches!(refused, Err(StoreError::WrongAccount)),
        "{refused:?}"
    );
    assert!(body(&*store).await.is_some());
}
