//! Intents and payments: what is kept, and what stays when it is known already.

use super::*;
use crate::ledger::{LedgerError, Settlement};
use crate::payment::Reason;

const LEASE: std::time::Duration = std::time::Duration::from_secs(1);

pub(in crate::ledger) async fn an_intent_is_kept_and_repeating_it_changes_nothing(
    factory: &impl Factory,
) {
    let ledger = factory.fresh().await;
    ledger.intend(&intent(1)).await.expect("intend");
    let repeated = Intent {
        urls: MerchantUrls::default(),
        created_at: at(99),
        ..intent(1)
    };
    ledger.intend(&repeated).await.expect("repeat");
    let kept = ledger.intent(&Ref::from_random(1)).await.expect("intent");
    assert_eq!(kept, Some(intent(1)));
}

pub(in crate::ledger) async fn an_intent_of_another_account_is_left_alone(factory: &impl Factory) {
    let ledger = factory.fresh().await;
    ledger.intend(&intent(1)).await.expect("intend");
    let foreign = Intent {
        account: other_shop(),
        ..intent(1)
    };
    assert!(matches!(
        ledger.intend(&foreign).await,
        Err(LedgerError::Foreign)
    ));
    let kept = ledger.intent(&Ref::from_random(1)).await.expect("intent");
    assert_eq!(kept, Some(intent(1)));
}

pub(in crate::ledger) async fn an_unknown_reference_has_no_intent(factory: &impl Factory) {
    let ledger = factory.fresh().await;
    assert_eq!(
        ledger.intent(&Ref::from_random(1)).await.expect("intent"),
        None
    );
}

pub(in crate::ledger) async fn creating_keeps_the_payment_and_binds_its_intent(
    factory: &impl Factory,
) {
    let ledger = factory.fresh().await;
    ledger.intend(&intent(9)).await.expect("intend");
    let outcome = ledger.create(&payment("p1")).await.expect("create");
    assert_eq!(outcome.before, None);
    assert_eq!(outcome.after, State::created(at(10)));
    assert!(outcome.changed());
    let kept = ledger.payment(&id("p1")).await.expect("payment");
    assert_eq!(kept, Some(payment("p1")));
    let bound = ledger.intent(&Ref::from_random(9)).await.expect("intent");
    assert_eq!(bound.and_then(|bound| bound.payment_id), Some(id("p1")));
}

pub(in crate::ledger) async fn creating_again_changes_nothing(factory: &impl Factory) {
    let ledger = factory.fresh().await;
    ledger.create(&payment("p1")).await.expect("create");
    let outcome = ledger.create(&payment("p1")).await.expect("again");
    assert_eq!(outcome.before, Some(outcome.after));
    assert_eq!(
        ledger.payment(&id("p1")).await.expect("payment"),
        Some(payment("p1"))
    );
    assert_eq!(events(&*ledger, "p1").await, [Event::Created]);
}

pub(in crate::ledger) async fn creating_after_a_notification_fills_in_and_never_lowers(
    factory: &impl Factory,
) {
    let ledger = factory.fresh().await;
    ledger.intend(&intent(9)).await.expect("intend");
    ledger
        .observe(&id("p1"), &confirming("{}", 50))
        .await
        .expect("observe");
    let outcome = ledger.create(&payment("p1")).await.expect("create");
    assert_eq!(outcome.before, Some(outcome.after));
    assert_eq!(outcome.after.version, Version::CONFIRMED);
    let expected = Payment {
        state: outcome.after,
        ..payment("p1")
    };
    assert_eq!(
        ledger.payment(&id("p1")).await.expect("payment"),
        Some(expected)
    );
    let bound = ledger.intent(&Ref::from_random(9)).await.expect("intent");
    assert_eq!(bound.and_then(|bound| bound.payment_id), Some(id("p1")));
}

pub(in crate::ledger) async fn creating_keeps_what_is_known(factory: &impl Factory) {
    let ledger = factory.fresh().await;
    ledger.create(&payment("p1")).await.expect("create");
    let other = Payment {
        terms: None,
        urls: MerchantUrls {
            return_url: Some("https://elsewhere.example".to_owned()),
            cancel_url: Some("https://shop.example/cancelled".to_owned()),
            notify_url: None,
        },
        reference: Some(Ref::from_random(10)),
        payment_url: None,
        expires_at: Some(at(1)),
        created_at: at(11),
        ..payment("p1")
    };
    ledger.create(&other).await.expect("again");
    let expected = Payment {
        urls: MerchantUrls {
            cancel_url: Some("https://shop.example/cancelled".to_owned()),
            ..urls()
        },
        ..payment("p1")
    };
    assert_eq!(
        ledger.payment(&id("p1")).await.expect("payment"),
        Some(expected)
    );
}

