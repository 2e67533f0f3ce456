//! Intents and payments: what is stored, and what stays when a payment is created again.

use chasqui_store::{JobResult, StoreError};

use crate::fixtures::*;

const LEASE: std::time::Duration = std::time::Duration::from_secs(1);

pub async fn an_intent_is_stored_once(factory: &impl StoreFactory) {
    let store = factory.fresh().await;
    store.save_intent(&intent(1)).await.expect("save");
    let repeated = Intent {
        urls: MerchantUrls::default(),
        created_at: at(99),
        ..intent(1)
    };
    store.save_intent(&repeated).await.expect("repeat");
    let stored = store
        .intent(&PaymentReference::from_random(1))
        .await
        .expect("intent");
    assert_eq!(stored, Some(intent(1)));
}

pub async fn an_intent_of_another_account_is_not_changed(factory: &impl StoreFactory) {
    let store = factory.fresh().await;
    store.save_intent(&intent(1)).await.expect("save");
    let foreign = Intent {
        account: other_shop(),
        ..intent(1)
    };
    assert!(matches!(
        store.save_intent(&foreign).await,
        Err(StoreError::WrongAccount)
    ));
    let stored = store
        .intent(&PaymentReference::from_random(1))
        .await
        .expect("intent");
    assert_eq!(stored, Some(intent(1)));
}

pub async fn an_unknown_reference_has_no_intent(factory: &impl StoreFactory) {
    let store = factory.fresh().await;
    assert_eq!(
        store
            .intent(&PaymentReference::from_random(1))
            .await
            .expect("intent"),
        None
    );
}

pub async fn creating_stores_the_payment_and_binds_its_intent(factory: &impl StoreFactory) {
    let store = factory.fresh().await;
    store.save_intent(&intent(9)).await.expect("save");
    let outcome = store.create(&payment("p1")).await.expect("create");
    assert_eq!(outcome.before, None);
    assert_eq!(outcome.after, PaymentState::created(at(10)));
    assert!(outcome.changed());
    let stored = store.payment(&id("p1")).await.expect("payment");
    assert_eq!(stored, Some(payment("p1")));
    let bound = store
        .intent(&PaymentReference::from_random(9))
        .await
        .expect("intent");
    assert_eq!(bound.and_then(|bound| bound.payment_id), Some(id("p1")));
}

pub async fn creating_again_changes_nothing(factory: &impl StoreFactory) {
    let store = factory.fresh().await;
    store.create(&payment("p1")).await.expect("create");
    let outcome = store.create(&payment("p1")).await.expect("again");
    assert_eq!(outcome.before, Some(outcome.after));
    assert_eq!(
        store.payment(&id("p1")).await.expect("payment"),
        Some(payment("p1"))
    );
    assert_eq!(events(&*store, "p1").await, [TimelineEvent::Created]);
}

pub async fn creating_after_a_notification_fills_in_missing_values_and_keeps_the_status(
    factory: &impl StoreFactory,
) {
    let store = factory.fresh().await;
    store.save_intent(&intent(9)).await.expect("save");
    store
        .observe(&id("p1"), &confirming("{}", 50))
        .await
        .expect("observe");
    let outcome = store.create(&payment("p1")).await.expect("create");
    assert_eq!(outcome.before, Some(outcome.after));
    assert_eq!(outcome.after.version, Version::CONFIRMED);
    let expected = Payment {
        state: outcome.after,
        ..payment("p1")
    };
    assert_eq!(
        store.payment(&id("p1")).await.expect("payment"),
        Some(expected)
    );
    let bound = store
        .intent(&PaymentReference::from_random(9))
        .await
        .expect("intent");
    assert_eq!(bound.and_then(|bound| bound.payment_id), Some(id("p1")));
}

pub async fn creating_again_keeps_known_values(factory: &impl StoreFactory) {
    let store = factory.fresh().await;
    store.create(&payment("p1")).await.expect("create");
    let other = Payment {
        terms: None,
        urls: MerchantUrls {
            return_url: Some("https://elsewhere.example".to_owned()),
            cancel_url: Some("https://shop.example/cancelled".to_owned()),
            notify_url: None,
        },
        reference: Some(PaymentReference::from_random(10)),
        payment_url: None,
        expires_at: Some(at(1)),
        created_at: at(11),
        ..payment("p1")
    };
    store.create(&other).await.expect("again");
    let expected = Payment {
        urls: MerchantUrls {
            cancel_url: Some("https://shop.example/cancelled".to_owned()),
            ..urls()
        },
        ..payment("p1")
    };
    assert_eq!(
        store.payment(&id("p1")).await.expect("payment"),
        Some(expected)
    );
}

