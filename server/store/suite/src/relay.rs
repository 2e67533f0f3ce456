//! The contract of [`Relay`] as tests that run on every implementation.
//!
//! An implementation passes `relay_suite!` a future that makes a [`Deployment`]: instances that share one backend, without
//! subscriptions.

use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

use chasqui_payment::{PaymentId, PaymentState, Timestamp, Version};
use chasqui_store::{Change, Relay, RelayListener};
use futures_util::future::{BoxFuture, join_all};
use tokio::sync::mpsc;

/// Only a failing test waits this long.
pub const DEADLINE: Duration = Duration::from_secs(20);

const CONCURRENT: i64 = 200;

/// Instances that share a backend.
pub struct Deployment {
    /// At least one.
    pub instances: Vec<Instance>,
    /// Kept alive as long as the instances.
    pub backend: Box<dyn Any + Send>,
}

pub struct Instance {
    pub relay: Arc<dyn Relay>,
    pub received: Received,
    /// Commits a change: a shared store publishes it itself, otherwise it is published on the relay.
    pub commit: Box<dyn Fn(Change) -> BoxFuture<'static, ()> + Send + Sync>,
}

/// The calls of an instance's listener, in order.
pub struct Received {
    pub changes: mpsc::UnboundedReceiver<Change>,
    pub missed: mpsc::UnboundedReceiver<Vec<PaymentId>>,
}

struct Recorder {
    changes: mpsc::UnboundedSender<Change>,
    missed: mpsc::UnboundedSender<Vec<PaymentId>>,
}

impl RelayListener for Recorder {
    fn changed(&self, change: Change) {
        let _ = self.changes.send(change);
    }

    fn missed(&self, ids: Vec<PaymentId>) {
        let _ = self.missed.send(ids);
    }
}

/// A listener for an instance's relay, and what it receives.
pub fn listener() -> (Arc<dyn RelayListener>, Received) {
    let (changes, changes_received) = mpsc::unbounded_channel();
    let (missed, missed_received) = mpsc::unbounded_channel();
    let received = Received {
        changes: changes_received,
        missed: missed_received,
    };
    (Arc::new(Recorder { changes, missed }), received)
}

impl Instance {
    pub async fn subscribe(&self, id: &PaymentId) {
        self.relay.subscribe(id).await.expect("subscribed");
    }

    /// Waits for this change; others and copies are skipped.
    pub async fn receives(&mut self, expected: &Change) {
        let received = async { while self.change().await != *expected {} };
        tokio::time::timeout(DEADLINE, received)
            .await
            .unwrap_or_else(|_| panic!("{expected:?} is not received"));
    }

    async fn change(&mut self) -> Change {
        let change = self.received.changes.recv().await;
        change.expect("the relay is alive")
    }
}

/// `number` distinguishes it from others of the same payment.
pub fn change(id: &str, number: i64) -> Change {
    Change {
        payment_id: PaymentId::parse(id).expect("id"),
        state: PaymentState {
            version: Version::CONFIRMED,
            ..PaymentState::created(Timestamp::from_unix_ms(number))
        },
    }
}

pub async fn a_change_after_a_subscription_arrives_everywhere(deployment: &mut Deployment) {
    let expected = change("p1", 1);
    for instance in &deployment.instances {
        instance.subscribe(&expected.payment_id).await;
    }
    for committing in 0..deployment.instances.len() {
        (deployment.instances[committing].commit)(expected.clone()).await;
        for instance in &mut deployment.instances {
            instance.receives(&expected).await;
        }
    }
}

pub async fn a_change_published_on_the_relay_arrives_here(deployment: &mut Deployment) {
    let expected = change("p1", 1);
    for instance in &mut deployment.instances {
        instance.subscribe(&expected.payment_id).await;
        let announced = instance.relay.publish(&expected).await;
        announced.expect("published");
        instance.receives(&expected).await;
    }
}

pub async fn changes_of_many_payments_all_arrive(deployment: &mut Deployment) {
    let changes: Vec<_> = (0..500).map(|i| change(&format!("many{i}"), 1)).collect();
    let last = deployment.instances.len() - 1;
    let listening = &deployment.instances[last];
    join_all(changes.iter().map(|c| listening.subscribe(&c.payment_id))).await;
    for change in &changes {
        (deployment.instances[0].commit)(change.clone()).await;
    }
    let mut outstanding: std::collections::HashSet<_> = changes
        .into_iter()
        .map(|change| change.payment_id)
        .collect();
    let received = async {
        while !outstanding.is_empty() {
            outstanding.remove(&deployment.instances[last].change().await.payment_id);
        }
    };
    let in_time = tokio::time::timeout(DEADLINE, received).await;
    assert!(in_time.is_ok(), "{} are not received", outstanding.len());
}

