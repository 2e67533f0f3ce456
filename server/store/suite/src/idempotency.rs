//! A request that arrives twice is carried out once.

use std::time::Duration;

use chasqui_store::{
    BeginOutcome, Completion, IDEMPOTENCY_TERM, IN_PROGRESS_LIMIT, IdempotencyKey,
    IdempotentRequest, StoredResponse,
};

use crate::fixtures::*;

const PAYMENTS: &str = "POST /v3/payments";

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

fn with_another_body(request: IdempotentRequest) -> IdempotentRequest {
    IdempotentRequest {
        fingerprint: [8; 32],
        ..request
    }
}

fn response() -> StoredResponse {
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

async fn complete(store: &dyn Store, request: &IdempotentRequest, completion: Completion) {
    store.complete(request, &completion).await.expect("finish");
}

/// One arrival, begun at 0 and completed.
async fn done(store: &dyn Store, completion: Completion) {
    let first = arriving(1, 0);
    assert_eq!(begin(store, &first).await, BeginOutcome::Started);
    complete(store, &first, completion).await;
}

pub async fn of_concurrent_arrivals_exactly_one_is_started(factory: &impl StoreFactory) {
    let store = factory.fresh().await;
    let all = at_once(64, |n| {
        let store = Arc::clone(&store);
        async move { begin(&*store, &arriving(n as u64, 10)).await }
    })
    .await;
    let started = all
        .iter()
        .filter(|outcome| **outcome == BeginOutcome::Started)
        .count();
    let in_progress = all
        .iter()
        .filter(|outcome| **outcome == BeginOutcome::InProgress);
    assert_eq!((started, in_progress.count()), (1, 63));
}

pub async fn the_same_arrival_stays_started_until_it_is_completed(factory: &impl StoreFactory) {
    let store = factory.fresh().await;
    let late = ms(IN_PROGRESS_LIMIT) + 1;
    for now in [0, 1, late] {
        assert_eq!(
            begin(&*store, &arriving(1, now)).await,
            BeginOutcome::Started
        );
    }
    complete(&*store, &arriving(1, 0), Completion::Response(response())).await;
    let after = begin(&*store, &arriving(1, late)).await;
    assert_eq!(after, BeginOutcome::Replay(response()));
}

pub async fn a_response_is_replayed_byte_for_byte(factory: &impl StoreFactory) {
    let store = factory.fresh().await;
    done(&*store, Completion::Response(response())).await;
    for arrival in [2, 3] {
        let outcome = begin(&*store, &arriving(arrival, 20)).await;
        assert_eq!(outcome, BeginOutcome::Replay(response()));
    }
}

pub async fn a_response_can_be_empty(factory: &impl StoreFactory) {
    let store = factory.fresh().await;
    let empty = StoredResponse {
        status: 599,
        body: Bytes::new(),
    };
    done(&*store, Completion::Response(empty.clone())).await;
    let outcome = begin(&*store, &arriving(2, 20)).await;
    assert_eq!(outcome, BeginOutcome::Replay(empty));
}

pub async fn a_key_belongs_to_one_body_after_any_completion(factory: &impl StoreFactory) {
    for completion in [
        None,
        Some(Completion::Response(response())),
        Some(Completion::OutcomeUnknown),
    ] {
        let store = factory.fresh().await;
        let first = arriving(1, 0);
        assert_eq!(begin(&*store, &first).await, BeginOutcome::Started);
        if let Some(completion) = completion {
            complete(&*store, &first, completion).await;
        }
        for now in [10, ms(IN_PROGRESS_LIMIT) + 10] {
            let other = with_another_body(arriving(2, now));
            assert_eq!(begin(&*store, &other).await, BeginOutcome::KeyReused);
        }
    }
}

pub async fn another_account_or_route_or_key_is_another_request(factory: &impl StoreFactory) {
    let store = factory.fresh().await;
    done(&*store, Completion::Response(response())).await;
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
        // Scope and key are separate.
        IdempotencyKey {
            route: "",
            key: format!("{PAYMENTS}order-77"),
            ..key
        },
    ] {
        let request = IdempotentRequest {
            key,
            ..with_another_body(arriving(2, 10))
        };
        assert_eq!(begin(&*store, &request).await, BeginOutcome::Started);
        complete(&*store, &request, Completion::Released).await;
    }
    let outcome = begin(&*store, &arriving(3, 10)).await;
    assert_eq!(outcome, BeginOutcome::Replay(response()));
}

