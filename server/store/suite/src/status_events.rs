//! Changes that are to be sent: every one, in order, until it is sent.

use chasqui_store::JobResult;

use crate::fixtures::*;
use crate::job_queue::leases::{finish, later, lease_due, lease_one, next_due, observe};

/// An update that is to be sent.
fn changing(held: Option<u16>, number: u16) -> Observation {
    Observation {
        jobs: vec![NewJob::events(at(1))],
        ..updating(held, number, i64::from(number))
    }
}

/// The version of the change that is sent next.
async fn next(store: &dyn Store, name: &str) -> Option<u16> {
    let event = store.next_event(&id(name)).await.expect("read");
    event.map(|state| state.version.number())
}

pub async fn every_change_is_sent_in_order(factory: &impl StoreFactory) {
    let store = factory.fresh().await;
    store.create(&payment("p1")).await.expect("create");
    assert_eq!(next(&*store, "p1").await, None, "a creation is no change");
    for (held, number) in [(Some(11), 14), (Some(14), 17), (None, 1000), (None, 1001)] {
        observe(&*store, "p1", &changing(held, number)).await;
    }
    for number in [14, 17, 1000, 1001] {
        let leased = lease_one(&*store, JobKind::Events).await;
        let event = store.next_event(&id("p1")).await.expect("read");
        let state = event.expect("a change");
        assert_eq!(state.version.number(), number);
        assert_eq!(state.at, at(i64::from(number)));
        assert!(finish(&*store, &leased, JobResult::Done).await);
    }
    assert_eq!(next(&*store, "p1").await, None);
    assert_eq!(lease_due(&*store, JobKind::Events).await, []);
    assert_eq!(next_due(&*store, JobKind::Events).await, None);
}

pub async fn a_change_keeps_its_lateness_and_reason(factory: &impl StoreFactory) {
    let store = factory.fresh().await;
    let mut late = changing(None, 1000);
    if let Some(update) = &mut late.update {
        update.late = true;
        update.reason = Some(StatusReason::MarkedPaidByReceiver);
    }
    observe(&*store, "p1", &late).await;
    let event = store.next_event(&id("p1")).await.expect("read");
    let state = event.expect("a change");
    assert_eq!(
        (state.late, state.reason),
        (true, Some(StatusReason::MarkedPaidByReceiver))
    );
}

pub async fn what_changes_nothing_is_not_sent(factory: &impl StoreFactory) {
    let store = factory.fresh().await;
    let unread = Observation {
        jobs: vec![NewJob::events(at(1))],
        ..notified("{}", Verdict::UnknownPayment, 30)
    };
    observe(&*store, "p1", &unread).await;
    assert_eq!(next(&*store, "p1").await, None, "no update");
    observe(&*store, "p1", &changing(None, 1000)).await;
    for (held, number) in [(None, 1000), (Some(11), 14)] {
        observe(&*store, "p1", &changing(held, number)).await;
    }
    let leased = lease_one(&*store, JobKind::Events).await;
    assert!(finish(&*store, &leased, JobResult::Done).await);
    assert_eq!(next(&*store, "p1").await, None);
    assert_eq!(lease_due(&*store, JobKind::Events).await, []);
}

pub async fn a_change_that_is_not_accepted_is_sent_again(factory: &impl StoreFactory) {
    let store = factory.fresh().await;
    observe(&*store, "p1", &changing(None, 1000)).await;
    let leased = lease_one(&*store, JobKind::Events).await;
    let retry = JobResult::Retry { due_at: at(2) };
    assert!(finish(&*store, &leased, retry).await);
    assert_eq!(next(&*store, "p1").await, Some(1000));
    let leased = lease_one(&*store, JobKind::Events).await;
    assert_eq!(leased.attempts, 1);
    let retry = JobResult::Retry { due_at: later() };
    assert!(finish(&*store, &leased, retry).await);
    assert_eq!(lease_due(&*store, JobKind::Events).await, [], "not due");
}

pub async fn a_change_during_a_lease_follows_it(factory: &impl StoreFactory) {
    let store = factory.fresh().await;
    observe(&*store, "p1", &changing(Some(11), 14)).await;
    let leased = lease_one(&*store, JobKind::Events).await;
    observe(&*store, "p1", &changing(None, 1000)).await;
    assert_eq!(
        lease_due(&*store, JobKind::Events).await,
        [],
        "one at a time"
    );
    assert_eq!(next(&*store, "p1").await, Some(14));
    assert!(finish(&*store, &leased, JobResult::Done).await);
    let leased = lease_one(&*store, JobKind::Events).await;
    assert_eq!(leased.attempts, 0);
    assert_eq!(next(&*store, "p1").await, Some(1000));
}

pub async fn a_lost_lease_removes_no_change(factory: &impl StoreFactory) {
    let store = factory.fresh().await;
    observe(&*store, "p1", &changing(Some(11), 14)).await;
    observe(&*store, "p1", &changing(None, 1000)).await;
    let leased = lease_one(&*store, JobKind::Events).await;
    assert!(finish(&*store, &leased, JobResult::Done).await);
    assert!(!finish(&*store, &leased, JobResult::Done).await);
    assert_eq!(next(&*store, "p1").await, Some(1000));
}

pub async fn what_was_given_up_is_sent_with_the_next_change(factory: &impl StoreFactory) {
    let store = factory.fresh().await;
    observe(&*store, "p1", &changing(None, 1000)).await;
    let leased = lease_one(&*store, JobKind::Events).await;
    assert!(finish(&*store, &leased, JobResult::Dead).await);
    assert_eq!(lease_due(&*store, JobKind::Events).await, []);
    observe(&*store, "p1", &changing(None, 1001)).await;
    for number in [1000, 1001] {
        let leased = lease_one(&*store, JobKind::Events).await;
        assert_eq!(leased.attempts, 0);
        assert_eq!(next(&*store, "p1").await, Some(number));
        assert!(finish(&*store, &leased, JobResult::Done).await);
    }
    assert_eq!(next(&*store, "p1").await, None);
}

pub async fn a_payment_that_another_account_takes_over_loses_its_changes(
    factory: &impl StoreFactory,
) {
    let store = factory.fresh().await;
    let foreign = Observation {
        account: other_shop(),
        ..changing(None, 1000)
    };
    observe(&*store, "p1", &foreign).await;
    store.create(&payment("p1")).await.expect("create");
    assert_eq!(next(&*store, "p1").await, None);
    assert_eq!(lease_due(&*store, JobKind::Events).await, []);
}

pub async fn changes_survive_reopening(factory: &impl StoreFactory) {
    let store = factory.fresh().await;
    observe(&*store, "p1", &changing(None, 1000)).await;
    let Some(store) = factory.reopened(store).await else {
        return;
    };
    assert_eq!(next(&*store, "p1").await, Some(1000));
    lease_one(&*store, JobKind::Events).await;
}
