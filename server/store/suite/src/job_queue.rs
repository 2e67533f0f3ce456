//! Timed work is done by one holder at a time, and none of it is lost.

use std::collections::HashSet;
use std::time::Duration;

use crate::fixtures::*;
use chasqui_store::{JobResult, LeasedJob};

const LEASE: Duration = Duration::from_millis(1000);

async fn observe(store: &dyn Store, name: &str, observation: &Observation) {
    store
        .observe(&id(name), observation)
        .await
        .expect("observe");
}

async fn lease_due(store: &dyn Store, kind: JobKind, now: i64) -> Vec<LeasedJob> {
    store
        .lease_due(kind, at(now), 100, LEASE)
        .await
        .expect("claim")
}

async fn claim_one(store: &dyn Store, kind: JobKind, now: i64) -> LeasedJob {
    let mut leased = lease_due(store, kind, now).await;
    assert_eq!(leased.len(), 1, "{leased:?}");
    leased.remove(0)
}

async fn finish(store: &dyn Store, leased: &LeasedJob, settlement: JobResult) -> bool {
    store
        .finish(leased, &settlement, None)
        .await
        .expect("settle")
}

async fn next_due(store: &dyn Store, kind: JobKind) -> Option<i64> {
    let due = store.next_due(kind).await.expect("next_due");
    due.map(Timestamp::unix_ms)
}

pub async fn a_delivery_is_scheduled_once_in_spite_of_everything(factory: &impl StoreFactory) {
    let store = factory.fresh().await;
    at_once(32, |n| {
        let store = Arc::clone(&store);
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
            store
                .observe(&id("p1"), &observation)
                .await
                .expect("observe")
        }
    })
    .await;
    let leased = claim_one(&*store, JobKind::Delivery, 100).await;
    assert_eq!((leased.attempts, &leased.payment_id), (0, &id("p1")));
    observe(&*store, "p1", &confirming("{}", 30)).await;
    assert_eq!(lease_due(&*store, JobKind::Delivery, 100).await, []);
}

pub async fn a_delivery_that_is_done_or_dead_is_never_scheduled_again(factory: &impl StoreFactory) {
    let store = factory.fresh().await;
    for (name, end) in [("done", JobResult::Done), ("dead", JobResult::Dead)] {
        observe(&*store, name, &confirming("{}", 30)).await;
        let leased = claim_one(&*store, JobKind::Delivery, 30).await;
        assert!(finish(&*store, &leased, end).await);
        observe(&*store, name, &confirming("{}", 40)).await;
        observe(&*store, name, &confirming("{\"n\":2}", 40)).await;
        assert_eq!(
            lease_due(&*store, JobKind::Delivery, 100_000).await,
            [],
            "{name}"
        );
        assert_eq!(next_due(&*store, JobKind::Delivery).await, None, "{name}");
    }
}

pub async fn a_delivery_needs_a_payment_that_stands_at_confirmed(factory: &impl StoreFactory) {
    let store = factory.fresh().await;
    for kind in [
        StatusKind::Created,
        StatusKind::Returned,
        StatusKind::Unpaid,
        StatusKind::Verifying,
        StatusKind::Expired,
        StatusKind::Cancelled,
        StatusKind::Rejected,
        StatusKind::Confirmed,
        StatusKind::Reversed,
    ] {
        let observation = Observation {
            update: saying(kind, 30).update,
            ..confirming("{}", 30)
        };
        let name = format!("{kind:?}");
        observe(&*store, &name, &observation).await;
    }
    let leased = claim_one(&*store, JobKind::Delivery, 100).await;
    assert_eq!(leased.payment_id, id("Confirmed"));
}

pub async fn no_delivery_where_the_payment_stands_at_reversed(factory: &impl StoreFactory) {
    let store = factory.fresh().await;
    observe(&*store, "p1", &saying(StatusKind::Reversed, 20)).await;
    observe(&*store, "p1", &confirming("{}", 30)).await;
    assert_eq!(lease_due(&*store, JobKind::Delivery, 100).await, []);
    assert_eq!(next_due(&*store, JobKind::Delivery).await, None);
}

