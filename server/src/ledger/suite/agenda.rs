//! Timed work is done by one holder at a time, and none of it is lost.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::ledger::{Leased, Settlement};

const LEASE: Duration = Duration::from_millis(1000);

async fn observe(ledger: &dyn Ledger, name: &str, observation: &Observation) {
    ledger
        .observe(&id(name), observation)
        .await
        .expect("observe");
}

async fn claim(ledger: &dyn Ledger, kind: ErrandKind, now: i64) -> Vec<Leased> {
    ledger
        .claim(kind, at(now), 100, LEASE)
        .await
        .expect("claim")
}

async fn claim_one(ledger: &dyn Ledger, kind: ErrandKind, now: i64) -> Leased {
    let mut leased = claim(ledger, kind, now).await;
    assert_eq!(leased.len(), 1, "{leased:?}");
    leased.remove(0)
}

async fn settle(ledger: &dyn Ledger, leased: &Leased, settlement: Settlement) -> bool {
    ledger
        .settle(leased, &settlement, None)
        .await
        .expect("settle")
}

async fn next_due(ledger: &dyn Ledger, kind: ErrandKind) -> Option<i64> {
    let due = ledger.next_due(kind).await.expect("next_due");
    due.map(Timestamp::unix_ms)
}

pub(in crate::ledger) async fn a_delivery_is_scheduled_once_in_spite_of_everything(
    factory: &impl Factory,
) {
    let ledger = factory.fresh().await;
    at_once(32, |n| {
        let ledger = Arc::clone(&ledger);
        // Copies, other notifications and answers of Khipu's, all confirming.
        let observation = match n % 3 {
            0 => confirming("{}", 30),
            1 => confirming(&format!("{{\"n\":{n}}}"), 30),
            _ => Observation {
                notification: None,
                ..confirming("", 30)
            },
        };
        async move {
            ledger
                .observe(&id("p1"), &observation)
                .await
                .expect("observe")
        }
    })
    .await;
    let leased = claim_one(&*ledger, ErrandKind::Delivery, 100).await;
    assert_eq!((leased.attempts, &leased.payment_id), (0, &id("p1")));
    observe(&*ledger, "p1", &confirming("{}", 30)).await;
    assert_eq!(claim(&*ledger, ErrandKind::Delivery, 100).await, []);
}

pub(in crate::ledger) async fn a_delivery_that_is_done_or_dead_is_never_scheduled_again(
    factory: &impl Factory,
) {
    let ledger = factory.fresh().await;
    for (name, end) in [("done", Settlement::Done), ("dead", Settlement::Dead)] {
        observe(&*ledger, name, &confirming("{}", 30)).await;
        let leased = claim_one(&*ledger, ErrandKind::Delivery, 30).await;
        assert!(settle(&*ledger, &leased, end).await);
        observe(&*ledger, name, &confirming("{}", 40)).await;
        observe(&*ledger, name, &confirming("{\"n\":2}", 40)).await;
        assert_eq!(
            claim(&*ledger, ErrandKind::Delivery, 100_000).await,
            [],
            "{name}"
        );
        assert_eq!(
            next_due(&*ledger, ErrandKind::Delivery).await,
            None,
            "{name}"
        );
    }
}

pub(in crate::ledger) async fn a_delivery_needs_a_payment_that_stands_at_confirmed(
    factory: &impl Factory,
) {
    let ledger = factory.fresh().await;
    for kind in [
        Kind::Created,
        Kind::Returned,
        Kind::Unpaid,
        Kind::Verifying,
        Kind::Expired,
        Kind::Cancelled,
        Kind::Rejected,
        Kind::Confirmed,
        Kind::Reversed,
    ] {
        let observation = Observation {
            update: saying(kind, 30).update,
            ..confirming("{}", 30)
        };
        let name = format!("{kind:?}");
        observe(&*ledger, &name, &observation).await;
    }
    let leased = claim_one(&*ledger, ErrandKind::Delivery, 100).await;
    assert_eq!(leased.payment_id, id("Confirmed"));
}

