//! A status only moves forward, and what is written stays.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::ledger::{LedgerError, Settlement};
use crate::payment::Reason;

pub(in crate::ledger) async fn an_unknown_payment_is_begun_as_pending_without_terms(
    factory: &impl Factory,
) {
    let ledger = factory.fresh().await;
    let outcome = ledger
        .observe(&id("p1"), &notified("{}", Verdict::UnknownPayment, 40))
        .await
        .expect("observe");
    assert_eq!(outcome.before, None);
    assert_eq!(outcome.after, State::pending(at(40)));
    let begun = ledger.payment(&id("p1")).await.expect("payment");
    let expected = Payment {
        id: id("p1"),
        account: shop(),
        terms: None,
        urls: MerchantUrls::default(),
        reference: None,
        payment_url: None,
        expires_at: None,
        created_at: at(40),
        state: State::pending(at(40)),
    };
    assert_eq!(begun, Some(expected));
}

pub(in crate::ledger) async fn an_observation_without_a_claim_begins_a_payment_too(
    factory: &impl Factory,
) {
    let ledger = factory.fresh().await;
    ledger
        .observe(&id("p1"), &scheduling(ErrandKind::Check, 5))
        .await
        .expect("observe");
    assert_eq!(status(&*ledger, "p1").await, Some(Status::Pending));
}

pub(in crate::ledger) async fn the_accepted_claim_brings_its_time_lateness_and_reason(
    factory: &impl Factory,
) {
    let ledger = factory.fresh().await;
    ledger.create(&payment("p1")).await.expect("create");
    let claim = Claim {
        status: Status::Confirmed,
        late: true,
        reason: Some(Reason::PartiallyRefunded),
    };
    let observation = Observation {
        claim: Some(claim),
        ..saying(Status::Confirmed, 77)
    };
    let outcome = ledger
        .observe(&id("p1"), &observation)
        .await
        .expect("observe");
    let expected = State {
        status: Status::Confirmed,
        at: at(77),
        late: true,
        reason: Some(Reason::PartiallyRefunded),
    };
    assert_eq!(
        (outcome.before, outcome.after),
        (Some(State::pending(at(10))), expected)
    );
    ledger
        .observe(&id("p1"), &saying(Status::Confirmed, 99))
        .await
        .expect("repeated, later and not late");
    assert_eq!(
        ledger.read(&[id("p1")]).await.expect("read"),
        [Some(expected)]
    );
}

pub(in crate::ledger) async fn observing_is_max_whatever_the_order(factory: &impl Factory) {
    let ledger = factory.fresh().await;
    for (name, order) in [
        ("up", [1, 2, 3, 4, 5, 6, 7]),
        ("down", [7, 6, 5, 4, 3, 2, 1]),
        ("mixed", [3, 6, 2, 7, 6, 1, 7]),
    ] {
        let mut highest = 0;
        for version in order {
            let claimed = Status::from_version(version).expect("status");
            let outcome = ledger
                .observe(&id(name), &saying(claimed, i64::from(version)))
                .await
                .expect("observe");
            assert_eq!(outcome.changed(), version > highest, "{name} {version}");
            highest = highest.max(version);
            assert_eq!(outcome.after.status.version(), highest, "{name} {version}");
        }
        assert_eq!(status(&*ledger, name).await, Some(Status::Reversed));
    }
}

pub(in crate::ledger) async fn sixty_four_observers_at_once_end_at_the_highest_status(
    factory: &impl Factory,
) {
    let ledger = factory.fresh().await;
    // 37 and 64 have no common divisor: every number comes once, in another order.
    let outcomes = at_once(64, |n| {
        let ledger = Arc::clone(&ledger);
        let claimed = Status::ALL[(n * 37 % 64) % 6];
        async move {
            ledger
                .observe(&id("p1"), &saying(claimed, 5))
                .await
                .expect("observe")
        }
    })
    .await;
    assert_eq!(status(&*ledger, "p1").await, Some(Status::Confirmed));

    let accepted: Vec<_> = outcomes
        .iter()
        .filter(|outcome| outcome.changed())
        .collect();
    let ranks: HashSet<_> = accepted
        .iter()
        .map(|outcome| outcome.after.status)
        .collect();
    assert_eq!(ranks.len(), accepted.len(), "each rank is accepted once");
    assert!(ranks.contains(&Status::Confirmed));

    let recorded: Vec<_> = events(&*ledger, "p1")
        .await
        .into_iter()
        .map(|event| match event {
            Event::Observed {
                status,
                accepted: true,
                ..
            } => status,
            other => panic!("not an accepted claim: {other:?}"),
        })
        .collect();
    assert_eq!(recorded.len(), accepted.len());
    assert!(recorded.is_sorted(), "{recorded:?}");
}

