//! How a status changes: the script's rules, and the numbers of version 0.1.

use super::*;
use chasqui_payment::{StatusReason, StatusUpdate};
use chasqui_store_suite::{at, confirming, id, payment, updating, version};

#[tokio::test]
async fn versions_of_0_1_are_mapped_and_can_be_updated() {
    let server = start().await;
    let store = open_standalone(&server).await;
    for (old, today) in [
        (1, 11),
        (2, 12),
        (3, 15),
        (4, 16),
        (5, 17),
        (6, 1000),
        (7, 1001),
    ] {
        let name = format!("p{old}");
        store
            .observe(&id(&name), &confirming("{}", 10))
            .await
            .expect("begun");
        let key = key("payment", &name);
        server
            .command(&["HSET", &key, "status", &old.to_string()])
            .await;
        let read = store.states(&[id(&name)]).await.expect("read")[0].expect("known");
        assert_eq!(read.version.number(), today);
        let outcome = store
            .observe(&id(&name), &updating(Some(today), 27, 20))
            .await
            .expect("observe");
        assert_eq!(outcome.before.expect("known").version.number(), today);
        assert_eq!(outcome.after.version.number(), today.max(27));
    }
}

/// A case of `updates.txt`: what is held, the update and when it came, the result.
fn updates() -> Vec<(PaymentState, StatusUpdate, Timestamp, PaymentState)> {
    let reason = |word: &str| match word {
        "-" => None,
        word => Some(StatusReason::parse(word).expect("a reason")),
    };
    let number = |word: &str| version(word.parse().expect("a number"));
    let state = |words: &[&str]| PaymentState {
        version: number(words[0]),
        at: at(words[1].parse().expect("a time")),
        late: words[2] == "late",
        reason: reason(words[3]),
    };
    let lines = include_str!("../../../payment/src/status/updates.txt").lines();
    let cases = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
    let cases = cases.map(|line| {
        let parts: Vec<Vec<&str>> = line
            .split('|')
            .map(|part| part.split_whitespace().collect())
            .collect();
        let [held, update, result] = &parts[..] else {
            panic!("not a case: {line}");
        };
        let replaces = (update[1] != "any").then(|| number(update[1]));
        let asked = StatusUpdate {
            version: number(update[0]),
            replaces,
            late: update[3] == "late",
            reason: reason(update[4]),
        };
        let came_at = at(update[2].parse().expect("a time"));
        (state(held), asked, came_at, state(result))
    });
    cases.collect()
}

#[tokio::test]
async fn an_update_makes_of_a_status_what_the_table_says() {
    let server = start().await;
    let store = open_standalone(&server).await;
    for (n, (held, update, came_at, result)) in updates().into_iter().enumerate() {
        let name = format!("p{n}");
        let created = Payment {
            state: held,
            reference: None,
            ..payment(&name)
        };
        store.create(&created).await.expect("created");
        let observation = Observation {
            at: came_at,
            update: Some(update),
            ..updating(None, 1000, 0)
        };
        let outcome = store.observe(&id(&name), &observation).await;
        let outcome = outcome.expect("observed");
        let expected = (Some(held), result);
        assert_eq!((outcome.before, outcome.after), expected, "{update:?}");
        let stored = store.states(&[id(&name)]).await.expect("read");
        assert_eq!(stored, [Some(result)], "{update:?}");
    }
}
