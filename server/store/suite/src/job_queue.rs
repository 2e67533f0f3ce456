//! A job has one holder at a time, and no job is lost.

use std::collections::HashSet;
use std::time::Duration;

use chasqui_store::{JobResult, LeasedJob};

use crate::fixtures::*;

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
        .expect("lease")
}

async fn lease_one(store: &dyn Store, kind: JobKind, now: i64) -> LeasedJob {
    let mut leased = lease_due(store, kind, now).await;
    assert_eq!(leased.len(), 1, "{leased:?}");
    leased.remove(0)
}

async fn finish(store: &dyn Store, leased: &LeasedJob, end: JobResult) -> bool {
    store.finish(leased, &end, None).await.expect("finish")
}

async fn next_due(store: &dyn Store, kind: JobKind) -> Option<i64> {
    let due = store.next_due(kind).await.expect("next_due");
    due.map(Timestamp::unix_ms)
}

pub async fn a_delivery_is_scheduled_once_by_concurrent_confirmations(factory: &impl StoreFactory) {
    let store = factory.fresh().await;
    at_once(32, |n| {
        let store = Arc::clone(&store);
        // Copies, other notifications and Khipu's answers, all confirming.
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
    let leased = lease_one(&*store, JobKind::Delivery, 100).await;
    assert_eq!((leased.attempts, &leased.payment_id), (0, &id("p1")));
    observe(&*store, "p1", &confirming("{}", 30)).await;
    assert_eq!(lease_due(&*store, JobKind::Delivery, 100).await, []);
}

pub async fn a_delivery_that_is_done_or_dead_is_never_scheduled_again(factory: &impl StoreFactory) {
    let store = factory.fresh().await;
    for (name, end) in [("done", JobResult::Done), ("dead", JobResult::Dead)] {
        observe(&*store, name, &confirming("{}", 30)).await;
        let leased = lease_one(&*store, JobKind::Delivery, 30).await;
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

pub async fn a_delivery_needs_a_confirmed_payment(factory: &impl StoreFactory) {
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
            update: reporting(kind, 30).update,
            ..confirming("{}", 30)
        };
        let name = format!("{kind:?}");
        observe(&*store, &name, &observation).await;
    }
    let leased = lease_one(&*store, JobKind::Delivery, 100).await;
    assert_eq!(leased.payment_id, id("Confirmed"));
}

pub async fn a_reversed_payment_gets_no_delivery(factory: &impl StoreFactory) {
    let store = factory.fresh().await;
    observe(&*store, "p1", &reporting(StatusKind::Reversed, 20)).await;
    observe(&*store, "p1", &confirming("{}", 30)).await;
    assert_eq!(lease_due(&*store, JobKind::Delivery, 100).await, []);
    assert_eq!(next_due(&*store, JobKind::Delivery).await, None);
}

pub async fn a_delivery_can_be_scheduled_after_the_confirmation(factory: &impl StoreFactory) {
    let store = factory.fresh().await;
    observe(&*store, "p1", &reporting(StatusKind::Confirmed, 20)).await;
    assert_eq!(next_due(&*store, JobKind::Delivery).await, None);
    observe(&*store, "p1", &scheduling(JobKind::Delivery, 30)).await;
    assert_eq!(next_due(&*store, JobKind::Delivery).await, Some(30));
}

pub async fn scheduling_brings_a_job_forward_and_never_delays_it(factory: &impl StoreFactory) {
    let store = factory.fresh().await;
    observe(&*store, "paid", &reporting(StatusKind::Confirmed, 1)).await;
    for (kind, name) in [(JobKind::Delivery, "paid"), (JobKind::Check, "open")] {
        for (due, expected) in [(50, 50), (70, 50), (20, 20), (50, 20)] {
            observe(&*store, name, &scheduling(kind, due)).await;
            assert_eq!(next_due(&*store, kind).await, Some(expected), "{kind:?}");
        }
    }
}

pub async fn an_attempted_delivery_is_not_brought_forward(factory: &impl StoreFactory) {
    let store = factory.fresh().await;
    observe(&*store, "p1", &reporting(StatusKind::Confirmed, 1)).await;
    let kind = JobKind::Delivery;
    observe(&*store, "p1", &scheduling(kind, 10)).await;
    let leased = lease_one(&*store, kind, 10).await;
    assert!(finish(&*store, &leased, JobResult::Retry { due_at: at(500) }).await);
    observe(&*store, "p1", &scheduling(kind, 20)).await;
    assert_eq!(next_due(&*store, kind).await, Some(500));
}

pub async fn an_attempted_check_that_is_requested_is_due_at_the_earlier_time(
    factory: &impl StoreFactory,
) {
    let store = factory.fresh().await;
    let check = JobKind::Check;
    for (asked, due) in [(20, 20), (800, 500)] {
        observe(&*store, "p1", &scheduling(check, 10)).await;
        let leased = lease_one(&*store, check, 10).await;
        assert!(finish(&*store, &leased, JobResult::Retry { due_at: at(500) }).await);
        observe(&*store, "p1", &scheduling(check, asked)).await;
        assert_eq!(next_due(&*store, check).await, Some(due));
        let leased = lease_one(&*store, check, due).await;
        assert_eq!(leased.attempts, 0, "its schedule begins again");
        assert!(finish(&*store, &leased, JobResult::Done).await);
    }
}

pub async fn a_finished_check_can_be_scheduled_again(factory: &impl StoreFactory) {
    let store = factory.fresh().await;
    for end in [JobResult::Done, JobResult::Dead] {
        observe(&*store, "p1", &scheduling(JobKind::Check, 10)).await;
        let leased = lease_one(&*store, JobKind::Check, 10).await;
        assert!(finish(&*store, &leased, JobResult::Retry { due_at: at(20) }).await);
        let leased = lease_one(&*store, JobKind::Check, 20).await;
        assert!(finish(&*store, &leased, end).await);
        assert_eq!(next_due(&*store, JobKind::Check).await, None, "{end:?}");

        observe(&*store, "p1", &scheduling(JobKind::Check, 30)).await;
        let leased = lease_one(&*store, JobKind::Check, 30).await;
        assert_eq!(leased.attempts, 0, "a new one, after {end:?}");
        assert!(finish(&*store, &leased, JobResult::Done).await);
    }
}

pub async fn a_check_scheduled_while_leased_is_not_lost(factory: &impl StoreFactory) {
    let store = factory.fresh().await;
    for end in [JobResult::Done, JobResult::Dead] {
        observe(&*store, "p1", &scheduling(JobKind::Check, 10)).await;
        let leased = lease_one(&*store, JobKind::Check, 10).await;
        for due in [40, 30, 50] {
            observe(&*store, "p1", &scheduling(JobKind::Check, due)).await;
        }
        assert_eq!(lease_due(&*store, JobKind::Check, 100).await, [], "leased");
        assert!(finish(&*store, &leased, end).await);

        assert_eq!(next_due(&*store, JobKind::Check).await, Some(30), "{end:?}");
        let leased = lease_one(&*store, JobKind::Check, 30).await;
        assert_eq!(leased.attempts, 0, "a new one, after {end:?}");
        assert!(finish(&*store, &leased, JobResult::Done).await);
        assert_eq!(next_due(&*store, JobKind::Check).await, None, "once");
    }
}

pub async fn a_check_that_is_put_back_is_merged_with_one_scheduled_while_leased(
    factory: &impl StoreFactory,
) {
    let store = factory.fresh().await;
    let due_at = at(200);
    for back in [JobResult::Retry { due_at }, JobResult::PutBack { due_at }] {
        for (asked, due) in [(30, 30), (900, 200)] {
            observe(&*store, "p1", &scheduling(JobKind::Check, 10)).await;
            let leased = lease_one(&*store, JobKind::Check, 10).await;
            observe(&*store, "p1", &scheduling(JobKind::Check, asked)).await;
            assert!(finish(&*store, &leased, back).await);
            assert_eq!(next_due(&*store, JobKind::Check).await, Some(due));
            let leased = lease_one(&*store, JobKind::Check, due).await;
            assert_eq!(leased.attempts, 0, "{back:?}: its schedule begins again");
            assert!(finish(&*store, &leased, JobResult::Done).await);
            assert_eq!(next_due(&*store, JobKind::Check).await, None, "once");
        }
    }
}

pub async fn only_due_jobs_are_leased_the_longest_due_first(factory: &impl StoreFactory) {
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

pub async fn lease_due_takes_one_kind_up_to_its_limit(factory: &impl StoreFactory) {
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
                .expect("lease")
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

pub async fn thirty_two_workers_never_share_a_job(factory: &impl StoreFactory) {
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
                    .expect("lease");
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

pub async fn an_expired_lease_can_be_taken_by_another_worker(factory: &impl StoreFactory) {
    let store = factory.fresh().await;
    observe(&*store, "p1", &scheduling(JobKind::Check, 10)).await;
    let first = lease_one(&*store, JobKind::Check, 10).await;
    assert_eq!(lease_due(&*store, JobKind::Check, 1009).await, []);
    let second = lease_one(&*store, JobKind::Check, 1010).await;
    assert_ne!(first.token, second.token);
    assert_eq!(second.attempts, 0, "only Retry counts");

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
    lease_one(&*store, JobKind::Check, 3000).await;
    assert!(
        !finish(&*store, &first, JobResult::Done).await,
        "of an earlier check"
    );
}

pub async fn an_expired_lease_that_was_not_taken_can_still_be_finished(
    factory: &impl StoreFactory,
) {
    let store = factory.fresh().await;
    observe(&*store, "p1", &confirming("{}", 10)).await;
    let leased = lease_one(&*store, JobKind::Delivery, 10).await;
    // The lease ran out at 1010 and no other worker took it.
    assert_eq!(next_due(&*store, JobKind::Delivery).await, Some(1010));
    assert!(finish(&*store, &leased, JobResult::Done).await);
    assert_eq!(lease_due(&*store, JobKind::Delivery, 5000).await, []);
}

pub async fn retry_puts_the_job_back_and_counts_the_attempt(factory: &impl StoreFactory) {
    let store = factory.fresh().await;
    observe(&*store, "p1", &confirming("{}", 10)).await;
    for attempts in 0..4 {
        let now = 10 + i64::from(attempts) * 100;
        assert_eq!(lease_due(&*store, JobKind::Delivery, now - 1).await, []);
        let leased = lease_one(&*store, JobKind::Delivery, now).await;
        assert_eq!(leased.attempts, attempts);
        let due_at = at(now + 100);
        assert!(finish(&*store, &leased, JobResult::Retry { due_at }).await);
    }
}

pub async fn put_back_does_not_count_an_attempt(factory: &impl StoreFactory) {
    let store = factory.fresh().await;
    observe(&*store, "p1", &confirming("{}", 10)).await;
    let due_at = at(100);
    for attempts in [0, 1] {
        let first = lease_one(&*store, JobKind::Delivery, 10 + 90 * attempts).await;
        assert!(finish(&*store, &first, JobResult::PutBack { due_at }).await);
        assert!(!finish(&*store, &first, JobResult::Done).await, "ended");
        assert_eq!(lease_due(&*store, JobKind::Delivery, 99).await, []);
        assert_eq!(next_due(&*store, JobKind::Delivery).await, Some(100));
        let second = lease_one(&*store, JobKind::Delivery, 100).await;
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

pub async fn a_dead_job_is_never_leased(factory: &impl StoreFactory) {
    let store = factory.fresh().await;
    observe(&*store, "paid", &confirming("{}", 10)).await;
    observe(&*store, "open", &scheduling(JobKind::Check, 10)).await;
    for kind in [JobKind::Delivery, JobKind::Check] {
        let leased = lease_one(&*store, kind, 10).await;
        assert!(finish(&*store, &leased, JobResult::Dead).await);
        assert_eq!(lease_due(&*store, kind, 1_000_000).await, [], "{kind:?}");
        assert_eq!(next_due(&*store, kind).await, None, "{kind:?}");
        assert!(!finish(&*store, &leased, JobResult::Done).await, "{kind:?}");
    }
}

pub async fn next_due_is_the_earliest_time_a_job_can_be_leased(factory: &impl StoreFactory) {
    let store = factory.fresh().await;
    let check = JobKind::Check;
    assert_eq!(next_due(&*store, check).await, None);
    observe(&*store, "a", &scheduling(check, 10)).await;
    observe(&*store, "b", &scheduling(check, 500)).await;
    observe(&*store, "c", &scheduling(check, 5000)).await;
    assert_eq!(next_due(&*store, JobKind::Delivery).await, None);
    assert_eq!(next_due(&*store, check).await, Some(10));

    let a = lease_one(&*store, check, 10).await;
    assert_eq!(
        next_due(&*store, check).await,
        Some(500),
        "a is leased until 1010"
    );
    let b = lease_one(&*store, check, 500).await;
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
        ..reporting(StatusKind::Confirmed, 5)
    }
}

/// Each job's payment and priority.
fn described(leased: &[LeasedJob]) -> Vec<(&str, JobPriority)> {
    leased
        .iter()
        .map(|it| (it.payment_id.as_str(), it.priority))
        .collect()
}

pub async fn the_higher_priority_is_leased_first(factory: &impl StoreFactory) {
    let store = factory.fresh().await;
    for n in 0..4 {
        let crossed = confirming_with_cross_check(n);
        observe(&*store, &format!("crossed{n}"), &crossed).await;
    }
    observe(&*store, "silent", &checking(10, JobPriority::Silent)).await;
    observe(&*store, "later", &checking(30, JobPriority::Notified)).await;
    observe(&*store, "notified", &checking(20, JobPriority::Notified)).await;
    assert_eq!(next_due(&*store, JobKind::Check).await, Some(0));

    let leased = store.lease_due(JobKind::Check, at(100), 4, LEASE).await;
    let expected = [
        ("notified", JobPriority::Notified),
        ("later", JobPriority::Notified),
        ("silent", JobPriority::Silent),
        ("crossed0", JobPriority::CrossCheck),
    ];
    assert_eq!(described(&leased.expect("lease")), expected);
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
        let leased = lease_one(&*store, JobKind::Check, 10).await;
        assert_eq!(leased.priority, Notified, "{first:?}, {second:?}");

        // The same for checks that are requested during the lease, for every end.
        let leased = LeasedJob {
            priority: Silent,
            ..leased
        };
        observe(&*store, "p1", &checking(40, first)).await;
        observe(&*store, "p1", &checking(30, second)).await;
        let again = JobResult::Retry { due_at: at(90) };
        assert!(finish(&*store, &leased, again).await);
        let leased = lease_one(&*store, JobKind::Check, 30).await;
        assert_eq!(leased.priority, Notified, "{first:?}, {second:?}");
        observe(&*store, "p1", &checking(50, Silent)).await;
        assert!(finish(&*store, &leased, JobResult::Done).await);
        let leased = lease_one(&*store, JobKind::Check, 50).await;
        assert_eq!(leased.priority, Silent, "the finished check is over");
        assert!(finish(&*store, &leased, JobResult::Done).await);
    }
}

pub async fn a_job_that_is_put_back_has_the_priority_its_holder_sets(factory: &impl StoreFactory) {
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
        let leased = lease_one(&*store, JobKind::Check, 10).await;
        let leased = LeasedJob {
            priority: given,
            ..leased
        };
        assert!(finish(&*store, &leased, back).await);
        let leased = lease_one(&*store, JobKind::Check, 10).await;
        assert_eq!(leased.priority, given, "{back:?}");
        assert!(finish(&*store, &leased, JobResult::PutBack { due_at }).await);
    }
}

pub async fn a_confirmation_replaces_the_planned_check_with_its_cross_check(
    factory: &impl StoreFactory,
) {
    let store = factory.fresh().await;
    for status in [StatusKind::Confirmed, StatusKind::Reversed] {
        let name = status.status().as_str();
        observe(&*store, name, &checking(10, JobPriority::Notified)).await;
        observe(&*store, name, &reporting(status, 20)).await;
        assert_eq!(next_due(&*store, JobKind::Check).await, None, "{name}");
        assert_eq!(lease_due(&*store, JobKind::Check, 100_000).await, []);
    }
    observe(&*store, "p1", &checking(10, JobPriority::Notified)).await;
    observe(&*store, "p1", &confirming_with_cross_check(70)).await;
    assert_eq!(next_due(&*store, JobKind::Check).await, Some(70));
    let leased = lease_one(&*store, JobKind::Check, 70).await;
    assert_eq!(
        (leased.priority, leased.attempts),
        (JobPriority::CrossCheck, 0)
    );
    assert!(finish(&*store, &leased, JobResult::Done).await);
}

pub async fn a_confirmation_during_a_lease_is_cross_checked_after_the_lease(
    factory: &impl StoreFactory,
) {
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
        observe(&*store, &without, &reporting(StatusKind::Confirmed, 20)).await;
        for leased in &leased {
            let end = match leased.payment_id == id(&with) {
                true => end,
                false => JobResult::Done,
            };
            assert!(finish(&*store, leased, end).await);
        }
        assert_eq!(next_due(&*store, JobKind::Check).await, Some(70));
        let cross_check = lease_one(&*store, JobKind::Check, 70).await;
        assert_eq!(
            (cross_check.payment_id.as_str(), cross_check.priority),
            (with.as_str(), JobPriority::CrossCheck),
            "{end:?}"
        );
        assert!(finish(&*store, &cross_check, JobResult::Done).await);
    }
}

pub async fn a_confirmed_payment_gets_no_other_check(factory: &impl StoreFactory) {
    let store = factory.fresh().await;
    observe(&*store, "p1", &reporting(StatusKind::Confirmed, 5)).await;
    for priority in JobPriority::ALL {
        observe(&*store, "p1", &checking(10, priority)).await;
    }
    // A repeated answer of Khipu's.
    observe(&*store, "p1", &confirming_with_cross_check(10)).await;
    assert_eq!(next_due(&*store, JobKind::Check).await, None);
    assert_eq!(lease_due(&*store, JobKind::Check, 100_000).await, []);
}