pub(in crate::ledger) async fn an_observation_for_another_account_is_refused_and_touches_nothing(
    factory: &impl Factory,
) {
    let ledger = factory.fresh().await;
    ledger.create(&payment("p1")).await.expect("create");
    let foreign = Observation {
        account: other_shop(),
        ..confirming("{}", 20)
    };
    assert!(matches!(
        ledger.observe(&id("p1"), &foreign).await,
        Err(LedgerError::Foreign)
    ));
    assert_eq!(
        ledger.payment(&id("p1")).await.expect("payment"),
        Some(payment("p1"))
    );
    assert_eq!(ledger.notification(&id("p1")).await.expect("kept"), None);
    assert_eq!(events(&*ledger, "p1").await, [Event::Created]);
    assert_eq!(
        ledger.next_due(ErrandKind::Delivery).await.expect("due"),
        None
    );
}

pub(in crate::ledger) async fn a_refusal_among_a_thousand_at_once_harms_no_other(
    factory: &impl Factory,
) {
    const PAYMENTS: usize = 50;
    let ledger = factory.fresh().await;
    for n in 0..PAYMENTS {
        let unreferenced = Payment {
            reference: None,
            ..payment(&format!("p{n}"))
        };
        ledger.create(&unreferenced).await.expect("create");
    }
    let results = at_once(1000, |n| {
        let ledger = Arc::clone(&ledger);
        let name = format!("p{}", n % PAYMENTS);
        let observation = match n % 4 {
            0 => Observation {
                account: other_shop(),
                ..confirming("{\"foreign\":true}", 30)
            },
            1 => saying(Status::Verifying, 30),
            2 => confirming("{\"paid\":true}", 30),
            _ => notified("{\"paid\":true}", Verdict::Stale, 30),
        };
        async move { (n, ledger.observe(&id(&name), &observation).await) }
    })
    .await;
    for (n, result) in results {
        match n % 4 {
            0 => assert!(
                matches!(result, Err(LedgerError::Foreign)),
                "{n} {result:?}"
            ),
            _ => assert!(result.is_ok(), "{n} {result:?}"),
        }
    }
    // 1000 and 50 share the factor 2: of the four, a payment gets two, an odd one those that verify and those that are
    // stale, an even one those that are foreign and those that confirm.
    for n in 0..PAYMENTS {
        let name = format!("p{n}");
        let (expected, verdict) = if n % 2 == 0 {
            (Status::Confirmed, Verdict::Agrees)
        } else {
            (Status::Verifying, Verdict::Stale)
        };
        assert_eq!(status(&*ledger, &name).await, Some(expected), "{name}");
        let kept: Vec<_> = events(&*ledger, &name)
            .await
            .into_iter()
            .filter(|event| matches!(event, Event::Notified { .. }))
            .collect();
        assert_eq!(
            kept,
            [Event::Notified {
                verdict,
                copies: 10
            }],
            "{name}"
        );
    }
}

pub(in crate::ledger) async fn many_are_read_in_the_order_asked_with_none_for_the_unknown(
    factory: &impl Factory,
) {
    let ledger = factory.fresh().await;
    for (name, claimed) in [("a", Status::Verifying), ("b", Status::Confirmed)] {
        ledger
            .observe(&id(name), &saying(claimed, 1))
            .await
            .expect("observe");
    }
    let states = ledger
        .read(&[id("b"), id("unknown"), id("a"), id("b")])
        .await
        .expect("read");
    let found: Vec<_> = states.iter().map(|state| state.map(|s| s.status)).collect();
    assert_eq!(
        found,
        [
            Some(Status::Confirmed),
            None,
            Some(Status::Verifying),
            Some(Status::Confirmed)
        ]
    );
    assert_eq!(ledger.read(&[]).await.expect("read"), []);
    assert_eq!(ledger.payment(&id("unknown")).await.expect("payment"), None);
}

pub(in crate::ledger) async fn what_is_written_is_there_after_reopening(factory: &impl Factory) {
    let ledger = factory.fresh().await;
    ledger.intend(&intent(9)).await.expect("intend");
    ledger.create(&payment("p1")).await.expect("create");
    ledger
        .observe(&id("p1"), &confirming("{\"a\":1}", 20))
        .await
        .expect("observe");
    let leased = ledger
        .claim(ErrandKind::Delivery, at(20), 1, Duration::from_secs(1))
        .await
        .expect("claim");
    let before = (
        ledger.intent(&Ref::from_random(9)).await.expect("intent"),
        ledger.payment(&id("p1")).await.expect("payment"),
        ledger.notification(&id("p1")).await.expect("notification"),
        ledger.timeline(&id("p1")).await.expect("timeline"),
        ledger.next_due(ErrandKind::Delivery).await.expect("due"),
    );
    let Some(ledger) = factory.reopened(ledger).await else {
        return;
    };
    let after = (
        ledger.intent(&Ref::from_random(9)).await.expect("intent"),
        ledger.payment(&id("p1")).await.expect("payment"),
        ledger.notification(&id("p1")).await.expect("notification"),
        ledger.timeline(&id("p1")).await.expect("timeline"),
        ledger.next_due(ErrandKind::Delivery).await.expect("due"),
    );
    assert_eq!(before, after);
    let settled = ledger
        .settle(&leased[0], &Settlement::Done, None)
        .await
        .expect("settle");
    assert!(settled, "the lease is still its holder's");
}

pub(in crate::ledger) async fn it_is_ready(factory: &impl Factory) {
    factory.fresh().await.ready().await.expect("ready");
}