pub(in crate::ledger) async fn no_delivery_where_the_payment_stands_at_reversed(
    factory: &impl Factory,
) {
    let ledger = factory.fresh().await;
    observe(&*ledger, "p1", &saying(Kind::Reversed, 20)).await;
    observe(&*ledger, "p1", &confirming("{}", 30)).await;
    assert_eq!(claim(&*ledger, ErrandKind::Delivery, 100).await, []);
    assert_eq!(next_due(&*ledger, ErrandKind::Delivery).await, None);
}

pub(in crate::ledger) async fn a_delivery_may_come_after_the_confirmation(factory: &impl Factory) {
    let ledger = factory.fresh().await;
    observe(&*ledger, "p1", &saying(Kind::Confirmed, 20)).await;
    assert_eq!(next_due(&*ledger, ErrandKind::Delivery).await, None);
    observe(&*ledger, "p1", &scheduling(ErrandKind::Delivery, 30)).await;
    assert_eq!(next_due(&*ledger, ErrandKind::Delivery).await, Some(30));
}

pub(in crate::ledger) async fn scheduling_brings_forward_and_never_puts_off(
    factory: &impl Factory,
) {
    let ledger = factory.fresh().await;
    observe(&*ledger, "paid", &saying(Kind::Confirmed, 1)).await;
    for (kind, name) in [(ErrandKind::Delivery, "paid"), (ErrandKind::Check, "open")] {
        for (due, expected) in [(50, 50), (70, 50), (20, 20), (50, 20)] {
            observe(&*ledger, name, &scheduling(kind, due)).await;
            assert_eq!(next_due(&*ledger, kind).await, Some(expected), "{kind:?}");
        }
    }
}

pub(in crate::ledger) async fn an_attempted_delivery_is_not_brought_forward(
    factory: &impl Factory,
) {
    let ledger = factory.fresh().await;
    observe(&*ledger, "p1", &saying(Kind::Confirmed, 1)).await;
    let kind = ErrandKind::Delivery;
    observe(&*ledger, "p1", &scheduling(kind, 10)).await;
    let leased = claim_one(&*ledger, kind, 10).await;
    assert!(settle(&*ledger, &leased, Settlement::Again { due_at: at(500) }).await);
    observe(&*ledger, "p1", &scheduling(kind, 20)).await;
    assert_eq!(next_due(&*ledger, kind).await, Some(500));
}

pub(in crate::ledger) async fn an_attempted_check_that_is_asked_for_is_due_at_the_earlier_time(
    factory: &impl Factory,
) {
    let ledger = factory.fresh().await;
    let check = ErrandKind::Check;
    for (asked, due) in [(20, 20), (800, 500)] {
        observe(&*ledger, "p1", &scheduling(check, 10)).await;
        let leased = claim_one(&*ledger, check, 10).await;
        assert!(settle(&*ledger, &leased, Settlement::Again { due_at: at(500) }).await);
        observe(&*ledger, "p1", &scheduling(check, asked)).await;
        assert_eq!(next_due(&*ledger, check).await, Some(due));
        let leased = claim_one(&*ledger, check, due).await;
        assert_eq!(leased.attempts, 0, "its schedule begins again");
        assert!(settle(&*ledger, &leased, Settlement::Done).await);
    }
}

pub(in crate::ledger) async fn a_settled_check_can_be_scheduled_again(factory: &impl Factory) {
    let ledger = factory.fresh().await;
    for end in [Settlement::Done, Settlement::Dead] {
        observe(&*ledger, "p1", &scheduling(ErrandKind::Check, 10)).await;
        let leased = claim_one(&*ledger, ErrandKind::Check, 10).await;
        assert!(settle(&*ledger, &leased, Settlement::Again { due_at: at(20) }).await);
        let leased = claim_one(&*ledger, ErrandKind::Check, 20).await;
        assert!(settle(&*ledger, &leased, end).await);
        assert_eq!(next_due(&*ledger, ErrandKind::Check).await, None, "{end:?}");

        observe(&*ledger, "p1", &scheduling(ErrandKind::Check, 30)).await;
        let leased = claim_one(&*ledger, ErrandKind::Check, 30).await;
        assert_eq!(leased.attempts, 0, "a new one, after {end:?}");
        assert!(settle(&*ledger, &leased, Settlement::Done).await);
    }
}

