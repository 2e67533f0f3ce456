//! Checks have priorities, and a confirmed payment has only its cross-check.

use chasqui_store::{JobResult, LeasedJob};

use super::leases::*;
use crate::fixtures::*;

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

    let leased = store.lease_due(JobKind::Check, now(), 4, LEASE).await;
    let expected = [
        ("notified", JobPriority::Notified),
        ("later", JobPriority::Notified),
        ("silent", JobPriority::Silent),
        ("crossed0", JobPriority::CrossCheck),
    ];
    assert_eq!(described(&leased.expect("lease")), expected);
    let rest = lease_due(&*store, JobKind::Check).await;
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
        let leased = lease_one(&*store, JobKind::Check).await;
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
        let leased = lease_one(&*store, JobKind::Check).await;
        assert_eq!(leased.priority, Notified, "{first:?}, {second:?}");
        observe(&*store, "p1", &checking(50, Silent)).await;
        assert!(finish(&*store, &leased, JobResult::Done).await);
        let leased = lease_one(&*store, JobKind::Check).await;
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
        let leased = lease_one(&*store, JobKind::Check).await;
        let leased = LeasedJob {
            priority: given,
            ..leased
        };
        assert!(finish(&*store, &leased, back).await);
        let leased = lease_one(&*store, JobKind::Check).await;
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
        assert_eq!(lease_due(&*store, JobKind::Check).await, []);
    }
    observe(&*store, "p1", &checking(10, JobPriority::Notified)).await;
    observe(&*store, "p1", &confirming_with_cross_check(70)).await;
    assert_eq!(next_due(&*store, JobKind::Check).await, Some(70));
    let leased = lease_one(&*store, JobKind::Check).await;
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
        let leased = lease_due(&*store, JobKind::Check).await;
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
        let cross_check = lease_one(&*store, JobKind::Check).await;
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
    assert_eq!(lease_due(&*store, JobKind::Check).await, []);
}