pub async fn ending_one_of_two_subscriptions_keeps_the_other(deployment: &mut Deployment) {
    let expected = change("twice", 1);
    let listening = deployment.instances.last_mut().expect("an instance");
    listening.subscribe(&expected.payment_id).await;
    listening.subscribe(&expected.payment_id).await;
    listening.relay.unsubscribe(&expected.payment_id);
    (deployment.instances[0].commit)(expected.clone()).await;
    let listening = deployment.instances.last_mut().expect("an instance");
    listening.receives(&expected).await;
}

/// A confirmed subscription holds even if another to the same payment was being made.
pub async fn each_concurrent_subscriber_receives_what_follows(deployment: &mut Deployment) {
    let last = deployment.instances.len() - 1;
    let (committing, listening) = (&deployment.instances[0], &deployment.instances[last]);
    let changes: Vec<_> = (0..CONCURRENT).map(|i| change("crowded", i)).collect();
    join_all(changes.iter().map(async |change| {
        listening.subscribe(&change.payment_id).await;
        (committing.commit)(change.clone()).await;
    }))
    .await;
    let mut outstanding: std::collections::HashSet<_> =
        changes.iter().map(|change| change.state.at).collect();
    let received = async {
        while !outstanding.is_empty() {
            outstanding.remove(&deployment.instances[last].change().await.state.at);
        }
    };
    let in_time = tokio::time::timeout(DEADLINE, received).await;
    assert!(in_time.is_ok(), "{} are not received", outstanding.len());
    for _ in 1..CONCURRENT {
        let relay = &deployment.instances[last].relay;
        relay.unsubscribe(&changes[0].payment_id);
    }
    let expected = change("crowded", CONCURRENT);
    (deployment.instances[0].commit)(expected.clone()).await;
    deployment.instances[last].receives(&expected).await;
}

pub async fn subscriptions_that_come_and_go_keep_the_one_that_stays(deployment: &mut Deployment) {
    let expected = change("busy", 1);
    let listening = deployment.instances.last().expect("an instance");
    listening.subscribe(&expected.payment_id).await;
    let passing = (0..CONCURRENT).map(|_| {
        let (relay, id) = (Arc::clone(&listening.relay), expected.payment_id.clone());
        tokio::spawn(async move {
            relay.subscribe(&id).await.expect("subscribed");
            relay.unsubscribe(&id);
        })
    });
    for passed in join_all(passing).await {
        passed.expect("no panic");
    }
    (deployment.instances[0].commit)(expected.clone()).await;
    let listening = deployment.instances.last_mut().expect("an instance");
    listening.receives(&expected).await;
}

/// The end of an earlier subscription must not end the new one.
pub async fn a_subscription_made_while_another_ends_holds(deployment: &mut Deployment) {
    let last = deployment.instances.len() - 1;
    let id = change("relieved", 0).payment_id;
    deployment.instances[last].subscribe(&id).await;
    for number in 0..CONCURRENT {
        let relay = &deployment.instances[last].relay;
        let replacement = tokio::spawn({
            let (relay, id) = (Arc::clone(relay), id.clone());
            async move { relay.subscribe(&id).await }
        });
        // Both orders occur.
        if number % 2 == 0 {
            tokio::task::yield_now().await;
        }
        relay.unsubscribe(&id);
        replacement.await.expect("no panic").expect("subscribed");
        let expected = change("relieved", number);
        (deployment.instances[0].commit)(expected.clone()).await;
        deployment.instances[last].receives(&expected).await;
    }
}

pub async fn it_is_healthy_and_misses_nothing_without_failures(deployment: &mut Deployment) {
    let expected = change("p1", 1);
    for instance in &deployment.instances {
        instance.subscribe(&expected.payment_id).await;
        instance.relay.health_check().await.expect("healthy");
    }
    (deployment.instances[0].commit)(expected.clone()).await;
    for instance in &mut deployment.instances {
        instance.receives(&expected).await;
        instance.relay.health_check().await.expect("still healthy");
        let missed = instance.received.missed.try_recv();
        assert!(missed.is_err(), "{missed:?}");
    }
}