pub async fn a_delivery_may_come_after_the_confirmation(factory: &impl StoreFactory) {
    let store = factory.fresh().await;
    observe(&*store, "p1", &saying(StatusKind::Confirmed, 20)).await;
    assert_eq!(next_due(&*store, JobKind::Delivery).await, None);
    observe(&*store, "p1", &scheduling(JobKind::Delivery, 30)).await;
    assert_eq!(next_due(&*store, JobKind::Delivery).await, Some(30));
}

pub async fn scheduling_brings_forward_and_never_puts_off(factory: &impl StoreFactory) {
    let store = factory.fresh().await;
    observe(&*store, "paid", &saying(StatusKind::Confirmed, 1)).await;
    for (kind, name) in [(JobKind::Delivery, "paid"), (JobKind::Check, "open")] {
        for (due, expected) in [(50, 50), (70, 50), (20, 20), (50, 20)] {
            observe(&*store, name, &scheduling(kind, due)).await;
            assert_eq!(next_due(&*store, kind).await, Some(expected), "{kind:?}");
        }
    }
}

pub async fn an_attempted_delivery_is_not_brought_forward(factory: &impl StoreFactory) {
    let store = factory.fresh().await;
    observe(&*store, "p1", &saying(StatusKind::Confirmed, 1)).await;
    let kind = JobKind::Delivery;
    observe(&*store, "p1", &scheduling(kind, 10)).await;
    let leased = claim_one(&*store, kind, 10).await;
    assert!(finish(&*store, &leased, JobResult::Retry { due_at: at(500) }).await);
    observe(&*store, "p1", &scheduling(kind, 20)).await;
    assert_eq!(next_due(&*store, kind).await, Some(500));
}

pub async fn an_attempted_check_that_is_asked_for_is_due_at_the_earlier_time(
    factory: &impl StoreFactory,
) {
    let store = factory.fresh().await;
    let check = JobKind::Check;
    for (asked, due) in [(20, 20), (800, 500)] {
        observe(&*store, "p1", &scheduling(check, 10)).await;
        let leased = claim_one(&*store, check, 10).await;
        assert!(finish(&*store, &leased, JobResult::Retry { due_at: at(500) }).await);
        observe(&*store, "p1", &scheduling(check, asked)).await;
        assert_eq!(next_due(&*store, check).await, Some(due));
        let leased = claim_one(&*store, check, due).await;
        assert_eq!(leased.attempts, 0, "its schedule begins again");
        assert!(finish(&*store, &leased, JobResult::Done).await);
    }
}

pub async fn a_settled_check_can_be_scheduled_again(factory: &impl StoreFactory) {
    let store = factory.fresh().await;
    for end in [JobResult::Done, JobResult::Dead] {
        observe(&*store, "p1", &scheduling(JobKind::Check, 10)).await;
        let leased = claim_one(&*store, JobKind::Check, 10).await;
        assert!(finish(&*store, &leased, JobResult::Retry { due_at: at(20) }).await);
        let leased = claim_one(&*store, JobKind::Check, 20).await;
        assert!(finish(&*store, &leased, end).await);
        assert_eq!(next_due(&*store, JobKind::Check).await, None, "{end:?}");

        observe(&*store, "p1", &scheduling(JobKind::Check, 30)).await;
        let leased = claim_one(&*store, JobKind::Check, 30).await;
        assert_eq!(leased.attempts, 0, "a new one, after {end:?}");
        assert!(finish(&*store, &leased, JobResult::Done).await);
    }
}

pub async fn a_check_scheduled_while_leased_is_not_lost(factory: &impl StoreFactory) {
    let store = factory.fresh().await;
    for end in [JobResult::Done, JobResult::Dead] {
        observe(&*store, "p1", &scheduling(JobKind::Check, 10)).await;
        let leased = claim_one(&*store, JobKind::Check, 10).await;
        for due in [40, 30, 50] {
            observe(&*store, "p1", &scheduling(JobKind::Check, due)).await;
        }
        assert_eq!(lease_due(&*store, JobKind::Check, 100).await, [], "in hand");
        assert!(finish(&*store, &leased, end).await);

        assert_eq!(next_due(&*store, JobKind::Check).await, Some(30), "{end:?}");
        let leased = claim_one(&*store, JobKind::Check, 30).await;
        assert_eq!(leased.attempts, 0, "a new one, after {end:?}");
        assert!(finish(&*store, &leased, JobResult::Done).await);
        assert_eq!(next_due(&*store, JobKind::Check).await, None, "once");
    }
}

