//! A request that comes twice is done once.

use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::ledger::{
    Begun, Finished, IDEMPOTENCY_TERM, IdempotencyKey, IdempotentRequest, KeptAnswer,
    UNDER_WAY_LIMIT,
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

fn answer() -> KeptAnswer {
    KeptAnswer {
        status: 200,
        body: Bytes::from_static(b"{\"payment_id\":\"p1\",\"n\":1.0, \"x\":\"\xc3\xb1\"}"),
    }
}

fn ms(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).expect("short")
}

async fn begin(ledger: &dyn Ledger, request: &IdempotentRequest) -> Begun {
    ledger.begin(request).await.expect("begin")
}

async fn finish(ledger: &dyn Ledger, request: &IdempotentRequest, finished: Finished) {
    ledger.finish(request, &finished).await.expect("finish");
}

/// One arrival, begun at 0 and brought to its end.
async fn done(ledger: &dyn Ledger, finished: Finished) {
    let first = arriving(1, 0);
    assert_eq!(begin(ledger, &first).await, Begun::Fresh);
    finish(ledger, &first, finished).await;
}

pub(in crate::ledger) async fn exactly_one_of_many_that_begin_at_once_is_fresh(
    factory: &impl Factory,
) {
    let ledger = factory.fresh().await;
    let all = at_once(64, |n| {
        let ledger = Arc::clone(&ledger);
        async move { begin(&*ledger, &arriving(n as u64, 10)).await }
    })
    .await;
    let fresh = all.iter().filter(|begun| **begun == Begun::Fresh).count();
    let under_way = all.iter().filter(|begun| **begun == Begun::UnderWay);
    assert_eq!((fresh, under_way.count()), (1, 63));
}

pub(in crate::ledger) async fn the_same_arrival_stays_fresh_until_it_is_finished(
    factory: &impl Factory,
) {
    let ledger = factory.fresh().await;
    let late = ms(UNDER_WAY_LIMIT) + 1;
    for now in [0, 1, late] {
        assert_eq!(begin(&*ledger, &arriving(1, now)).await, Begun::Fresh);
    }
    finish(&*ledger, &arriving(1, 0), Finished::Answered(answer())).await;
    let after = begin(&*ledger, &arriving(1, late)).await;
    assert_eq!(after, Begun::Answered(answer()));
}

pub(in crate::ledger) async fn an_answer_is_given_again_byte_for_byte(factory: &impl Factory) {
    let ledger = factory.fresh().await;
    done(&*ledger, Finished::Answered(answer())).await;
    for arrival in [2, 3] {
        let begun = begin(&*ledger, &arriving(arrival, 20)).await;
        assert_eq!(begun, Begun::Answered(answer()));
    }
}

pub(in crate::ledger) async fn an_answer_may_be_empty(factory: &impl Factory) {
    let ledger = factory.fresh().await;
    let empty = KeptAnswer {
        status: 599,
        body: Bytes::new(),
    };
    done(&*ledger, Finished::Answered(empty.clone())).await;
    let begun = begin(&*ledger, &arriving(2, 20)).await;
    assert_eq!(begun, Begun::Answered(empty));
}

pub(in crate::ledger) async fn a_key_stands_for_one_body_whatever_became_of_it(
    factory: &impl Factory,
) {
    for finished in [
        None,
        Some(Finished::Answered(answer())),
        Some(Finished::Unknown),
    ] {
        let ledger = factory.fresh().await;
        let first = arriving(1, 0);
        assert_eq!(begin(&*ledger, &first).await, Begun::Fresh);
        if let Some(finished) = finished {
            finish(&*ledger, &first, finished).await;
        }
        for now in [10, ms(UNDER_WAY_LIMIT) + 10] {
            let other = saying_other_things(arriving(2, now));
            assert_eq!(begin(&*ledger, &other).await, Begun::OtherBody);
        }
    }
}

pub(in crate::ledger) async fn another_account_or_route_or_key_is_another_request(
    factory: &impl Factory,
) {
    let ledger = factory.fresh().await;
    done(&*ledger, Finished::Answered(answer())).await;
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
        assert_eq!(begin(&*ledger, &request).await, Begun::Fresh);
        finish(&*ledger, &request, Finished::NothingDone).await;
    }
    let begun = begin(&*ledger, &arriving(3, 10)).await;
    assert_eq!(begun, Begun::Answered(answer()));
}

pub(in crate::ledger) async fn a_key_let_go_is_fresh_again_for_any_body(factory: &impl Factory) {
    let ledger = factory.fresh().await;
    done(&*ledger, Finished::NothingDone).await;
    let second = saying_other_things(arriving(2, 10));
    assert_eq!(begin(&*ledger, &second).await, Begun::Fresh);
    let third = saying_other_things(arriving(3, 10));
    assert_eq!(begin(&*ledger, &third).await, Begun::UnderWay);
}

