//! Deliveries when the worker stops, or something breaks.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use chasqui_store::JobResult;
use tokio::time::timeout;

use super::fake_store::FakeStore;
use super::fixture::{self, DEADLINE};
use super::merchant_server::MerchantServer;
use super::running_worker::RunningWorker;
use crate::account::Accounts;
use crate::clock;
use crate::jobs::{
    BuildNotification, DeliveryHandler, DeliveryLimits, JobWorker, WorkerLimits, WorkerLimitsError,
};

#[tokio::test]
async fn a_shutdown_waits_for_attempts_that_are_about_to_end() {
    let mut server = MerchantServer::start().await;
    let (worker_limits, limits) = fixture::limits();
    let worker_limits = WorkerLimits {
        drain: DEADLINE,
        ..worker_limits
    };
    let limits = DeliveryLimits {
        attempt_timeout: Duration::from_millis(200),
        ..limits
    };
    let mut worker = RunningWorker::start(fixture::account(), (worker_limits, limits));
    worker.schedule(0, fixture::notified("p1", &server.url("/hang")));
    server.next().await;
    worker.stop.cancel();
    timeout(DEADLINE, &mut worker.task)
        .await
        .expect("in time")
        .expect("ok");
    let (_, _, attempt) = worker.end().await;
    assert_eq!(attempt.result, "no answer within 0.2 s");
}

#[tokio::test]
async fn a_shutdown_puts_back_what_takes_too_long() {
    let mut server = MerchantServer::start().await;
    let mut worker = RunningWorker::start(fixture::account(), fixture::limits());
    worker.schedule(4, fixture::notified("p1", &server.url("/hang")));
    server.next().await;
    worker.stop.cancel();
    timeout(DEADLINE, &mut worker.task)
        .await
        .expect("in time")
        .expect("ok");
    let (_, result, attempt) = worker.end().await;
    assert!(matches!(result, JobResult::PutBack { due_at } if due_at <= clock::now()));
    assert!(attempt.result.starts_with("interrupted"), "{attempt:?}");
}

#[tokio::test]
async fn stopping_counts_as_no_attempt() {
    let mut server = MerchantServer::start().await;
    let (worker_limits, limits) = fixture::limits();
    let worker_limits = WorkerLimits {
        drain: Duration::ZERO,
        ..worker_limits
    };
    let limits = (worker_limits, limits);
    let mut worker = RunningWorker::start(fixture::account(), limits.clone());
    worker.schedule(0, fixture::notified("p1", &server.url("/hang")));
    for _ in 0..3 {
        server.next().await;
        worker = worker.restarted(fixture::account(), limits.clone()).await;
        let (job, _, attempt) = worker.end().await;
        assert!(attempt.result.starts_with("interrupted"), "{attempt:?}");
        assert_eq!(job.attempts, 0);
    }
    server.next().await;
    worker.stop().await;
}

#[tokio::test]
async fn leasing_is_retried_when_the_store_is_back() {
    let server = MerchantServer::start().await;
    let mut worker = RunningWorker::start(fixture::account(), fixture::limits());
    worker.store.lease_failures.store(3, Ordering::SeqCst);
    let url = server.url("/answer/200");
    worker.schedule(0, fixture::notified("p1", &url));
    assert_eq!(worker.finished().await.0, JobResult::Done);
    worker.stop().await;
}

#[tokio::test]
async fn an_attempt_that_panics_does_not_stop_the_worker() {
    let server = MerchantServer::start().await;
    let broken: BuildNotification = Arc::new(|_, _| panic!("a bug, on purpose"));
    let mut worker = RunningWorker::start_with(fixture::account(), fixture::limits(), broken);
    let url = server.url("/answer/200");
    worker.schedule(0, (fixture::confirmed("p1", Some(url.clone())), None));
    worker.schedule(0, fixture::notified("p2", &url));
    assert_eq!(worker.finished().await.0, JobResult::Done);
    worker.stop().await;
}

#[test]
fn a_lease_shorter_than_an_attempt_is_refused() {
    let worker = |worker_limits| {
        let (store, _) = FakeStore::new();
        let payments = Arc::<FakeStore>::clone(&store);
        let build: BuildNotification = Arc::new(|_, _| panic!("nothing runs"));
        let accounts = Accounts::new([fixture::account()]);
        let limits = DeliveryLimits::default();
        let handler = DeliveryHandler::new(payments, &accounts, build, limits).expect("handler");
        JobWorker::new(store, handler, worker_limits, Arc::default())
    };
    assert!(worker(DeliveryHandler::worker_limits()).is_ok());
    let limits = WorkerLimits {
        lease: Duration::from_secs(20),
        ..DeliveryHandler::worker_limits()
    };
    assert!(matches!(
        worker(limits),
        Err(WorkerLimitsError::LeaseTooShort { .. })
    ));
}