pub async fn creating_again_takes_the_higher_state(factory: &impl StoreFactory) {
    let store = factory.fresh().await;
    store.create(&payment("p1")).await.expect("create");
    let confirmed = PaymentState {
        version: Version::CONFIRMED,
        at: at(70),
        late: true,
        reason: Some(StatusReason::MarkedPaidByReceiver),
    };
    let found = Payment {
        state: confirmed,
        ..payment("p1")
    };
    let outcome = store.create(&found).await.expect("again");
    assert!(outcome.changed());
    assert_eq!(outcome.after, confirmed);
    assert_eq!(
        store.states(&[id("p1")]).await.expect("read"),
        [Some(confirmed)]
    );
}

pub async fn creating_for_another_account_is_refused(factory: &impl StoreFactory) {
    let store = factory.fresh().await;
    store.create(&payment("p1")).await.expect("create");
    let foreign = Payment {
        account: other_shop(),
        reference: None,
        state: PaymentState {
            version: Version::CONFIRMED,
            ..PaymentState::created(at(1))
        },
        ..payment("p1")
    };
    assert!(matches!(
        store.create(&foreign).await,
        Err(StoreError::WrongAccount)
    ));
    assert_eq!(
        store.payment(&id("p1")).await.expect("payment"),
        Some(payment("p1"))
    );
}

pub async fn a_payment_without_terms_is_replaced_by_the_one_of_another_account(
    factory: &impl StoreFactory,
) {
    let store = factory.fresh().await;
    let unconfirmed = Observation {
        account: other_shop(),
        jobs: scheduling(JobKind::Check, 20).jobs,
        ..notified("{\"forged\":true}", Verdict::UnknownPayment, 20)
    };
    store.observe(&id("p1"), &unconfirmed).await.expect("begin");
    let outcome = store.create(&payment("p1")).await.expect("replaced");
    assert_eq!(outcome.before, None);
    assert_eq!(
        store.payment(&id("p1")).await.expect("payment"),
        Some(payment("p1"))
    );
    assert_eq!(
        store.notification(&id("p1")).await.expect("notification"),
        None
    );
    assert_eq!(events(&*store, "p1").await, [TimelineEvent::Created]);
    let again = store.observe(&id("p1"), &unconfirmed).await;
    assert!(matches!(again, Err(StoreError::WrongAccount)), "{again:?}");
}

pub async fn creating_with_another_accounts_reference_is_refused(factory: &impl StoreFactory) {
    let store = factory.fresh().await;
    store.save_intent(&intent(9)).await.expect("save");
    let foreign = Payment {
        account: other_shop(),
        ..payment("p1")
    };
    assert!(matches!(
        store.create(&foreign).await,
        Err(StoreError::WrongAccount)
    ));
    assert_eq!(store.payment(&id("p1")).await.expect("payment"), None);
    let stored = store
        .intent(&PaymentReference::from_random(9))
        .await
        .expect("intent");
    assert_eq!(stored, Some(intent(9)));
}

pub async fn creating_schedules_the_first_check_once(factory: &impl StoreFactory) {
    let store = factory.fresh().await;
    let created = payment("p1");
    let check = JobKind::Check;
    store.create(&created).await.expect("create");
    let due = store.next_due(check).await.expect("next_due");
    assert_eq!(due, Some(created.first_check_at()));
    let due_jobs = store.lease_due(check, created.first_check_at(), 10, LEASE);
    let leased = due_jobs.await.expect("lease").remove(0);
    assert_eq!((leased.attempts, leased.priority), (0, JobPriority::Silent));
    store.create(&created).await.expect("again");
    let finished = store.finish(&leased, &JobResult::Done, None).await;
    assert!(finished.expect("finish"));
    store.create(&created).await.expect("again");
    assert_eq!(store.next_due(check).await.expect("next_due"), None);
}

pub async fn creating_after_a_notification_keeps_its_checks_priority(factory: &impl StoreFactory) {
    let store = factory.fresh().await;
    let notified = Observation {
        jobs: vec![NewJob::check(at(20), JobPriority::Notified)],
        ..notified("{}", Verdict::UnknownPayment, 20)
    };
    let id = id("p1");
    store.observe(&id, &notified).await.expect("observe");
    store.create(&payment("p1")).await.expect("create");
    let due_jobs = store.lease_due(JobKind::Check, at(20), 10, LEASE).await;
    let due_jobs = due_jobs.expect("lease");
    assert_eq!(due_jobs[0].priority, JobPriority::Notified);
}

pub async fn creating_a_confirmed_payment_schedules_no_check(factory: &impl StoreFactory) {
    let store = factory.fresh().await;
    let confirmed = reporting(StatusKind::Confirmed, 20);
    let observed = store.observe(&id("p1"), &confirmed).await;
    observed.expect("observe");
    store.create(&payment("p1")).await.expect("create");
    let due = store.next_due(JobKind::Check).await.expect("next_due");
    assert_eq!(due, None);
}