pub(in crate::ledger) async fn unknown_stays_unknown(factory: &impl Factory) {
    let ledger = factory.fresh().await;
    done(&*ledger, Finished::Unknown).await;
    for (arrival, now) in [(1, 1), (2, 20), (3, ms(IDEMPOTENCY_TERM) - 1)] {
        let begun = begin(&*ledger, &arriving(arrival, now)).await;
        assert_eq!(begun, Begun::Unknown, "at {now}");
    }
}

pub(in crate::ledger) async fn only_the_arrival_that_holds_a_key_can_finish_it_and_only_once(
    factory: &impl Factory,
) {
    let ledger = factory.fresh().await;
    let other = KeptAnswer {
        status: 422,
        ..answer()
    };
    let ends = || {
        [
            Finished::NothingDone,
            Finished::Unknown,
            Finished::Answered(other.clone()),
        ]
    };
    let (first, second) = (arriving(1, 0), arriving(2, 0));
    for end in ends() {
        finish(&*ledger, &first, end).await;
    }
    assert_eq!(begin(&*ledger, &first).await, Begun::Fresh, "never begun");
    assert_eq!(begin(&*ledger, &second).await, Begun::UnderWay);
    for end in ends() {
        finish(&*ledger, &second, end).await;
    }
    assert_eq!(begin(&*ledger, &second).await, Begun::UnderWay);
    finish(&*ledger, &first, Finished::Answered(answer())).await;
    for end in ends() {
        finish(&*ledger, &first, end).await;
    }
    let begun = begin(&*ledger, &second).await;
    assert_eq!(begun, Begun::Answered(answer()), "the first end stands");
}

pub(in crate::ledger) async fn under_way_too_long_is_unknown_until_it_is_finished(
    factory: &impl Factory,
) {
    let ledger = factory.fresh().await;
    let first = arriving(1, 0);
    assert_eq!(begin(&*ledger, &first).await, Begun::Fresh);
    let limit = ms(UNDER_WAY_LIMIT);
    for (now, expected) in [
        (limit - 1, Begun::UnderWay),
        (limit, Begun::Unknown),
        // Another instance's clock may be behind.
        (-limit, Begun::UnderWay),
    ] {
        let begun = begin(&*ledger, &arriving(2, now)).await;
        assert_eq!(begun, expected, "at {now}");
    }
    finish(&*ledger, &first, Finished::Answered(answer())).await;
    let begun = begin(&*ledger, &arriving(2, limit)).await;
    assert_eq!(begun, Begun::Answered(answer()));
}

pub(in crate::ledger) async fn a_key_is_free_again_when_its_term_is_over(factory: &impl Factory) {
    let term = ms(IDEMPOTENCY_TERM);
    for finished in [
        None,
        Some(Finished::Answered(answer())),
        Some(Finished::Unknown),
    ] {
        let ledger = factory.fresh().await;
        let first = arriving(1, 0);
        assert_eq!(begin(&*ledger, &first).await, Begun::Fresh);
        if let Some(finished) = finished {
            finish(&*ledger, &first, finished).await;
        }
        let begun = begin(&*ledger, &arriving(2, term - 1)).await;
        assert_ne!(begun, Begun::Fresh, "a moment before");
        let next = saying_other_things(arriving(3, term));
        assert_eq!(begin(&*ledger, &next).await, Begun::Fresh);
        finish(&*ledger, &first, Finished::NothingDone).await;
        let begun = begin(&*ledger, &saying_other_things(arriving(4, term))).await;
        assert_eq!(begun, Begun::UnderWay, "the one of old holds it no more");
    }
}

pub(in crate::ledger) async fn what_a_key_stands_for_survives_reopening(factory: &impl Factory) {
    for (finished, expected) in [
        (None, Begun::UnderWay),
        (
            Some(Finished::Answered(answer())),
            Begun::Answered(answer()),
        ),
        (Some(Finished::Unknown), Begun::Unknown),
        (Some(Finished::NothingDone), Begun::Fresh),
    ] {
        let ledger = factory.fresh().await;
        let first = arriving(1, 0);
        assert_eq!(begin(&*ledger, &first).await, Begun::Fresh);
        if let Some(finished) = finished {
            finish(&*ledger, &first, finished).await;
        }
        let Some(ledger) = factory.reopened(ledger).await else {
            return;
        };
        assert_eq!(begin(&*ledger, &arriving(2, 10)).await, expected);
    }
}