pub(in crate::ledger) async fn a_check_scheduled_while_leased_is_not_lost(factory: &impl Factory) {
    let ledger = factory.fresh().await;
    for end in [Settlement::Done, Settlement::Dead] {
        observe(&*ledger, "p1", &scheduling(ErrandKind::Check, 10)).await;
        let leased = claim_one(&*ledger, ErrandKind::Check, 10).await;
        for due in [40, 30, 50] {
            observe(&*ledger, "p1", &scheduling(ErrandKind::Check, due)).await;
        }
        assert_eq!(claim(&*ledger, ErrandKind::Check, 100).await, [], "in hand");
        assert!(settle(&*ledger, &leased, end).await);

        assert_eq!(
            next_due(&*ledger, ErrandKind::Check).await,
            Some(30),
            "{end:?}"
        );
        let leased = claim_one(&*ledger, ErrandKind::Check, 30).await;
        assert_eq!(leased.attempts, 0, "a new one, after {end:?}");
        assert!(settle(&*ledger, &leased, Settlement::Done).await);
        assert_eq!(next_due(&*ledger, ErrandKind::Check).await, None, "once");
    }
}

pub(in crate::ledger) async fn what_is_put_back_takes_in_a_check_scheduled_while_leased(
    factory: &impl Factory,
) {
    let ledger = factory.fresh().await;
    let due_at = at(200);
    for back in [Settlement::Again { due_at }, Settlement::Untried { due_at }] {
        for (asked, due) in [(30, 30), (900, 200)] {
            observe(&*ledger, "p1", &scheduling(ErrandKind::Check, 10)).await;
            let leased = claim_one(&*ledger, ErrandKind::Check, 10).await;
            observe(&*ledger, "p1", &scheduling(ErrandKind::Check, asked)).await;
            assert!(settle(&*ledger, &leased, back).await);
            assert_eq!(next_due(&*ledger, ErrandKind::Check).await, Some(due));
            let leased = claim_one(&*ledger, ErrandKind::Check, due).await;
            assert_eq!(leased.attempts, 0, "{back:?}: its schedule begins again");
            assert!(settle(&*ledger, &leased, Settlement::Done).await);
            assert_eq!(next_due(&*ledger, ErrandKind::Check).await, None, "once");
        }
    }
}

pub(in crate::ledger) async fn only_what_is_due_is_claimed_the_longest_due_first(
    factory: &impl Factory,
) {
    let ledger = factory.fresh().await;
    for (name, due) in [("c", 30), ("a", 10), ("d", 41), ("b", 20), ("e", 40)] {
        observe(&*ledger, name, &scheduling(ErrandKind::Check, due)).await;
    }
    let leased = claim(&*ledger, ErrandKind::Check, 40).await;
    let names: Vec<_> = leased.iter().map(|l| l.payment_id.as_str()).collect();
    assert_eq!(names, ["a", "b", "c", "e"]);
    assert!(
        leased
            .iter()
            .all(|l| l.kind == ErrandKind::Check && l.attempts == 0)
    );
}

