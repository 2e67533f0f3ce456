//! Jobs are leased once they are due, and finished or put back.

use std::collections::HashSet;
use std::time::Duration;

use chasqui_store::JobResult;

use super::leases::*;
use crate::fixtures::*;

pub async fn only_due_jobs_are_leased_the_longest_due_first(factory: &impl StoreFactory) {
    let store = factory.fresh().await;
    let later = later().unix_ms();
    for (name, due) in [("c", 30), ("a", 10), ("d", later), ("b", 20), ("e", 40)] {
        observe(&*store, name, &scheduling(JobKind::Check, due)).await;
    }
    let leased = lease_due(&*store, JobKind::Check).await;
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
                .lease_due(kind, now(), limit, LEASE)
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
                    .lease_due(JobKind::Check, now(), 3, LEASE)
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
    let first = lease_first(&*store, JobKind::Check, BRIEF_LEASE).await;
    passed(now().plus(BRIEF_LEASE)).await;
    let leased_at = now();
    let second = lease_one(&*store, JobKind::Check).await;
    assert_ne!(first.token, second.token);
    assert_eq!(second.attempts, 0, "only Retry counts");
    assert_eq!(lease_due(&*store, JobKind::Check).await, [], "leased");

    for end in [
        JobResult::Done,
        JobResult::Dead,
        JobResult::Retry { due_at: at(1) },
        JobResult::PutBack { due_at: at(1) },
    ] {
        assert!(!finish(&*store, &first, end).await, "lost: {end:?}");
    }
    assert_lease_end(&*store, leased_at, LEASE).await;
    assert!(finish(&*store, &second, JobResult::Done).await);
    assert!(!finish(&*store, &second, JobResult::Done).await, "ended");

    observe(&*store, "p1", &scheduling(JobKind::Check, 3000)).await;
    lease_one(&*store, JobKind::Check).await;
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
    let leased = lease_first(&*store, JobKind::Delivery, BRIEF_LEASE).await;
    passed(now().plus(BRIEF_LEASE)).await;
    assert!(finish(&*store, &leased, JobResult::Done).await);
    assert_eq!(lease_due(&*store, JobKind::Delivery).await, []);
}

pub async fn retry_puts_the_job_back_and_counts_the_attempt(factory: &impl StoreFactory) {
    let store = factory.fresh().await;
    observe(&*store, "p1", &confirming("{}", 10)).await;
    let later = later();
    for (attempts, due_at) in [at(20), at(30), at(40), later].into_iter().enumerate() {
        let leased = lease_one(&*store, JobKind::Delivery).await;
        assert_eq!(usize::try_from(leased.attempts), Ok(attempts));
        assert!(finish(&*store, &leased, JobResult::Retry { due_at }).await);
        let due = next_due(&*store, JobKind::Delivery).await;
        assert_eq!(due, Some(due_at.unix_ms()));
    }
    assert_eq!(lease_due(&*store, JobKind::Delivery).await, [], "due later");
}

pub async fn put_back_does_not_count_an_attempt(factory: &impl StoreFactory) {
    let store = factory.fresh().await;
    observe(&*store, "p1", &confirming("{}", 10)).await;
    let due_at = at(100);
    for attempts in [0, 1] {
        let first = lease_one(&*store, JobKind::Delivery).await;
        assert!(finish(&*store, &first, JobResult::PutBack { due_at }).await);
        assert!(!finish(&*store, &first, JobResult::Done).await, "ended");
        assert_eq!(next_due(&*store, JobKind::Delivery).await, Some(100));
        let second = lease_one(&*store, JobKind::Delivery).await;
        assert_eq!(second.attempts, attempts);
        assert!(finish(&*store, &second, JobResult::Retry { due_at }).await);
    }
    let last = lease_one(&*store, JobKind::Delivery).await;
    let due_at = later();
    assert!(finish(&*store, &last, JobResult::PutBack { due_at }).await);
    assert_eq!(lease_due(&*store, JobKind::Delivery).await, [], "due later");
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
        let leased = lease_one(&*store, kind).await;
        assert!(finish(&*store, &leased, JobResult::Dead).await);
        assert_eq!(lease_due(&*store, kind).await, [], "{kind:?}");
        assert_eq!(next_due(&*store, kind).await, None, "{kind:?}");
        assert!(!finish(&*store, &leased, JobResult::Done).await, "{kind:?}");
    }
}

pub async fn next_due_is_the_earliest_time_a_job_can_be_leased(factory: &impl StoreFactory) {
    let store = factory.fresh().await;
    let (check, later) = (JobKind::Check, later());
    assert_eq!(next_due(&*store, check).await, None);
    observe(&*store, "a", &scheduling(check, 10)).await;
    observe(&*store, "b", &scheduling(check, 500)).await;
    observe(&*store, "c", &scheduling(check, later.unix_ms())).await;
    assert_eq!(next_due(&*store, JobKind::Delivery).await, None);
    assert_eq!(next_due(&*store, check).await, Some(10));

    let leased_at = now();
    let a = lease_first(&*store, check, LEASE).await;
    assert_eq!(next_due(&*store, check).await, Some(500), "a is leased");
    let b = lease_first(&*store, check, 2 * LEASE).await;
    assert_lease_end(&*store, leased_at, LEASE).await;
    assert!(finish(&*store, &a, JobResult::Done).await);
    assert_lease_end(&*store, leased_at, 2 * LEASE).await;
    let due_at = later.plus(LEASE);
    assert!(finish(&*store, &b, JobResult::Retry { due_at }).await);
    let due = next_due(&*store, check).await;
    assert_eq!(due, Some(later.unix_ms()), "c is due before b");
}

/// The next check can be leased when a lease ends that was taken between `leased_at` and now.
async fn assert_lease_end(store: &dyn Store, leased_at: Timestamp, lease: Duration) {
    let end = store.next_due(JobKind::Check).await.expect("next_due");
    let expected = leased_at.plus(lease)..=now().plus(lease);
    assert!(end.is_some_and(|end| expected.contains(&end)), "{end:?}");
}
