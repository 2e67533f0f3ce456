//! A status only rises, and stored data stays.

mod concurrency;
mod updates;

use std::time::Duration;

use chasqui_store::{JobResult, StoreError};

pub use self::concurrency::*;
pub use self::updates::*;
use crate::fixtures::*;

pub async fn an_unknown_payment_begins_as_pending_without_terms(factory: &impl StoreFactory) {
    let store = factory.fresh().await;
    let outcome = store
        .observe(&id("p1"), &notified("{}", Verdict::UnknownPayment, 40))
        .await
        .expect("observe");
    assert_eq!(outcome.before, None);
    assert_eq!(outcome.after, PaymentState::created(at(40)));
    let begun = store.payment(&id("p1")).await.expect("payment");
    let expected = Payment {
        id: id("p1"),
        account: shop(),
        terms: None,
        urls: MerchantUrls::default(),
        reference: None,
        payment_url: None,
        expires_at: None,
        created_at: at(40),
        state: PaymentState::created(at(40)),
    };
    assert_eq!(begun, Some(expected));
}

pub async fn an_observation_without_an_update_begins_a_payment_too(factory: &impl StoreFactory) {
    let store = factory.fresh().await;
    store
        .observe(&id("p1"), &scheduling(JobKind::Check, 5))
        .await
        .expect("observe");
    assert_eq!(status(&*store, "p1").await, Some(Status::Pending));
}

pub async fn an_observation_for_another_account_is_refused_and_changes_nothing(
    factory: &impl StoreFactory,
) {
    let store = factory.fresh().await;
    store.create(&payment("p1")).await.expect("create");
    let foreign = Observation {
        account: other_shop(),
        ..confirming("{}", 20)
    };
    assert!(matches!(
        store.observe(&id("p1"), &foreign).await,
        Err(StoreError::WrongAccount)
    ));
    assert_eq!(
        store.payment(&id("p1")).await.expect("payment"),
        Some(payment("p1"))
    );
    assert_eq!(
        store.notification(&id("p1")).await.expect("notification"),
        None
    );
    assert_eq!(events(&*store, "p1").await, [TimelineEvent::Created]);
    assert_eq!(store.next_due(JobKind::Delivery).await.expect("due"), None);
}

pub async fn states_are_read_in_the_order_of_their_ids(factory: &impl StoreFactory) {
    let store = factory.fresh().await;
    for (name, kind) in [("a", StatusKind::Verifying), ("b", StatusKind::Confirmed)] {
        store
            .observe(&id(name), &reporting(kind, 1))
            .await
            .expect("observe");
    }
    let states = store
        .states(&[id("b"), id("unknown"), id("a"), id("b")])
        .await
        .expect("read");
    let found: Vec<_> = states
        .iter()
        .map(|state| state.map(|s| s.status()))
        .collect();
    assert_eq!(
        found,
        [
            Some(Status::Confirmed),
            None,
            Some(Status::Verifying),
            Some(Status::Confirmed)
        ]
    );
    assert_eq!(store.states(&[]).await.expect("read"), []);
    assert_eq!(store.payment(&id("unknown")).await.expect("payment"), None);
}

pub async fn data_and_leases_survive_reopening(factory: &impl StoreFactory) {
    let store = factory.fresh().await;
    store.save_intent(&intent(9)).await.expect("save");
    store.create(&payment("p1")).await.expect("create");
    store
        .observe(&id("p1"), &confirming("{\"a\":1}", 20))
        .await
        .expect("observe");
    let leased = store
        .lease_due(JobKind::Delivery, at(20), 1, Duration::from_secs(1))
        .await
        .expect("lease");
    let before = (
        store
            .intent(&PaymentReference::from_random(9))
            .await
            .expect("intent"),
        store.payment(&id("p1")).await.expect("payment"),
        store.notification(&id("p1")).await.expect("notification"),
        store.timeline(&id("p1")).await.expect("timeline"),
        store.next_due(JobKind::Delivery).await.expect("due"),
    );
    let Some(store) = factory.reopened(store).await else {
        return;
    };
    let after = (
        store
            .intent(&PaymentReference::from_random(9))
            .await
            .expect("intent"),
        store.payment(&id("p1")).await.expect("payment"),
        store.notification(&id("p1")).await.expect("notification"),
        store.timeline(&id("p1")).await.expect("timeline"),
        store.next_due(JobKind::Delivery).await.expect("due"),
    );
    assert_eq!(before, after);
    let finished = store
        .finish(&leased[0], &JobResult::Done, None)
        .await
        .expect("finish");
    assert!(finished, "the lease is still its holder's");
}

pub async fn a_fresh_store_is_healthy(factory: &impl StoreFactory) {
    factory.fresh().await.health_check().await.expect("healthy");
}
