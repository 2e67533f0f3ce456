//! Intents and payments: what is kept, and what stays when it is known already.

use crate::fixtures::*;
use chasqui_payment::StatusReason;
use chasqui_store::{JobResult, StoreError};

const LEASE: std::time::Duration = std::time::Duration::from_secs(1);

pub async fn an_intent_is_kept_and_repeating_it_changes_nothing(factory: &impl StoreFactory) {
    let store = factory.fresh().await;
    store.save_intent(&intent(1)).await.expect("intend");
    let repeated = Intent {
        urls: MerchantUrls::default(),
        created_at: at(99),
        ..intent(1)
    };
    store.save_intent(&repeated).await.expect("repeat");
    let kept = store
        .intent(&PaymentReference::from_random(1))
        .await
        .expect("intent");
    assert_eq!(kept, Some(intent(1)));
}

pub async fn an_intent_of_another_account_is_left_alone(factory: &impl StoreFactory) {
    let store = factory.fresh().await;
    store.save_intent(&intent(1)).await.expect("intend");
    let foreign = Intent {
        account: other_shop(),
        ..intent(1)
    };
    assert!(matches!(
        store.save_intent(&foreign).await,
        Err(StoreError::WrongAccount)
    ));
    let kept = store
        .intent(&PaymentReference::from_random(1))
        .await
        .expect("intent");
    assert_eq!(kept, Some(intent(1)));
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

pub async fn creating_keeps_the_payment_and_binds_its_intent(factory: &impl StoreFactory) {
    let store = factory.fresh().await;
    store.save_intent(&intent(9)).await.expect("intend");
    let outcome = store.create(&payment("p1")).await.expect("create");
    assert_eq!(outcome.before, None);
    assert_eq!(outcome.after, PaymentState::created(at(10)));
    assert!(outcome.changed());
    let kept = store.payment(&id("p1")).await.expect("payment");
    assert_eq!(kept, Some(payment("p1")));
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

pub async fn creating_after_a_notification_fills_in_and_never_lowers(factory: &impl StoreFactory) {
    let store = factory.fresh().await;
    store.save_intent(&intent(9)).await.expect("intend");
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

pub async fn creating_keeps_what_is_known(factory: &impl StoreFactory) {
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

pub async fn creating_merges_a_higher_state(factory: &impl StoreFactory) {
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

pub async fn a_record_without_terms_gives_way_to_the_account_whose_payment_it_is(
    factory: &impl StoreFactory,
) {
    let store = factory.fresh().await;
    let squatting = Observation {
        account: other_shop(),
        jobs: scheduling(JobKind::Check, 20).jobs,
        ..notified("{\"forged\":true}", Verdict::UnknownPayment, 20)
    };
    store.observe(&id("p1"), &squatting).await.expect("begun");
    let outcome = store.create(&payment("p1")).await.expect("taken over");
    assert_eq!(outcome.before, None);
    assert_eq!(
        store.payment(&id("p1")).await.expect("payment"),
        Some(payment("p1"))
    );
    assert_eq!(store.notification(&id("p1")).await.expect("kept"), None);
    assert_eq!(events(&*store, "p1").await, [TimelineEvent::Created]);
    let again = store.observe(&id("p1"), &squatting).await;
    assert!(matches!(again, Err(StoreError::WrongAccount)), "{again:?}");
}

pub async fn creating_with_another_accounts_reference_is_refused(factory: &impl StoreFactory) {
    let store = factory.fresh().await;
    store.save_intent(&intent(9)).await.expect("intend");
    let foreign = Payment {
        account: other_shop(),
        ..payment("p1")
    };
    assert!(matches!(
        store.create(&foreign).await,
        Err(StoreError::WrongAccount)
    ));
    assert_eq!(store.payment(&id("p1")).await.expect("payment"), None);
    let kept = store
        .intent(&PaymentReference::from_random(9))
        .await
        .expect("intent");
    assert_eq!(kept, Some(intent(9)));
}

pub async fn creating_schedules_the_first_check_once(factory: &impl StoreFactory) {
    let store = factory.fresh().await;
    let created = payment("p1");
    let check = JobKind::Check;
    store.create(&created).await.expect("create");
    let due = store.next_due(check).await.expect("next_due");
    assert_eq!(due, Some(created.first_check_at()));
    let claimed = store.lease_due(check, created.first_check_at(), 10, LEASE);
    let leased = claimed.await.expect("claim").remove(0);
    assert_eq!((leased.attempts, leased.priority), (0, JobPriority::Silent));
    store.create(&created).await.expect("again");
    let settled = store.finish(&leased, &JobResult::Done, None).await;
    assert!(settled.expect("settle"));
    store.create(&created).await.expect("again");
    assert_eq!(store.next_due(check).await.expect("next_due"), None);
}

pub async fn creating_after_a_notification_leaves_its_check_first(factory: &impl StoreFactory) {
    let store = factory.fresh().await;
    let notified = Observation {
        jobs: vec![NewJob::check(at(20), JobPriority::Notified)],
        ..notified("{}", Verdict::UnknownPayment, 20)
    };
    let id = id("p1");
    store.observe(&id, &notified).await.expect("observe");
    store.create(&payment("p1")).await.expect("create");
    let claimed = store.lease_due(JobKind::Check, at(20), 10, LEASE).await;
    let claimed = claimed.expect("claim");
    assert_eq!(claimed[0].priority, JobPriority::Notified);
}

pub async fn creating_what_is_confirmed_schedules_no_check(factory: &impl StoreFactory) {
    let store = factory.fresh().await;
    let confirmed = saying(StatusKind::Confirmed, 20);
    let observed = store.observe(&id("p1"), &confirmed).await;
    observed.expect("observe");
    store.create(&payment("p1")).await.expect("create");
    let due = store.next_due(JobKind::Check).await.expect("next_due");
    assert_eq!(due, None);
}