pub(in crate::ledger) async fn a_claim_takes_one_kind_and_at_most_its_limit(
    factory: &impl Factory,
) {
    let ledger = factory.fresh().await;
    for n in 0..10 {
        observe(&*ledger, &format!("p{n}"), &confirming("{}", n)).await;
        observe(
            &*ledger,
            &format!("open{n}"),
            &scheduling(ErrandKind::Check, n),
        )
        .await;
    }
    let take = |kind, limit| {
        let ledger = Arc::clone(&ledger);
        async move {
            ledger
                .claim(kind, at(100), limit, LEASE)
                .await
                .expect("claim")
        }
    };
    assert_eq!(take(ErrandKind::Delivery, 0).await, []);
    let first = take(ErrandKind::Delivery, 4).await;
    assert_eq!(first.len(), 4);
    assert!(
        first
            .iter()
            .all(|leased| leased.kind == ErrandKind::Delivery)
    );
    assert_eq!(first[3].payment_id, id("p3"));
    assert_eq!(take(ErrandKind::Delivery, 100).await.len(), 6);
    assert_eq!(take(ErrandKind::Check, 100).await.len(), 10);
}

pub(in crate::ledger) async fn thirty_two_claimants_never_share_an_errand(factory: &impl Factory) {
    const ERRANDS: usize = 100;
    let ledger = factory.fresh().await;
    for n in 0..ERRANDS {
        observe(
            &*ledger,
            &format!("p{n}"),
            &scheduling(ErrandKind::Check, 10),
        )
        .await;
    }
    let taken = at_once(32, |_| {
        let ledger = Arc::clone(&ledger);
        async move {
            let mut mine = Vec::new();
            loop {
                let some = ledger
                    .claim(ErrandKind::Check, at(10), 3, LEASE)
                    .await
                    .expect("claim");
                if some.is_empty() {
                    return mine;
                }
                mine.extend(some);
            }
        }
    })
    .await;
    let all: Vec<_> = taken.into_iter().flatten().collect();
    let payments: HashSet<_> = all.iter().map(|leased| &leased.payment_id).collect();
    assert_eq!((all.len(), payments.len()), (ERRANDS, ERRANDS));
}

pub(in crate::ledger) async fn a_lease_that_ran_out_gives_the_errand_to_another(
    factory: &impl Factory,
) {
    let ledger = factory.fresh().await;
    observe(&*ledger, "p1", &scheduling(ErrandKind::Check, 10)).await;
    let first = claim_one(&*ledger, ErrandKind::Check, 10).await;
    assert_eq!(claim(&*ledger, ErrandKind::Check, 1009).await, []);
    let second = claim_one(&*ledger, ErrandKind::Check, 1010).await;
    assert_ne!(first.token, second.token);
    assert_eq!(second.attempts, 0, "only Again counts");

    for end in [
        Settlement::Done,
        Settlement::Dead,
        Settlement::Again { due_at: at(1) },
        Settlement::Untried { due_at: at(1) },
    ] {
        assert!(!settle(&*ledger, &first, end).await, "lost: {end:?}");
    }
    assert_eq!(next_due(&*ledger, ErrandKind::Check).await, Some(2010));
    assert!(settle(&*ledger, &second, Settlement::Done).await);
    assert!(!settle(&*ledger, &second, Settlement::Done).await, "ended");

    observe(&*ledger, "p1", &scheduling(ErrandKind::Check, 3000)).await;
    claim_one(&*ledger, ErrandKind::Check, 3000).await;
    assert!(
        !settle(&*ledger, &first, Settlement::Done).await,
        "of a check long gone"
    );
}

pub(in crate::ledger) async fn a_lease_that_ran_out_untaken_can_still_be_settled(
    factory: &impl Factory,
) {
    let ledger = factory.fresh().await;
    observe(&*ledger, "p1", &confirming("{}", 10)).await;
    let leased = claim_one(&*ledger, ErrandKind::Delivery, 10).await;
    // Nobody else came at 1010; the holder ends it later.
    assert_eq!(next_due(&*ledger, ErrandKind::Delivery).await, Some(1010));
    assert!(settle(&*ledger, &leased, Settlement::Done).await);
    assert_eq!(claim(&*ledger, ErrandKind::Delivery, 5000).await, []);
}

