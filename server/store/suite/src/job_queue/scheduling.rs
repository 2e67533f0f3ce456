//! Which jobs are scheduled, and when they are due.

use chasqui_store::JobResult;

use super::leases::*;
use crate::fixtures::*;

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
    let leased = lease_one(&*store, JobKind::Delivery).await;
    assert_eq!((leased.attempts, &leased.payment_id), (0, &id("p1")));
    observe(&*store, "p1", &confirming("{}", 30)).await;
    assert_eq!(lease_due(&*store, JobKind::Delivery).await, []);
}

pub async fn a_delivery_that_is_done_or_dead_is_never_scheduled_again(factory: &impl StoreFactory) {
    let store = factory.fresh().await;
    for (name, end) in [("done", JobResult::Done), ("dead", JobResult::Dead)] {
        observe(&*store, name, &confirming("{}", 30)).await;
        let leased = lease_one(&*store, JobKind::Delivery).await;
        assert!(finish(&*store, &leased, end).await);
        observe(&*store, name, &confirming("{}", 40)).await;
        observe(&*store, name, &confirming("{\"n\":2}", 40)).await;
        assert_eq!(lease_due(&*store, JobKind::Delivery).await, [], "{name}");
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
    let leased = lease_one(&*store, JobKind::Delivery).await;
    assert_eq!(leased.payment_id, id("Confirmed"));
}

pub async fn a_reversed_payment_gets_no_delivery(factory: &impl StoreFactory) {
    let store = factory.fresh().await;
    observe(&*store, "p1", &reporting(StatusKind::Reversed, 20)).await;
    observe(&*store, "p1", &confirming("{}", 30)).await;
    assert_eq!(lease_due(&*store, JobKind::Delivery).await, []);
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
    let leased = lease_one(&*store, kind).await;
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
        let leased = lease_one(&*store, check).await;
        assert!(finish(&*store, &leased, JobResult::Retry { due_at: at(500) }).await);
        observe(&*store, "p1", &scheduling(check, asked)).await;
        assert_eq!(next_due(&*store, check).await, Some(due));
        let leased = lease_one(&*store, check).await;
        assert_eq!(leased.attempts, 0, "its schedule begins again");
        assert!(finish(&*store, &leased, JobResult::Done).await);
    }
}

pub async fn a_finished_check_can_be_scheduled_again(factory: &impl StoreFactory) {
    let store = factory.fresh().await;
    for end in [JobResult::Done, JobResult::Dead] {
        observe(&*store, "p1", &scheduling(JobKind::Check, 10)).await;
        let leased = lease_one(&*store, JobKind::Check).await;
        assert!(finish(&*store, &leased, JobResult::Retry { due_at: at(20) }).await);
        let leased = lease_one(&*store, JobKind::Check).await;
        assert!(finish(&*store, &leased, end).await);
        assert_eq!(next_due(&*store, JobKind::Check).await, None, "{end:?}");

        observe(&*store, "p1", &scheduling(JobKind::Check, 30)).await;
        let leased = lease_one(&*store, JobKind::Check).await;
        assert_eq!(leased.attempts, 0, "a new one, after {end:?}");
        assert!(finish(&*store, &leased, JobResult::Done).await);
    }
}

pub async fn a_check_scheduled_while_leased_is_not_lost(factory: &impl StoreFactory) {
    let store = factory.fresh().await;
    for end in [JobResult::Done, JobResult::Dead] {
        observe(&*store, "p1", &scheduling(JobKind::Check, 10)).await;
        let leased = lease_one(&*store, JobKind::Check).await;
        for due in [40, 30, 50] {
            observe(&*store, "p1", &scheduling(JobKind::Check, due)).await;
        }
        assert_eq!(lease_due(&*store, JobKind::Check).await, [], "leased");
        assert!(finish(&*store, &leased, end).await);

        assert_eq!(next_due(&*store, JobKind::Check).await, Some(30), "{end:?}");
        let leased = lease_one(&*store, JobKind::Check).await;
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
            let leased = lease_one(&*store, JobKind::Check).await;
            observe(&*store, "p1", &scheduling(JobKind::Check, asked)).await;
            assert!(finish(&*store, &leased, back).await);
            assert_eq!(next_due(&*store, JobKind::Check).await, Some(due));
            let leased = lease_one(&*store, JobKind::Check).await;
            assert_eq!(leased.attempts, 0, "{back:?}: its schedule begins again");
            assert!(finish(&*store, &leased, JobResult::Done).await);
            assert_eq!(next_due(&*store, JobKind::Check).await, None, "once");
        }
    }
}