pub async fn a_released_key_is_free_for_any_body(factory: &impl StoreFactory) {
    let store = factory.fresh().await;
    done(&*store, Completion::Released).await;
    let second = with_another_body(arriving(2, 10));
    assert_eq!(begin(&*store, &second).await, BeginOutcome::Started);
    let third = with_another_body(arriving(3, 10));
    assert_eq!(begin(&*store, &third).await, BeginOutcome::InProgress);
}

pub async fn an_unknown_outcome_stays_unknown(factory: &impl StoreFactory) {
    let store = factory.fresh().await;
    done(&*store, Completion::OutcomeUnknown).await;
    for (arrival, now) in [(1, 1), (2, 20), (3, ms(IDEMPOTENCY_TERM) - 1)] {
        let outcome = begin(&*store, &arriving(arrival, now)).await;
        assert_eq!(outcome, BeginOutcome::OutcomeUnknown, "at {now}");
    }
}

pub async fn only_the_arrival_that_holds_a_key_can_complete_it_and_only_once(
    factory: &impl StoreFactory,
) {
    let store = factory.fresh().await;
    let other = StoredResponse {
        status: 422,
        ..response()
    };
    let completions = || {
        [
            Completion::Released,
            Completion::OutcomeUnknown,
            Completion::Response(other.clone()),
        ]
    };
    let (first, second) = (arriving(1, 0), arriving(2, 0));
    for end in completions() {
        complete(&*store, &first, end).await;
    }
    assert_eq!(
        begin(&*store, &first).await,
        BeginOutcome::Started,
        "never begun"
    );
    assert_eq!(begin(&*store, &second).await, BeginOutcome::InProgress);
    for end in completions() {
        complete(&*store, &second, end).await;
    }
    assert_eq!(begin(&*store, &second).await, BeginOutcome::InProgress);
    complete(&*store, &first, Completion::Response(response())).await;
    for end in completions() {
        complete(&*store, &first, end).await;
    }
    let outcome = begin(&*store, &second).await;
    assert_eq!(
        outcome,
        BeginOutcome::Replay(response()),
        "the first completion stands"
    );
}

pub async fn a_request_in_progress_too_long_is_unknown_until_it_is_completed(
    factory: &impl StoreFactory,
) {
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
        let outcome = begin(&*store, &arriving(2, now)).await;
        assert_eq!(outcome, expected, "at {now}");
    }
    complete(&*store, &first, Completion::Response(response())).await;
    let outcome = begin(&*store, &arriving(2, limit)).await;
    assert_eq!(outcome, BeginOutcome::Replay(response()));
}

pub async fn a_key_is_free_again_after_its_term(factory: &impl StoreFactory) {
    let term = ms(IDEMPOTENCY_TERM);
    for completion in [
        None,
        Some(Completion::Response(response())),
        Some(Completion::OutcomeUnknown),
    ] {
        let store = factory.fresh().await;
        let first = arriving(1, 0);
        assert_eq!(begin(&*store, &first).await, BeginOutcome::Started);
        if let Some(completion) = completion {
            complete(&*store, &first, completion).await;
        }
        let outcome = begin(&*store, &arriving(2, term - 1)).await;
        assert_ne!(outcome, BeginOutcome::Started, "a moment before");
        let next = with_another_body(arriving(3, term));
        assert_eq!(begin(&*store, &next).await, BeginOutcome::Started);
        complete(&*store, &first, Completion::Released).await;
        let outcome = begin(&*store, &with_another_body(arriving(4, term))).await;
        assert_eq!(
            outcome,
            BeginOutcome::InProgress,
            "the expired arrival no longer holds it"
        );
    }
}

pub async fn keys_survive_reopening(factory: &impl StoreFactory) {
    for (completion, expected) in [
        (None, BeginOutcome::InProgress),
        (
            Some(Completion::Response(response())),
            BeginOutcome::Replay(response()),
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
        if let Some(completion) = completion {
            complete(&*store, &first, completion).await;
        }
        let Some(store) = factory.reopened(store).await else {
            return;
        };
        assert_eq!(begin(&*store, &arriving(2, 10)).await, expected);
    }
}
