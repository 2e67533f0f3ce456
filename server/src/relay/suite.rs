//! The relay's contract as tests, run on every implementation. A factory makes instances that share one medium.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use super::{Change, Listener, LocalRelay, Relay};
use crate::payment::{PaymentId, State, Status, Timestamp};

/// Generous: only a failing test ever waits this long.
const DEADLINE: Duration = Duration::from_secs(10);

struct Heard(mpsc::UnboundedSender<Change>);

impl Listener for Heard {
    fn heard(&self, change: Change) {
        let _ = self.0.send(change);
    }

    fn missed(&self, _: Vec<PaymentId>) {}
}

/// One instance: its relay, and what it hears.
struct Instance {
    relay: Arc<dyn Relay>,
    heard: mpsc::UnboundedReceiver<Change>,
}

impl Instance {
    fn new(relay: impl FnOnce(Arc<dyn Listener>) -> Arc<dyn Relay>) -> Self {
        let (sender, heard) = mpsc::unbounded_channel();
        Self {
            relay: relay(Arc::new(Heard(sender))),
            heard,
        }
    }

    async fn next(&mut self) -> Change {
        tokio::time::timeout(DEADLINE, self.heard.recv())
            .await
            .expect("heard in time")
            .expect("relay is alive")
    }
}

fn change(id: &str, status: Status) -> Change {
    Change {
        payment_id: PaymentId::parse(id).expect("id"),
        state: State {
            status,
            ..State::pending(Timestamp::from_unix_ms(1))
        },
    }
}

async fn a_change_announced_after_a_subscription_is_heard(instances: &mut [Instance]) {
    let expected = change("p1", Status::Confirmed);
    for instance in instances.iter() {
        instance
            .relay
            .subscribe(&expected.payment_id)
            .await
            .expect("subscribed");
    }
    instances[0]
        .relay
        .announce(&expected)
        .await
        .expect("announced");
    for instance in instances {
        assert_eq!(instance.next().await, expected);
    }
}

async fn many_payments_are_carried_each_to_its_own(instances: &mut [Instance]) {
    let changes: Vec<_> = (0..500)
        .map(|i| change(&format!("many{i}"), Status::Verifying))
        .collect();
    let last = instances.len() - 1;
    for change in &changes {
        instances[last]
            .relay
            .subscribe(&change.payment_id)
            .await
            .expect("subscribed");
    }
    for change in &changes {
        instances[0]
            .relay
            .announce(change)
            .await
            .expect("announced");
    }
    let mut heard = std::collections::HashSet::new();
    while heard.len() < changes.len() {
        heard.insert(instances[last].next().await.payment_id);
    }
}

async fn one_of_two_subscriptions_given_back_leaves_the_other(instances: &mut [Instance]) {
    let expected = change("twice", Status::Confirmed);
    let instance = &mut instances[0];
    instance
        .relay
        .subscribe(&expected.payment_id)
        .await
        .expect("first");
    instance
        .relay
        .subscribe(&expected.payment_id)
        .await
        .expect("second");
    instance.relay.unsubscribe(&expected.payment_id);
    instance.relay.announce(&expected).await.expect("announced");
    assert_eq!(instance.next().await, expected);
}

macro_rules! relay_suite {
    ($implementation:ident, $factory:expr) => {
        mod $implementation {
            use super::*;

            relay_suite!(@tests $factory;
                a_change_announced_after_a_subscription_is_heard,
                many_payments_are_carried_each_to_its_own,
                one_of_two_subscriptions_given_back_leaves_the_other
            );
        }
    };
    (@tests $factory:expr; $($name:ident),*) => {$(
        #[tokio::test]
        async fn $name() {
            let mut instances: Vec<Instance> = $factory;
            super::$name(&mut instances).await;
        }
    )*};
}

relay_suite!(
    local,
    vec![Instance::new(|listener| Arc::new(LocalRelay::new(
        listener
    )))]
);
