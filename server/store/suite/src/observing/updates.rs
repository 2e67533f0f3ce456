//! How an update changes the status that is stored.

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::fixtures::*;

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
    let lines = include_str!("../status_updates.txt").lines();
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