pub(in crate::ledger) async fn again_puts_back_and_counts(factory: &impl Factory) {
    let ledger = factory.fresh().await;
    observe(&*ledger, "p1", &confirming("{}", 10)).await;
    for attempts in 0..4 {
        let now = 10 + i64::from(attempts) * 100;
        assert_eq!(claim(&*ledger, ErrandKind::Delivery, now - 1).await, []);
        let leased = claim_one(&*ledger, ErrandKind::Delivery, now).await;
        assert_eq!(leased.attempts, attempts);
        let due_at = at(now + 100);
        assert!(settle(&*ledger, &leased, Settlement::Again { due_at }).await);
    }
}

pub(in crate::ledger) async fn untried_puts_back_and_does_not_count(factory: &impl Factory) {
    let ledger = factory.fresh().await;
    observe(&*ledger, "p1", &confirming("{}", 10)).await;
    let due_at = at(100);
    for attempts in [0, 1] {
        let first = claim_one(&*ledger, ErrandKind::Delivery, 10 + 90 * attempts).await;
        assert!(settle(&*ledger, &first, Settlement::Untried { due_at }).await);
        assert!(!settle(&*ledger, &first, Settlement::Done).await, "ended");
        assert_eq!(claim(&*ledger, ErrandKind::Delivery, 99).await, []);
        assert_eq!(next_due(&*ledger, ErrandKind::Delivery).await, Some(100));
        let second = claim_one(&*ledger, ErrandKind::Delivery, 100).await;
        assert_eq!(i64::from(second.attempts), attempts);
        assert!(settle(&*ledger, &second, Settlement::Again { due_at }).await);
    }
    assert!(
        !events(&*ledger, "p1")
            .await
            .iter()
            .any(|event| matches!(event, Event::Attempted { .. })),
        "it is not in the timeline"
    );
}

pub(in crate::ledger) async fn dead_stays_and_is_not_claimed(factory: &impl Factory) {
    let ledger = factory.fresh().await;
    observe(&*ledger, "paid", &confirming("{}", 10)).await;
    observe(&*ledger, "open", &scheduling(ErrandKind::Check, 10)).await;
    for kind in ErrandKind::ALL {
        let leased = claim_one(&*ledger, kind, 10).await;
        assert!(settle(&*ledger, &leased, Settlement::Dead).await);
        assert_eq!(claim(&*ledger, kind, 1_000_000).await, [], "{kind:?}");
        assert_eq!(next_due(&*ledger, kind).await, None, "{kind:?}");
        assert!(
            !settle(&*ledger, &leased, Settlement::Done).await,
            "{kind:?}"
        );
    }
}

pub(in crate::ledger) async fn next_due_is_the_earliest_that_can_be_claimed(
    factory: &impl Factory,
) {
    let ledger = factory.fresh().await;
    let check = ErrandKind::Check;
    assert_eq!(next_due(&*ledger, check).await, None);
    observe(&*ledger, "a", &scheduling(check, 10)).await;
    observe(&*ledger, "b", &scheduling(check, 500)).await;
    observe(&*ledger, "c", &scheduling(check, 5000)).await;
    assert_eq!(next_due(&*ledger, ErrandKind::Delivery).await, None);
    assert_eq!(next_due(&*ledger, check).await, Some(10));

    let a = claim_one(&*ledger, check, 10).await;
    assert_eq!(
        next_due(&*ledger, check).await,
        Some(500),
        "a is in hand until 1010"
    );
    let b = claim_one(&*ledger, check, 500).await;
    assert_eq!(
        next_due(&*ledger, check).await,
        Some(1010),
        "a's lease ends first"
    );
    assert!(settle(&*ledger, &a, Settlement::Done).await);
    assert_eq!(
        next_due(&*ledger, check).await,
        Some(1500),
        "b's lease ends"
    );
    assert!(settle(&*ledger, &b, Settlement::Again { due_at: at(6000) }).await);
    assert_eq!(
        next_due(&*ledger, check).await,
        Some(5000),
        "c is due before b"
    );
}

