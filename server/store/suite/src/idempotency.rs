//! A request that comes twice is done once.

use std::time::Duration;

use crate::fixtures::*;
use chasqui_store::{
    BeginOutcome, Completion, IDEMPOTENCY_TERM, IN_PROGRESS_LIMIT, IdempotencyKey,
    IdempotentRequest, StoredResponse,
};

const PAYMENTS: &str = "POST /v3/payments";

/// Each arrival has a number of its own.
fn arriving(arrival: u64, ms: i64) -> IdempotentRequest {
    IdempotentRequest {
        key: IdempotencyKey {
            account: shop(),
            route: PAYMENTS,
            key: "order-77".to_owned(),
        },
        fingerprint: [7; 32],
        arrival,
        at: at(ms),
    }
}

fn saying_other_things(request: IdempotentRequest) -> IdempotentRequest {
    IdempotentRequest {
        fingerprint: [8; 32],
        ..request
    }
}

fn answer() -> StoredResponse {
    StoredResponse {
        status: 200,
        body: Bytes::from_static(b"{\"payment_id\":\"p1\",\"n\":1.0, \"x\":\"\xc3\xb1\"}"),
    }
}

fn ms(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).expect("short")
}

async fn begin(store: &dyn Store, request: &IdempotentRequest) -> BeginOutcome {
    store.begin(request).await.expect("begin")
}

async fn complete(store: &dyn Store, request: &IdempotentRequest, finished: Completion) {
    store.complete(request, &finished).await.expect("finish");
}

/// One arrival, begun at 0 and brought to its end.
async fn done(store: &dyn Store, finished: Completion) {
    let first = arriving(1, 0);
    assert_eq!(begin(store, &first).await, BeginOutcome::Started);
    complete(store, &first, finished).await;
}

pub async fn exactly_one_of_many_that_begin_at_once_is_fresh(factory: &impl StoreFactory) {
    let store = factory.fresh().await;
    let all = at_once(64, |n| {
        let store = Arc::clone(&store);
        async move { begin(&*store, &arriving(n as u64, 10)).await }
    })
    .await;
    let fresh = all
        .iter()
        .filter(|begun| **begun == BeginOutcome::Started)
        .count();
    let under_way = all
        .iter()
        .filter(|begun| **begun == BeginOutcome::InProgress);
    assert_eq!((fresh, under_way.count()), (1, 63));
}

pub async fn the_same_arrival_stays_fresh_until_it_is_finished(factory: &impl StoreFactory) {
    let store = factory.fresh().await;
    let late = ms(IN_PROGRESS_LIMIT) + 1;
    for now in [0, 1, late] {
        assert_eq!(
            begin(&*store, &arriving(1, now)).await,
            BeginOutcome::Started
        );
    }
    complete(&*store, &arriving(1, 0), Completion::Response(answer())).await;
    let after = begin(&*store, &arriving(1, late)).await;
    assert_eq!(after, BeginOutcome::Replay(answer()));
}

pub async fn an_answer_is_given_again_byte_for_byte(factory: &impl StoreFactory) {
    let store = factory.fresh().await;
    done(&*store, Completion::Response(answer())).await;
    for arrival in [2, 3] {
        let begun = begin(&*store, &arriving(arrival, 20)).await;
        assert_eq!(begun, BeginOutcome::Replay(answer()));
    }
}

pub async fn an_answer_may_be_empty(factory: &impl StoreFactory) {
    let store = factory.fresh().await;
    let empty = StoredResponse {
        status: 599,
        body: Bytes::new(),
    };
    done(&*store, Completion::Response(empty.clone())).await;
    let begun = begin(&*store, &arriving(2, 20)).await;
    assert_eq!(begun, BeginOutcome::Replay(empty));
}

pub async fn a_key_stands_for_one_body_whatever_became_of_it(factory: &impl StoreFactory) {
    for finished in [
        None,
        Some(Completion::Response(answer())),
        Some(Completion::OutcomeUnknown),
    ] {
        let store = factory.fresh().await;
        let first = arriving(1, 0);
        assert_eq!(begin(&*store, &first).await, BeginOutcome::Started);
        if let Some(finished) = finished {
            complete(&*store, &first, finished).await;
        }
        for now in [10, ms(IN_PROGRESS_LIMIT) + 10] {
            let other = saying_other_things(arriving(2, now));
            assert_eq!(begin(&*store, &other).await, BeginOutcome::KeyReused);
        }
    }
}

pub async fn another_account_or_route_or_key_is_another_request(factory: &impl StoreFactory) {
    let store = factory.fresh().await;
    done(&*store, Completion::Response(answer())).await;
    let key = arriving(2, 10).key;
    for key in [
        IdempotencyKey {
            account: other_shop(),
            ..key.clone()
        },
        IdempotencyKey {
            route: "POST /v3/refunds",
            ..key.clone()
        },
        IdempotencyKey {
            key: "Order-77".to_owned(),
            ..key.clone()
        },
        // Scope and key must not run into each other.
        IdempotencyKey {
            route: "",
            key: format!("{PAYMENTS}order-77"),
            ..key
        },
    ] {
        let request = IdempotentRequest {
            key,
            ..saying_other_things(arriving(2, 10))
        };
        assert_eq!(begin(&*store, &request).await, BeginOutcome::Started);
        complete(&*store, &request, Completion::Released).await;
    }
    let begun = begin(&*store, &arriving(3, 10)).await;
    assert_eq!(begun, BeginOutcome::Replay(answer()));
}

