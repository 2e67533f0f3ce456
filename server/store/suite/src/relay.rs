//! The contract of [`Relay`] as tests that run on every implementation.
//!
//! An implementation hands [`relay_suite!`] a future that makes a [`Stage`]: instances that share one medium, with nobody
//! subscribed yet.

use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{BoxFuture, join_all};
use tokio::sync::mpsc;

use chasqui_payment::{PaymentId, PaymentState, Timestamp, Version};
use chasqui_store::{Change, Relay, RelayListener};

/// Generous: only a failing test ever waits this long.
pub const DEADLINE: Duration = Duration::from_secs(20);

const CROWD: i64 = 200;

/// Instances that share a medium.
pub struct Stage {
    /// One at least.
    pub instances: Vec<Instance>,
    /// Whatever must live as long as they do.
    pub medium: Box<dyn Any + Send>,
}

pub struct Instance {
    pub relay: Arc<dyn Relay>,
    pub heard: Heard,
    /// How a committed change comes to be known: the store publishes it where several instances share one, and where
    /// not it is announced.
    pub tell: Box<dyn Fn(Change) -> BoxFuture<'static, ()> + Send + Sync>,
}

/// What an instance's listener was called with, in order.
pub struct Heard {
    pub changes: mpsc::UnboundedReceiver<Change>,
    pub missed: mpsc::UnboundedReceiver<Vec<PaymentId>>,
}

struct Ears {
    changes: mpsc::UnboundedSender<Change>,
    missed: mpsc::UnboundedSender<Vec<PaymentId>>,
}

impl RelayListener for Ears {
    fn changed(&self, change: Change) {
        let _ = self.changes.send(change);
    }

    fn missed(&self, ids: Vec<PaymentId>) {
        let _ = self.missed.send(ids);
    }
}

/// A listener for an instance's relay, and what it will have heard.
pub fn listener() -> (Arc<dyn RelayListener>, Heard) {
    let (changes, heard_changes) = mpsc::unbounded_channel();
    let (missed, heard_missed) = mpsc::unbounded_channel();
    let heard = Heard {
        changes: heard_changes,
        missed: heard_missed,
    };
    (Arc::new(Ears { changes, missed }), heard)
}

impl Instance {
    pub async fn subscribe(&self, id: &PaymentId) {
        self.relay.subscribe(id).await.expect("subscribed");
    }

    /// Waits until this very change is heard; others before it, and copies, are as good as silence.
    pub async fn hears(&mut self, expected: &Change) {
        let heard = async { while self.change().await != *expected {} };
        tokio::time::timeout(DEADLINE, heard)
            .await
            .unwrap_or_else(|_| panic!("{expected:?} is not heard"));
    }

    async fn change(&mut self) -> Change {
        let change = self.heard.changes.recv().await;
        change.expect("the relay is alive")
    }
}

/// `number` tells it from others of the same payment.
pub fn change(id: &str, number: i64) -> Change {
    Change {
        payment_id: PaymentId::parse(id).expect("id"),
        state: PaymentState {
            version: Version::CONFIRMED,
            ..PaymentState::created(Timestamp::from_unix_ms(number))
        },
    }
}

pub async fn a_change_told_after_a_subscription_is_heard_everywhere(stage: &mut Stage) {
    let expected = change("p1", 1);
    for instance in &stage.instances {
        instance.subscribe(&expected.payment_id).await;
    }
    for teller in 0..stage.instances.len() {
        (stage.instances[teller].tell)(expected.clone()).await;
        for instance in &mut stage.instances {
            instance.hears(&expected).await;
        }
    }
}

pub async fn what_is_announced_is_heard_here(stage: &mut Stage) {
    let expected = change("p1", 1);
    for instance in &mut stage.instances {
        instance.subscribe(&expected.payment_id).await;
        let announced = instance.relay.publish(&expected).await;
        announced.expect("announced");
        instance.hears(&expected).await;
    }
}

pub async fn many_payments_are_carried_each_to_its_own(stage: &mut Stage) {
    let changes: Vec<_> = (0..500).map(|i| change(&format!("many{i}"), 1)).collect();
    let last = stage.instances.len() - 1;
    let listening = &stage.instances[last];
    join_all(changes.iter().map(|c| listening.subscribe(&c.payment_id))).await;
    for change in &changes {
        (stage.instances[0].tell)(change.clone()).await;
    }
    let mut unheard: std::collections::HashSet<_> = changes
        .into_iter()
        .map(|change| change.payment_id)
        .collect();
    let heard = async {
        while !unheard.is_empty() {
            unheard.remove(&stage.instances[last].change().await.payment_id);
        }
    };
    let in_time = tokio::time::timeout(DEADLINE, heard).await;
    assert!(in_time.is_ok(), "{} are not heard", unheard.len());
}