fn checking(due_ms: i64, priority: Priority) -> Observation {
    Observation {
        errands: vec![Errand::check(at(due_ms), priority)],
        ..scheduling(ErrandKind::Check, due_ms)
    }
}

fn confirming_with_cross_check(due_ms: i64) -> Observation {
    Observation {
        errands: checking(due_ms, Priority::CrossCheck).errands,
        ..saying(Kind::Confirmed, 5)
    }
}

/// The payment's name and the priority of each.
fn described(leased: &[Leased]) -> Vec<(&str, Priority)> {
    leased
        .iter()
        .map(|it| (it.payment_id.as_str(), it.priority))
        .collect()
}

pub(in crate::ledger) async fn the_higher_priority_is_claimed_first(factory: &impl Factory) {
    let ledger = factory.fresh().await;
    for n in 0..4 {
        let crossed = confirming_with_cross_check(n);
        observe(&*ledger, &format!("crossed{n}"), &crossed).await;
    }
    observe(&*ledger, "silent", &checking(10, Priority::Silent)).await;
    observe(&*ledger, "later", &checking(30, Priority::Notified)).await;
    observe(&*ledger, "notified", &checking(20, Priority::Notified)).await;
    assert_eq!(next_due(&*ledger, ErrandKind::Check).await, Some(0));

    let claimed = ledger.claim(ErrandKind::Check, at(100), 4, LEASE).await;
    let expected = [
        ("notified", Priority::Notified),
        ("later", Priority::Notified),
        ("silent", Priority::Silent),
        ("crossed0", Priority::CrossCheck),
    ];
    assert_eq!(described(&claimed.expect("claim")), expected);
    let rest = claim(&*ledger, ErrandKind::Check, 100).await;
    assert_eq!(
        described(&rest),
        ["crossed1", "crossed2", "crossed3"].map(|name| (name, Priority::CrossCheck))
    );
}

pub(in crate::ledger) async fn of_two_priorities_the_higher_counts(factory: &impl Factory) {
    use Priority::{Notified, Silent};
    let ledger = factory.fresh().await;
    for (first, second) in [(Silent, Notified), (Notified, Silent)] {
        observe(&*ledger, "p1", &checking(10, first)).await;
        observe(&*ledger, "p1", &checking(20, second)).await;
        let leased = claim_one(&*ledger, ErrandKind::Check, 10).await;
        assert_eq!(leased.priority, Notified, "{first:?}, {second:?}");

        // And of what is asked for during the lease, however it ends.
        let leased = Leased {
            priority: Silent,
            ..leased
        };
        observe(&*ledger, "p1", &checking(40, first)).await;
        observe(&*ledger, "p1", &checking(30, second)).await;
        let again = Settlement::Again { due_at: at(90) };
        assert!(settle(&*ledger, &leased, again).await);
        let leased = claim_one(&*ledger, ErrandKind::Check, 30).await;
        assert_eq!(leased.priority, Notified, "{first:?}, {second:?}");
        observe(&*ledger, "p1", &checking(50, Silent)).await;
        assert!(settle(&*ledger, &leased, Settlement::Done).await);
        let leased = claim_one(&*ledger, ErrandKind::Check, 50).await;
        assert_eq!(leased.priority, Silent, "what was done is over");
        assert!(settle(&*ledger, &leased, Settlement::Done).await);
    }
}