pub async fn what_is_put_back_takes_in_a_check_scheduled_while_leased(factory: &impl StoreFactory) {
    let store = factory.fresh().await;
    let due_at = at(200);
    for back in [JobResult::Retry { due_at }, JobResult::PutBack { due_at }] {
        for (asked, due) in [(30, 30), (900, 200)] {
            observe(&*store, "p1", &scheduling(JobKind::Check, 10)).await;
            let leased = claim_one(&*store, JobKind::Check, 10).await;
            observe(&*store, "p1", &scheduling(JobKind::Check, asked)).await;
            assert!(finish(&*store, &leased, back).await);
            assert_eq!(next_due(&*store, JobKind::Check).await, Some(due));
            let leased = claim_one(&*store, JobKind::Check, due).await;
            assert_eq!(leased.attempts, 0, "{back:?}: its schedule begins again");
            assert!(finish(&*store, &leased, JobResult::Done).await);
            assert_eq!(next_due(&*store, JobKind::Check).await, None, "once");
        }
    }
}

pub async fn only_what_is_due_is_claimed_the_longest_due_first(factory: &impl StoreFactory) {
    let store = factory.fresh().await;
    for (name, due) in [("c", 30), ("a", 10), ("d", 41), ("b", 20), ("e", 40)] {
        observe(&*store, name, &scheduling(JobKind::Check, due)).await;
    }
    let leased = lease_due(&*store, JobKind::Check, 40).await;
    let names: Vec<_> = leased.iter().map(|l| l.payment_id.as_str()).collect();
    assert_eq!(names, ["a", "b", "c", "e"]);
    assert!(
        leased
            .iter()
            .all(|l| l.kind == JobKind::Check && l.attempts == 0)
    );
}

pub async fn a_claim_takes_one_kind_and_at_most_its_limit(factory: &impl StoreFactory) {
    let store = factory.fresh().await;
    for n in 0..10 {
        observe(&*store, &format!("p{n}"), &confirming("{}", n)).await;
        observe(&*store, &format!("open{n}"), &scheduling(JobKind::Check, n)).await;
    }
    let take = |kind, limit| {
        let store = Arc::clone(&store);
        async move {
            store
                .lease_due(kind, at(100), limit, LEASE)
                .await
                .expect("claim")
        }
    };
    assert_eq!(take(JobKind::Delivery, 0).await, []);
    let first = take(JobKind::Delivery, 4).await;
    assert_eq!(first.len(), 4);
    assert!(first.iter().all(|leased| leased.kind == JobKind::Delivery));
    assert_eq!(first[3].payment_id, id("p3"));
    assert_eq!(take(JobKind::Delivery, 100).await.len(), 6);
    assert_eq!(take(JobKind::Check, 100).await.len(), 10);
}

