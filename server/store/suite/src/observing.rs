//! A status only rises, and stored data stays.

use std::collections::HashSet;
use std::time::Duration;

use chasqui_payment::StatusReason;
use chasqui_store::{JobResult, StoreError};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

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

pub async fn an_accepted_update_sets_time_lateness_and_reason(factory: &impl StoreFactory) {
    let store = factory.fresh().await;
    store.create(&payment("p1")).await.expect("create");
    let update = StatusUpdate {
        version: Version::CONFIRMED,
        replaces: None,
        late: true,
        reason: Some(StatusReason::PartiallyRefunded),
    };
    let observation = Observation {
        update: Some(update),
        ..reporting(StatusKind::Confirmed, 77)
    };
    let outcome = store
        .observe(&id("p1"), &observation)
        .await
        .expect("observe");
    let expected = PaymentState {
        version: Version::CONFIRMED,
        at: at(77),
        late: true,
        reason: Some(StatusReason::PartiallyRefunded),
    };
    assert_eq!(
        (outcome.before, outcome.after),
        (Some(PaymentState::created(at(10))), expected)
    );
    store
        .observe(&id("p1"), &reporting(StatusKind::Confirmed, 99))
        .await
        .expect("repeated, later and not late");
    assert_eq!(
        store.states(&[id("p1")]).await.expect("read"),
        [Some(expected)]
    );
}

pub async fn final_updates_end_at_the_highest_in_any_order(factory: &impl StoreFactory) {
    let store = factory.fresh().await;
    for (name, order) in [
        ("up", [1000, 1001, 1000]),
        ("down", [1001, 1000, 1000]),
        ("twice", [1000, 1000, 1001]),
    ] {
        let mut highest = 0;
        for number in order {
            let outcome = store
                .observe(&id(name), &updating(None, number, i64::from(number)))
                .await
                .expect("observe");
            assert_eq!(outcome.changed(), number > highest, "{name} {number}");
            highest = highest.max(number);
            assert_eq!(outcome.after.version, version(highest), "{name} {number}");
        }
        assert_eq!(status(&*store, name).await, Some(Status::Reversed));
    }
}

pub async fn an_update_counts_only_if_the_store_holds_the_version_it_replaces(
    factory: &impl StoreFactory,
) {
    let store = factory.fresh().await;
    store.create(&payment("p1")).await.expect("create");
    for (held, number, stands) in [
        (17, 24, 11),
        (11, 17, 17),
        (11, 14, 17),
        (17, 22, 22),
        (17, 24, 22),
        (22, 24, 24),
        (24, 23, 24),
        (24, 1000, 1000),
        (1000, 997, 1000),
    ] {
        let outcome = store
            .observe(&id("p1"), &updating(Some(held), number, 30))
            .await
            .expect("observe");
        assert_eq!(outcome.after.version, version(stands), "{held} to {number}");
    }
}

/// The rules of a status are written in Rust and in the scripts of the Redis store. Both are held to one table.
pub async fn updates_end_as_the_table_says(factory: &impl StoreFactory) {
    let store = factory.fresh().await;
    for (n, case) in status_updates().into_iter().enumerate() {
        let UpdateCase {
            held,
            update,
            at,
            result,
        } = case;
        assert_eq!(held.updated(&update, at), result, "{held:?} {update:?}");
        let name = format!("p{n}");
        let created = Payment {
            state: held,
            reference: None,
            ..payment(&name)
        };
        store.create(&created).await.expect("create");
        let observation = Observation {
            at,
            update: Some(update),
            ..updating(None, 1000, 0)
        };
        let outcome = store.observe(&id(&name), &observation).await;
        let outcome = outcome.expect("observe");
        let expected = (Some(held), result);
        assert_eq!((outcome.before, outcome.after), expected, "{update:?}");
        let stored = store.states(&[id(&name)]).await.expect("read");
        assert_eq!(stored, [Some(result)], "{update:?}");
    }
}

/// A line of `status_updates.txt`.
struct UpdateCase {
    held: PaymentState,
    update: StatusUpdate,
    at: Timestamp,
    result: PaymentState,
}

fn status_updates() -> Vec<UpdateCase> {
    let reason = |word: &str| match word {
        "-" => None,
        word => Some(StatusReason::parse(word).expect("a reason")),
    };
    let number = |word: &str| version(word.parse().expect("a number"));
    let seconds = |word: &str| at(1000 * word.parse::<i64>().expect("a time"));
    let state = |words: &[&str]| PaymentState {
        version: number(words[0]),
        at: seconds(words[1]),
        late: words[2] == "late",
        reason: reason(words[3]),
    };
    let lines = include_str!("status_updates.txt").lines();
    let cases = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
    let cases = cases.map(|line| {
        let parts: Vec<Vec<&str>> = line
            .split('|')
            .map(|part| part.split_whitespace().collect())
            .collect();
        let [held, update, result] = &parts[..] else {
            panic!("not a case: {line}");
        };
        UpdateCase {
            held: state(held),
            update: StatusUpdate {
                version: number(update[0]),
                replaces: (update[1] != "any").then(|| number(update[1])),
                late: update[3] == "late",
                reason: reason(update[4]),
            },
            at: seconds(update[2]),
            result: state(result),
        }
    });
    cases.collect()
}

pub async fn a_status_that_continues_keeps_its_time(factory: &impl StoreFactory) {
    let store = factory.fresh().await;
    store.create(&payment("p1")).await.expect("create");
    let mut began = Vec::new();
    for (held, number, ms) in [
        (11, 12, 20),
        (12, 14, 30),
        (14, 22, 40),
        (22, 23, 50),
        (23, 24, 60),
    ] {
        let outcome = store
            .observe(&id("p1"), &updating(Some(held), number, ms))
            .await
            .expect("observe");
        began.push((outcome.after.version.number(), outcome.after.at.unix_ms()));
    }
    assert_eq!(began, [(12, 20), (14, 20), (22, 40), (23, 50), (24, 60)]);
}

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

/// Each step of the history ends as [`PaymentState::updated`] says.
pub async fn a_random_history_follows_the_rules(factory: &impl StoreFactory) {
    let store = factory.fresh().await;
    let mut random = StdRng::seed_from_u64(7);
    for n in 0..40 {
        let name = format!("p{n}");
        let mut expected: Option<PaymentState> = None;
        for step in 0..25 {
            let round = 10 * random.random_range(1..4u16);
            let number = match random.random_range(0..20) {
                0 => 1000,
                1 => 1001,
                _ => round + random.random_range(1..8u16),
            };
            // Often the version that the store holds, so that updates count.
            let held = match (expected, random.random_range(0..3)) {
                (_, 0) => Some(10 * random.random_range(1..4u16) + random.random_range(1..8u16)),
                (Some(state), _) => Some(state.version.number()),
                (None, _) => Some(11),
            };
            let held = held.filter(|_| number < 1000);
            let observation = updating(held, number, 100 * n + step);
            let outcome = store
                .observe(&id(&name), &observation)
                .await
                .expect("observe");
            let before = expected.unwrap_or(PaymentState::created(observation.at));
            let update = observation.update.expect("an update");
            let after = before.updated(&update, observation.at);
            assert_eq!(
                (outcome.before, outcome.after),
                (expected, after),
                "{name} {step}"
            );
            expected = Some(after);
        }
        let read = store.states(&[id(&name)]).await.expect("read");
        assert_eq!(read, [expected], "{name}");
    }
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