pub(in crate::ledger) async fn creating_merges_a_higher_state(factory: &impl Factory) {
    let ledger = factory.fresh().await;
    ledger.create(&payment("p1")).await.expect("create");
    let confirmed = State {
        version: Version::CONFIRMED,
        at: at(70),
        late: true,
        reason: Some(Reason::MarkedPaidByReceiver),
    };
    let found = Payment {
        state: confirmed,
        ..payment("p1")
    };
    let outcome = ledger.create(&found).await.expect("again");
    assert!(outcome.changed());
    assert_eq!(outcome.after, confirmed);
    assert_eq!(
        ledger.read(&[id("p1")]).await.expect("read"),
        [Some(confirmed)]
    );
}

pub(in crate::ledger) async fn creating_for_another_account_is_refused(factory: &impl Factory) {
    let ledger = factory.fresh().await;
    ledger.create(&payment("p1")).await.expect("create");
    let foreign = Payment {
        account: other_shop(),
        reference: None,
        state: State {
            version: Version::CONFIRMED,
            ..State::created(at(1))
        },
        ..payment("p1")
    };
    assert!(matches!(
        ledger.create(&foreign).await,
        Err(LedgerError::Foreign)
    ));
    assert_eq!(
        ledger.payment(&id("p1")).await.expect("payment"),
        Some(payment("p1"))
    );
}

pub(in crate::ledger) async fn a_record_without_terms_gives_way_to_the_account_whose_payment_it_is(
    factory: &impl Factory,
) {
    let ledger = factory.fresh().await;
    let squatting = Observation {
        account: other_shop(),
        errands: scheduling(ErrandKind::Check, 20).errands,
        ..notified("{\"forged\":true}", Verdict::UnknownPayment, 20)
    };
    ledger.observe(&id("p1"), &squatting).await.expect("begun");
    let outcome = ledger.create(&payment("p1")).await.expect("taken over");
    assert_eq!(outcome.before, None);
    assert_eq!(
        ledger.payment(&id("p1")).await.expect("payment"),
        Some(payment("p1"))
    );
    assert_eq!(ledger.notification(&id("p1")).await.expect("kept"), None);
    assert_eq!(events(&*ledger, "p1").await, [Event::Created]);
    let again = ledger.observe(&id("p1"), &squatting).await;
    assert!(matches!(again, Err(LedgerError::Foreign)), "{again:?}");
}

pub(in crate::ledger) async fn creating_with_another_accounts_reference_is_refused(
    factory: &impl Factory,
) {
    let ledger = factory.fresh().await;
    ledger.intend(&intent(9)).await.expect("intend");
    let foreign = Payment {
        account: other_shop(),
        ..payment("p1")
    };
    assert!(matches!(
        ledger.create(&foreign).await,
        Err(LedgerError::Foreign)
    ));
    assert_eq!(ledger.payment(&id("p1")).await.expect("payment"), None);
    let kept = ledger.intent(&Ref::from_random(9)).await.expect("intent");
    assert_eq!(kept, Some(intent(9)));
}

pub(in crate::ledger) async fn creating_schedules_the_first_check_once(factory: &impl Factory) {
    let ledger = factory.fresh().await;
    let created = payment("p1");
    let check = ErrandKind::Check;
    ledger.create(&created).await.expect("create");
    let due = ledger.next_due(check).await.expect("next_due");
    assert_eq!(due, Some(created.first_check_at()));
    let claimed = ledger.claim(check, created.first_check_at(), 10, LEASE);
    let leased = claimed.await.expect("claim").remove(0);
    assert_eq!((leased.attempts, leased.priority), (0, Priority::Silent));
    ledger.create(&created).await.expect("again");
    let settled = ledger.settle(&leased, &Settlement::Done, None).await;
    assert!(settled.expect("settle"));
    ledger.create(&created).await.expect("again");
    assert_eq!(ledger.next_due(check).await.expect("next_due"), None);
}

pub(in crate::ledger) async fn creating_after_a_notification_leaves_its_check_first(
    factory: &impl Factory,
) {
    let ledger = factory.fresh().await;
    let notified = Observation {
        errands: vec![Errand::check(at(20), Priority::Notified)],
        ..notified("{}", Verdict::UnknownPayment, 20)
    };
    let id = id("p1");
    ledger.observe(&id, &notified).await.expect("observe");
    ledger.create(&payment("p1")).await.expect("create");
    let claimed = ledger.claim(ErrandKind::Check, at(20), 10, LEASE).await;
    let claimed = claimed.expect("claim");
    assert_eq!(claimed[0].priority, Priority::Notified);
}

pub(in crate::ledger) async fn creating_what_is_confirmed_schedules_no_check(
    factory: &impl Factory,
) {
    let ledger = factory.fresh().await;
    let confirmed = saying(Kind::Confirmed, 20);
    let observed = ledger.observe(&id("p1"), &confirmed).await;
    observed.expect("observe");
    ledger.create(&payment("p1")).await.expect("create");
    let due = ledger.next_due(ErrandKind::Check).await.expect("next_due");
    assert_eq!(due, None);
}