pub async fn thirty_two_claimants_never_share_a_job(factory: &impl StoreFactory) {
    const JOBS: usize = 100;
    let store = factory.fresh().await;
    for n in 0..JOBS {
        observe(&*store, &format!("p{n}"), &scheduling(JobKind::Check, 10)).await;
    }
    let taken = at_once(32, |_| {
        let store = Arc::clone(&store);
        async move {
            let mut mine = Vec::new();
            loop {
                let some = store
                    .lease_due(JobKind::Check, at(10), 3, LEASE)
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
    assert_eq!((all.len(), payments.len()), (JOBS, JOBS));
}

pub async fn a_lease_that_ran_out_gives_the_job_to_another(factory: &impl StoreFactory) {
    let store = factory.fresh().await;
    observe(&*store, "p1", &scheduling(JobKind::Check, 10)).await;
    let first = claim_one(&*store, JobKind::Check, 10).await;
    assert_eq!(lease_due(&*store, JobKind::Check, 1009).await, []);
    let second = claim_one(&*store, JobKind::Check, 1010).await;
    assert_ne!(first.token, second.token);
    assert_eq!(second.attempts, 0, "only Again counts");

    for end in [
        JobResult::Done,
        JobResult::Dead,
        JobResult::Retry { due_at: at(1) },
        JobResult::PutBack { due_at: at(1) },
    ] {
        assert!(!finish(&*store, &first, end).await, "lost: {end:?}");
    }
    assert_eq!(next_due(&*store, JobKind::Check).await, Some(2010));
    assert!(finish(&*store, &second, JobResult::Done).await);
    assert!(!finish(&*store, &second, JobResult::Done).await, "ended");

    observe(&*store, "p1", &scheduling(JobKind::Check, 3000)).await;
    claim_one(&*store, JobKind::Check, 3000).await;
    assert!(
        !finish(&*store, &first, JobResult::Done).await,
        "of a check long gone"
    );
}

pub async fn a_lease_that_ran_out_untaken_can_still_be_settled(factory: &impl StoreFactory) {
    let store = factory.fresh().await;
    observe(&*store, "p1", &confirming("{}", 10)).await;
    let leased = claim_one(&*store, JobKind::Delivery, 10).await;
    // Nobody else came at 1010; the holder ends it later.
    assert_eq!(next_due(&*store, JobKind::Delivery).await, Some(1010));
    assert!(finish(&*store, &leased, JobResult::Done).await);
    assert_eq!(lease_due(&*store, JobKind::Delivery, 5000).await, []);
}

pub async fn again_puts_back_and_counts(factory: &impl StoreFactory) {
    let store = factory.fresh().await;
    observe(&*store, "p1", &confirming("{}", 10)).await;
    for attempts in 0..4 {
        let now = 10 + i64::from(attempts) * 100;
        assert_eq!(lease_due(&*store, JobKind::Delivery, now - 1).await, []);
        let leased = claim_one(&*store, JobKind::Delivery, now).await;
        assert_eq!(leased.attempts, attempts);
        let due_at = at(now + 100);
        assert!(finish(&*store, &leased, JobResult::Retry { due_at }).await);
    }
}

pub async fn untried_puts_back_and_does_not_count(factory: &impl StoreFactory) {
    let store = factory.fresh().await;
    observe(&*store, "p1", &confirming("{}", 10)).await;
    let due_at = at(100);
    for attempts in [0, 1] {
        let first = claim_one(&*store, JobKind::Delivery, 10 + 90 * attempts).await;
        assert!(finish(&*store, &first, JobResult::PutBack { due_at }).await);
        assert!(!finish(&*store, &first, JobResult::Done).await, "ended");
        assert_eq!(lease_due(&*store, JobKind::Delivery, 99).await, []);
        assert_eq!(next_due(&*store, JobKind::Delivery).await, Some(100));
        let second = claim_one(&*store, JobKind::Delivery, 100).await;
        assert_eq!(i64::from(second.attempts), attempts);
        assert!(finish(&*store, &second, JobResult::Retry { due_at }).await);
    }
    assert!(
        !events(&*store, "p1")
            .await
            .iter()
            .any(|event| matches!(event, TimelineEvent::Attempted { .. })),
        "it is not in the timeline"
    );
}

pub async fn dead_stays_and_is_not_claimed(factory: &impl StoreFactory) {
    let store = factory.fresh().await;
    observe(&*store, "paid", &confirming("{}", 10)).await;
    observe(&*store, "open", &scheduling(JobKind::Check, 10)).await;
    for kind in [JobKind::Delivery, JobKind::Check] {
        let leased = claim_one(&*store, kind, 10).await;
        assert!(finish(&*store, &leased, JobResult::Dead).await);
        assert_eq!(lease_due(&*store, kind, 1_000_000).await, [], "{kind:?}");
        assert_eq!(next_due(&*store, kind).await, None, "{kind:?}");
        assert!(!finish(&*store, &leased, JobResult::Done).await, "{kind:?}");
    }
}

pub async fn next_due_is_the_earliest_that_can_be_claimed(factory: &impl StoreFactory) {
    let store = factory.fresh().await;
    let check = JobKind::Check;
    assert_eq!(next_due(&*store, check).await, None);
    observe(&*store, "a", &scheduling(check, 10)).await;
    observe(&*store, "b", &scheduling(check, 500)).await;
    observe(&*store, "c", &scheduling(check, 5000)).await;
    assert_eq!(next_due(&*store, JobKind::Delivery).await, None);
    assert_eq!(next_due(&*store, check).await, Some(10));

    let a = claim_one(&*store, check, 10).await;
    assert_eq!(
        next_due(&*store, check).await,
        Some(500),
        "a is in hand until 1010"
    );
    let b = claim_one(&*store, check, 500).await;
    assert_eq!(
        next_due(&*store, check).await,
        Some(1010),
        "a's lease ends first"
    );
    assert!(finish(&*store, &a, JobResult::Done).await);
    assert_eq!(next_due(&*store, check).await, Some(1500), "b's lease ends");
    assert!(finish(&*store, &b, JobResult::Retry { due_at: at(6000) }).await);
    assert_eq!(
        next_due(&*store, check).await,
        Some(5000),
        "c is due before b"
    );
}

fn checking(due_ms: i64, priority: JobPriority) -> Observation {
    Observation {
        jobs: vec![NewJob::check(at(due_ms), priority)],
        ..scheduling(JobKind::Check, due_ms)
    }
}

fn confirming_with_cross_check(due_ms: i64) -> Observation {
    Observation {
        jobs: checking(due_ms, JobPriority::CrossCheck).jobs,
        ..saying(StatusKind::Confirmed, 5)
    }
}

/// The payment's name and the priority of each.
fn described(leased: &[LeasedJob]) -> Vec<(&str, JobPriority)> {
    leased
        .iter()
        .map(|it| (it.payment_id.as_str(), it.priority))
        .collect()
}

pub async fn the_higher_priority_is_claimed_first(factory: &impl StoreFactory) {
    let store = factory.fresh().await;
    for n in 0..4 {
        let crossed = confirming_with_cross_check(n);
        observe(&*store, &format!("crossed{n}"), &crossed).await;
    }
    observe(&*store, "silent", &checking(10, JobPriority::Silent)).await;
    observe(&*store, "later", &checking(30, JobPriority::Notified)).await;
    observe(&*store, "notified", &checking(20, JobPriority::Notified)).await;
    assert_eq!(next_due(&*store, JobKind::Check).await, Some(0));

    let claimed = store.lease_due(JobKind::Check, at(100), 4, LEASE).await;
    let expected = [
        ("notified", JobPriority::Notified),
        ("later", JobPriority::Notified),
        ("silent", JobPriority::Silent),
        ("crossed0", JobPriority::CrossCheck),
    ];
    assert_eq!(described(&claimed.expect("claim")), expected);
    let rest = lease_due(&*store, JobKind::Check, 100).await;
    assert_eq!(
        described(&rest),
        ["crossed1", "crossed2", "crossed3"].map(|name| (name, JobPriority::CrossCheck))
    );
}

pub async fn of_two_priorities_the_higher_counts(factory: &impl StoreFactory) {
    use JobPriority::{Notified, Silent};
    let store = factory.fresh().await;
    for (first, second) in [(Silent, Notified), (Notified, Silent)] {
        observe(&*store, "p1", &checking(10, first)).await;
        observe(&*store, "p1", &checking(20, second)).await;
        let leased = claim_one(&*store, JobKind::Check, 10).await;
        assert_eq!(leased.priority, Notified, "{first:?}, {second:?}");

        // And of what is asked for during the lease, however it ends.
        let leased = LeasedJob {
            priority: Silent,
            ..leased
        };
        observe(&*store, "p1", &checking(40, first)).await;
        observe(&*store, "p1", &checking(30, second)).await;
        let again = JobResult::Retry { due_at: at(90) };
        assert!(finish(&*store, &leased, again).await);
        let leased = claim_one(&*store, JobKind::Check, 30).await;
        assert_eq!(leased.priority, Notified, "{first:?}, {second:?}");
        observe(&*store, "p1", &checking(50, Silent)).await;
        assert!(finish(&*store, &leased, JobResult::Done).await);
        let leased = claim_one(&*store, JobKind::Check, 50).await;
        assert_eq!(leased.priority, Silent, "what was done is over");
        assert!(finish(&*store, &leased, JobResult::Done).await);
    }
}

pub async fn what_is_put_back_has_the_priority_that_its_holder_gives_it(
    factory: &impl StoreFactory,
) {
    use JobPriority::{Notified, Silent};
    let store = factory.fresh().await;
    let due_at = at(10);
    observe(&*store, "p1", &checking(10, Notified)).await;
    for (given, back) in [
        (Notified, JobResult::PutBack { due_at }),
        (Silent, JobResult::Retry { due_at }),
        (Notified, JobResult::Retry { due_at }),
        (Silent, JobResult::PutBack { due_at }),
    ] {
        let leased = claim_one(&*store, JobKind::Check, 10).await;
        let leased = LeasedJob {
            priority: given,
            ..leased
        };
        assert!(finish(&*store, &leased, back).await);
        let leased = claim_one(&*store, JobKind::Check, 10).await;
        assert_eq!(leased.priority, given, "{back:?}");
        assert!(finish(&*store, &leased, JobResult::PutBack { due_at }).await);
    }
}

pub async fn a_confirmation_ends_the_plan_and_its_cross_check_takes_the_place(
    factory: &impl StoreFactory,
) {
    let store = factory.fresh().await;
    for status in [StatusKind::Confirmed, StatusKind::Reversed] {
        let name = status.status().as_str();
        observe(&*store, name, &checking(10, JobPriority::Notified)).await;
        observe(&*store, name, &saying(status, 20)).await;
        assert_eq!(next_due(&*store, JobKind::Check).await, None, "{name}");
        assert_eq!(lease_due(&*store, JobKind::Check, 100_000).await, []);
    }
    observe(&*store, "p1", &checking(10, JobPriority::Notified)).await;
    observe(&*store, "p1", &confirming_with_cross_check(70)).await;
    assert_eq!(next_due(&*store, JobKind::Check).await, Some(70));
    let leased = claim_one(&*store, JobKind::Check, 70).await;
    assert_eq!(
        (leased.priority, leased.attempts),
        (JobPriority::CrossCheck, 0)
    );
    assert!(finish(&*store, &leased, JobResult::Done).await);
}

pub async fn a_confirmation_during_a_lease_is_cross_checked_after_it(factory: &impl StoreFactory) {
    let store = factory.fresh().await;
    let due_at = at(30);
    let ends = [
        JobResult::Done,
        JobResult::Dead,
        JobResult::Retry { due_at },
        JobResult::PutBack { due_at },
    ];
    for (n, end) in ends.into_iter().enumerate() {
        let (with, without) = (format!("with{n}"), format!("without{n}"));
        for name in [&with, &without] {
            observe(&*store, name, &checking(10, JobPriority::Notified)).await;
        }
        let leased = lease_due(&*store, JobKind::Check, 10).await;
        for name in [&with, &without] {
            observe(&*store, name, &checking(15, JobPriority::Notified)).await;
        }
        observe(&*store, &with, &confirming_with_cross_check(70)).await;
        observe(&*store, &without, &saying(StatusKind::Confirmed, 20)).await;
        for leased in &leased {
            let end = match leased.payment_id == id(&with) {
                true => end,
                false => JobResult::Done,
            };
            assert!(finish(&*store, leased, end).await);
        }
        assert_eq!(next_due(&*store, JobKind::Check).await, Some(70));
        let cross_check = claim_one(&*store, JobKind::Check, 70).await;
        assert_eq!(
            (cross_check.payment_id.as_str(), cross_check.priority),
            (with.as_str(), JobPriority::CrossCheck),
            "{end:?}"
        );
        assert!(finish(&*store, &cross_check, JobResult::Done).await);
    }
}

pub async fn a_payment_that_is_confirmed_gets_no_other_check(factory: &impl StoreFactory) {
    let store = factory.fresh().await;
    observe(&*store, "p1", &saying(StatusKind::Confirmed, 5)).await;
    for priority in JobPriority::ALL {
        observe(&*store, "p1", &checking(10, priority)).await;
    }
    // Khipu repeats itself.
    observe(&*store, "p1", &confirming_with_cross_check(10)).await;
    assert_eq!(next_due(&*store, JobKind::Check).await, None);
    assert_eq!(lease_due(&*store, JobKind::Check, 100_000).await, []);
}