pub async fn a_key_let_go_is_fresh_again_for_any_body(factory: &impl StoreFactory) {
    let store = factory.fresh().await;
    done(&*store, Completion::Released).await;
    let second = saying_other_things(arriving(2, 10));
    assert_eq!(begin(&*store, &second).await, BeginOutcome::Started);
    let third = saying_other_things(arriving(3, 10));
    assert_eq!(begin(&*store, &third).await, BeginOutcome::InProgress);
}

pub async fn unknown_stays_unknown(factory: &impl StoreFactory) {
    let store = factory.fresh().await;
    done(&*store, Completion::OutcomeUnknown).await;
    for (arrival, now) in [(1, 1), (2, 20), (3, ms(IDEMPOTENCY_TERM) - 1)] {
        let begun = begin(&*store, &arriving(arrival, now)).await;
        assert_eq!(begun, BeginOutcome::OutcomeUnknown, "at {now}");
    }
}

pub async fn only_the_arrival_that_holds_a_key_can_finish_it_and_only_once(
    factory: &impl StoreFactory,
) {
    let store = factory.fresh().await;
    let other = StoredResponse {
        status: 422,
        ..answer()
    };
    let ends = || {
        [
            Completion::Released,
            Completion::OutcomeUnknown,
            Completion::Response(other.clone()),
        ]
    };
    let (first, second) = (arriving(1, 0), arriving(2, 0));
    for end in ends() {
        complete(&*store, &first, end).await;
    }
    assert_eq!(
        begin(&*store, &first).await,
        BeginOutcome::Started,
        "never begun"
    );
    assert_eq!(begin(&*store, &second).await, BeginOutcome::InProgress);
    for end in ends() {
        complete(&*store, &second, end).await;
    }
    assert_eq!(begin(&*store, &second).await, BeginOutcome::InProgress);
    complete(&*store, &first, Completion::Response(answer())).await;
    for end in ends() {
        complete(&*store, &first, end).await;
    }
    let begun = begin(&*store, &second).await;
    assert_eq!(
        begun,
        BeginOutcome::Replay(answer()),
        "the first end stands"
    );
}

pub async fn under_way_too_long_is_unknown_until_it_is_finished(factory: &impl StoreFactory) {
    let store = factory.fresh().await;
    let first = arriving(1, 0);
    assert_eq!(begin(&*store, &first).await, BeginOutcome::Started);
    let limit = ms(IN_PROGRESS_LIMIT);
    for (now, expected) in [
        (limit - 1, BeginOutcome::InProgress),
        (limit, BeginOutcome::OutcomeUnknown),
        // Another instance's clock may be behind.
        (-limit, BeginOutcome::InProgress),
    ] {
        let begun = begin(&*store, &arriving(2, now)).await;
        assert_eq!(begun, expected, "at {now}");
    }
    complete(&*store, &first, Completion::Response(answer())).await;
    let begun = begin(&*store, &arriving(2, limit)).await;
    assert_eq!(begun, BeginOutcome::Replay(answer()));
}

pub async fn a_key_is_free_again_when_its_term_is_over(factory: &impl StoreFactory) {
    let term = ms(IDEMPOTENCY_TERM);
    for finished in [
        None,
        Some(Completion::Response(answer())),
        Some(Completion::OutcomeUnknown),
    ] {
        let store = factory.fresh().await;
        let first = arriving(1, 0);
        assert_eq!(begin(&*store, &first).await, BeginOutcome::Started);
        if let Some(finished) = finished {
            complete(&*store, &first, finished).await;
        }
        let begun = begin(&*store, &arriving(2, term - 1)).await;
        assert_ne!(begun, BeginOutcome::Started, "a moment before");
        let next = saying_other_things(arriving(3, term));
        assert_eq!(begin(&*store, &next).await, BeginOutcome::Started);
        complete(&*store, &first, Completion::Released).await;
        let begun = begin(&*store, &saying_other_things(arriving(4, term))).await;
        assert_eq!(
            begun,
            BeginOutcome::InProgress,
            "the one of old holds it no more"
        );
    }
}

pub async fn what_a_key_stands_for_survives_reopening(factory: &impl StoreFactory) {
    for (finished, expected) in [
        (None, BeginOutcome::InProgress),
        (
            Some(Completion::Response(answer())),
            BeginOutcome::Replay(answer()),
        ),
        (
            Some(Completion::OutcomeUnknown),
            BeginOutcome::OutcomeUnknown,
        ),
        (Some(Completion::Released), BeginOutcome::Started),
    ] {
        let store = factory.fresh().await;
        let first = arriving(1, 0);
        assert_eq!(begin(&*store, &first).await, BeginOutcome::Started);
        if let Some(finished) = finished {
            complete(&*store, &first, finished).await;
        }
        let Some(store) = factory.reopened(store).await else {
            return;
        };
        assert_eq!(begin(&*store, &arriving(2, 10)).await, expected);
    }
}
