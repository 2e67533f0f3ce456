//! Concurrent observations count one after another.

use std::collections::HashSet;

use chasqui_store::StoreError;

use crate::fixtures::*;

pub async fn of_sixty_four_concurrent_answers_one_counts(factory: &impl StoreFactory) {
    let store = factory.fresh().await;
    store.create(&payment("p1")).await.expect("create");
    let outcomes = at_once(64, |n| {
        let store = Arc::clone(&store);
        let number = [12, 14, 15, 16, 17][n % 5];
        async move {
            store
                .observe(&id("p1"), &updating(Some(11), number, 5))
                .await
                .expect("observe")
        }
    })
    .await;
    let counted = outcomes.iter().filter(|outcome| outcome.changed());
    assert_eq!(counted.count(), 1);
    let stands: HashSet<_> = outcomes
        .iter()
        .map(|outcome| outcome.after.version)
        .collect();
    assert_eq!(stands.len(), 1, "all get the same: {stands:?}");
}

pub async fn sixty_four_concurrent_observers_never_lose_a_confirmation(
    factory: &impl StoreFactory,
) {
    let store = factory.fresh().await;
    store.create(&payment("p1")).await.expect("create");
    let outcomes = at_once(64, |n| {
        let store = Arc::clone(&store);
        let observation = match n % 4 {
            0 => updating(None, 1000, 5),
            1 => updating(Some(11), 14, 5),
            2 => updating(Some(14), 17, 5),
            _ => updating(Some(17), 22, 5),
        };
        async move {
            store
                .observe(&id("p1"), &observation)
                .await
                .expect("observe")
        }
    })
    .await;
    assert_eq!(status(&*store, "p1").await, Some(Status::Confirmed));
    for outcome in &outcomes {
        assert!(
            outcome
                .before
                .is_some_and(|before| before.version <= outcome.after.version)
        );
    }
    let recorded: Vec<_> = events(&*store, "p1")
        .await
        .into_iter()
        .filter_map(|event| match event {
            TimelineEvent::Observed {
                version,
                accepted: true,
                ..
            } => Some(version),
            TimelineEvent::Created => None,
            other => panic!("not an accepted update: {other:?}"),
        })
        .collect();
    assert!(recorded.is_sorted(), "{recorded:?}");
    assert_eq!(recorded.last(), Some(&Version::CONFIRMED));
}

pub async fn a_refused_observation_does_not_affect_concurrent_ones(factory: &impl StoreFactory) {
    const PAYMENTS: usize = 50;
    let store = factory.fresh().await;
    for n in 0..PAYMENTS {
        let unreferenced = Payment {
            reference: None,
            ..payment(&format!("p{n}"))
        };
        store.create(&unreferenced).await.expect("create");
    }
    let results = at_once(1000, |n| {
        let store = Arc::clone(&store);
        let name = format!("p{}", n % PAYMENTS);
        let observation = match n % 4 {
            0 => Observation {
                account: other_shop(),
                ..confirming("{\"foreign\":true}", 30)
            },
            1 => reporting(StatusKind::Verifying, 30),
            2 => confirming("{\"paid\":true}", 30),
            _ => notified("{\"paid\":true}", Verdict::Stale, 30),
        };
        async move { (n, store.observe(&id(&name), &observation).await) }
    })
    .await;
    for (n, result) in results {
        match n % 4 {
            0 => assert!(
                matches!(result, Err(StoreError::WrongAccount)),
                "{n} {result:?}"
            ),
            _ => assert!(result.is_ok(), "{n} {result:?}"),
        }
    }
    // 50 is even, so each payment gets two of the four: an odd one verifies and is stale, an even one is foreign and
    // confirms.
    for n in 0..PAYMENTS {
        let name = format!("p{n}");
        let (expected, verdict) = if n % 2 == 0 {
            (Status::Confirmed, Verdict::Agrees)
        } else {
            (Status::Verifying, Verdict::Stale)
        };
        assert_eq!(status(&*store, &name).await, Some(expected), "{name}");
        let stored: Vec<_> = events(&*store, &name)
            .await
            .into_iter()
            .filter(|event| matches!(event, TimelineEvent::Notified { .. }))
            .collect();
        assert_eq!(
            stored,
            [TimelineEvent::Notified {
                verdict,
                copies: 10
            }],
            "{name}"
        );
    }
}