pub(in crate::ledger) async fn what_is_put_back_has_the_priority_that_its_holder_gives_it(
    factory: &impl Factory,
) {
    use Priority::{Notified, Silent};
    let ledger = factory.fresh().await;
    let due_at = at(10);
    observe(&*ledger, "p1", &checking(10, Notified)).await;
    for (given, back) in [
        (Notified, Settlement::Untried { due_at }),
        (Silent, Settlement::Again { due_at }),
        (Notified, Settlement::Again { due_at }),
        (Silent, Settlement::Untried { due_at }),
    ] {
        let leased = claim_one(&*ledger, ErrandKind::Check, 10).await;
        let leased = Leased {
            priority: given,
            ..leased
        };
        assert!(settle(&*ledger, &leased, back).await);
        let leased = claim_one(&*ledger, ErrandKind::Check, 10).await;
        assert_eq!(leased.priority, given, "{back:?}");
        assert!(settle(&*ledger, &leased, Settlement::Untried { due_at }).await);
    }
}

pub(in crate::ledger) async fn a_confirmation_ends_the_plan_and_its_cross_check_takes_the_place(
    factory: &impl Factory,
) {
    let ledger = factory.fresh().await;
    for status in [Kind::Confirmed, Kind::Reversed] {
        let name = status.status().as_str();
        observe(&*ledger, name, &checking(10, Priority::Notified)).await;
        observe(&*ledger, name, &saying(status, 20)).await;
        assert_eq!(next_due(&*ledger, ErrandKind::Check).await, None, "{name}");
        assert_eq!(claim(&*ledger, ErrandKind::Check, 100_000).await, []);
    }
    observe(&*ledger, "p1", &checking(10, Priority::Notified)).await;
    observe(&*ledger, "p1", &confirming_with_cross_check(70)).await;
    assert_eq!(next_due(&*ledger, ErrandKind::Check).await, Some(70));
    let leased = claim_one(&*ledger, ErrandKind::Check, 70).await;
    assert_eq!(
        (leased.priority, leased.attempts),
        (Priority::CrossCheck, 0)
    );
    assert!(settle(&*ledger, &leased, Settlement::Done).await);
}

pub(in crate::ledger) async fn a_confirmation_during_a_lease_is_cross_checked_after_it(
    factory: &impl Factory,
) {
    let ledger = factory.fresh().await;
    let due_at = at(30);
    let ends = [
        Settlement::Done,
        Settlement::Dead,
        Settlement::Again { due_at },
        Settlement::Untried { due_at },
    ];
    for (n, end) in ends.into_iter().enumerate() {
        let (with, without) = (format!("with{n}"), format!("without{n}"));
        for name in [&with, &without] {
            observe(&*ledger, name, &checking(10, Priority::Notified)).await;
        }
        let leased = claim(&*ledger, ErrandKind::Check, 10).await;
        for name in [&with, &without] {
            observe(&*ledger, name, &checking(15, Priority::Notified)).await;
        }
        observe(&*ledger, &with, &confirming_with_cross_check(70)).await;
        observe(&*ledger, &without, &saying(Kind::Confirmed, 20)).await;
        for leased in &leased {
            let end = match leased.payment_id == id(&with) {
                true => end,
                false => Settlement::Done,
            };
            assert!(settle(&*ledger, leased, end).await);
        }
        assert_eq!(next_due(&*ledger, ErrandKind::Check).await, Some(70));
        let cross_check = claim_one(&*ledger, ErrandKind::Check, 70).await;
        assert_eq!(
            (cross_check.payment_id.as_str(), cross_check.priority),
            (with.as_str(), Priority::CrossCheck),
            "{end:?}"
        );
        assert!(settle(&*ledger, &cross_check, Settlement::Done).await);
    }
}

pub(in crate::ledger) async fn a_payment_that_is_confirmed_gets_no_other_check(
    factory: &impl Factory,
) {
    let ledger = factory.fresh().await;
    observe(&*ledger, "p1", &saying(Kind::Confirmed, 5)).await;
    for priority in Priority::ALL {
        observe(&*ledger, "p1", &checking(10, priority)).await;
    }
    // Khipu repeats itself.
    observe(&*ledger, "p1", &confirming_with_cross_check(10)).await;
    assert_eq!(next_due(&*ledger, ErrandKind::Check).await, None);
    assert_eq!(claim(&*ledger, ErrandKind::Check, 100_000).await, []);
}
