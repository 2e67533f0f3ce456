//! A change is published in the step that makes it, and nothing else is.

use chasqui_payment::{StatusKind, StatusReason, StatusUpdate, Version};
use chasqui_store::{Change, Relay, RelayListener};
use chasqui_store_suite::{at, confirming, id, payment, reporting, scheduling};
use redis_processes::deadline::within;
use tokio::sync::mpsc;

use super::*;
use crate::relay::RedisRelay;

struct Listener(mpsc::UnboundedSender<Change>);

impl RelayListener for Listener {
    fn changed(&self, change: Change) {
        let _ = self.0.send(change);
    }

    fn missed(&self, _: Vec<PaymentId>) {}
}

/// An instance that watches a payment, through the relay that ships.
struct Watching {
    store: RedisStore,
    _relay: RedisRelay,
    received: mpsc::UnboundedReceiver<Change>,
}

impl Watching {
    async fn start(settings: &RedisSettings, name: &str) -> Self {
        let (sender, received) = mpsc::unbounded_channel();
        let redis = RedisClient::open(settings).await.expect("reachable");
        let relay = RedisRelay::new(Arc::clone(&redis), Arc::new(Listener(sender)));
        redis_processes::deadline::eventually("a subscription", async || {
            relay.subscribe(&id(name)).await.ok()
        })
        .await;
        Self {
            store: RedisStore::open(redis, RETENTION).await.expect("open"),
            _relay: relay,
            received,
        }
    }

    async fn next(&mut self) -> PaymentState {
        let change = within("a change is received", self.received.recv()).await;
        change.expect("the relay is alive").state
    }

    async fn observe(&self, name: &str, observation: &Observation) {
        let observed = self.store.observe(&id(name), observation).await;
        observed.expect("observe");
    }

    /// Every change of a payment is published once, in order, and nothing else.
    async fn receives_every_change_and_nothing_else(&mut self) {
        self.store.create(&payment("p1")).await.expect("create");
        assert_eq!(self.next().await, PaymentState::created(at(10)));

        let verifying = reporting(StatusKind::Verifying, 20);
        for silent in [reporting(StatusKind::Created, 15), verifying.clone()] {
            self.observe("p1", &silent).await;
        }
        let expected = PaymentState {
            version: Version::from_number(14).expect("version"),
            ..PaymentState::created(at(20))
        };
        assert_eq!(self.next().await, expected);

        self.observe("p1", &verifying).await;
        self.observe("p1", &scheduling(JobKind::Check, 30)).await;
        self.observe("p2", &confirming("{}", 30)).await;
        self.store.create(&payment("p1")).await.expect("again");
        let late = Observation {
            update: Some(StatusUpdate {
                version: Version::CONFIRMED,
                replaces: None,
                late: true,
                reason: Some(StatusReason::MarkedPaidByReceiver),
            }),
            ..confirming("{}", 40)
        };
        self.observe("p1", &late).await;
        let expected = PaymentState {
            version: Version::CONFIRMED,
            at: at(40),
            late: true,
            reason: Some(StatusReason::MarkedPaidByReceiver),
        };
        assert_eq!(self.next().await, expected);

        self.observe("p1", &late).await;
        let reversed = Payment {
            state: PaymentState {
                version: Version::from_number(1001).expect("reversed"),
                ..PaymentState::created(at(50))
            },
            ..payment("p1")
        };
        self.store.create(&reversed).await.expect("create");
        assert_eq!(self.next().await, reversed.state);
    }
}

#[tokio::test]
async fn every_change_is_published_once_and_nothing_else() {
    let server = start().await;
    let mut watching = Watching::start(&standalone(&server), "p1").await;
    watching.receives_every_change_and_nothing_else().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_change_is_published_once_and_nothing_else_on_a_cluster() {
    let shared = Clustered::take();
    drop(shared.fresh().await);
    let mut watching = Watching::start(&on_cluster(&shared.cluster), "p1").await;
    watching.receives_every_change_and_nothing_else().await;
}