pub async fn one_of_two_subscriptions_given_back_leaves_the_other(stage: &mut Stage) {
    let expected = change("twice", 1);
    let listening = stage.instances.last_mut().expect("an instance");
    listening.subscribe(&expected.payment_id).await;
    listening.subscribe(&expected.payment_id).await;
    listening.relay.unsubscribe(&expected.payment_id);
    (stage.instances[0].tell)(expected.clone()).await;
    let listening = stage.instances.last_mut().expect("an instance");
    listening.hears(&expected).await;
}

/// Whoever is told that it is subscribed is, even if another's subscription to the same payment was under way.
pub async fn each_of_a_crowd_that_subscribes_at_once_hears_what_follows(stage: &mut Stage) {
    let last = stage.instances.len() - 1;
    let (teller, listening) = (&stage.instances[0], &stage.instances[last]);
    let changes: Vec<_> = (0..CROWD).map(|i| change("crowded", i)).collect();
    join_all(changes.iter().map(async |change| {
        listening.subscribe(&change.payment_id).await;
        (teller.tell)(change.clone()).await;
    }))
    .await;
    let mut unheard: std::collections::HashSet<_> =
        changes.iter().map(|change| change.state.at).collect();
    let heard = async {
        while !unheard.is_empty() {
            unheard.remove(&stage.instances[last].change().await.state.at);
        }
    };
    let in_time = tokio::time::timeout(DEADLINE, heard).await;
    assert!(in_time.is_ok(), "{} are not heard", unheard.len());
    for _ in 1..CROWD {
        let relay = &stage.instances[last].relay;
        relay.unsubscribe(&changes[0].payment_id);
    }
    let expected = change("crowded", CROWD);
    (stage.instances[0].tell)(expected.clone()).await;
    stage.instances[last].hears(&expected).await;
}

pub async fn a_crowd_that_comes_and_goes_leaves_the_one_that_stays(stage: &mut Stage) {
    let expected = change("busy", 1);
    let listening = stage.instances.last().expect("an instance");
    listening.subscribe(&expected.payment_id).await;
    let passing = (0..CROWD).map(|_| {
        let (relay, id) = (Arc::clone(&listening.relay), expected.payment_id.clone());
        tokio::spawn(async move {
            relay.subscribe(&id).await.expect("subscribed");
            relay.unsubscribe(&id);
        })
    });
    for passed in join_all(passing).await {
        passed.expect("no panic");
    }
    (stage.instances[0].tell)(expected.clone()).await;
    let listening = stage.instances.last_mut().expect("an instance");
    listening.hears(&expected).await;
}

/// The giving back of the one before must not take it along.
pub async fn a_subscription_made_while_another_is_given_back_holds(stage: &mut Stage) {
    let last = stage.instances.len() - 1;
    let id = change("relieved", 0).payment_id;
    stage.instances[last].subscribe(&id).await;
    for number in 0..CROWD {
        let relay = &stage.instances[last].relay;
        let relief = tokio::spawn({
            let (relay, id) = (Arc::clone(relay), id.clone());
            async move { relay.subscribe(&id).await }
        });
        // Now or a moment later: whichever comes first.
        if number % 2 == 0 {
            tokio::task::yield_now().await;
        }
        relay.unsubscribe(&id);
        relief.await.expect("no panic").expect("subscribed");
        let expected = change("relieved", number);
        (stage.instances[0].tell)(expected.clone()).await;
        stage.instances[last].hears(&expected).await;
    }
}

pub async fn it_is_ready_and_misses_nothing_while_nothing_fails(stage: &mut Stage) {
    let expected = change("p1", 1);
    for instance in &stage.instances {
        instance.subscribe(&expected.payment_id).await;
        instance.relay.health_check().await.expect("ready");
    }
    (stage.instances[0].tell)(expected.clone()).await;
    for instance in &mut stage.instances {
        instance.hears(&expected).await;
        instance.relay.health_check().await.expect("ready still");
        let missed = instance.heard.missed.try_recv();
        assert!(missed.is_err(), "{missed:?}");
    }
}
