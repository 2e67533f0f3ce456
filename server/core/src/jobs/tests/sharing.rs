//! How deliveries share an instance, and the limit of each account.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use chasqui_payment::{AccountName, NewJob, Observation, PaymentId, Reported, Source};
use chasqui_store::{JobResult, Store};
use chasqui_store_sqlite::{DatabaseLocation, SqliteStore};
use futures_util::future::try_join_all;
use tokio::sync::Notify;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::fixture::{self, DEADLINE};
use super::merchant_server::MerchantServer;
use super::running_worker::RunningWorker;
use crate::account::{Account, Accounts};
use crate::clock;
use crate::jobs::worker::IDLE_INTERVAL;
use crate::jobs::{BuildNotification, DeliveryHandler, DeliveryLimits, JobWorker, WorkerLimits};

#[tokio::test]
async fn a_slow_merchant_does_not_stop_other_deliveries() {
    let server = MerchantServer::start().await;
    let mut worker = RunningWorker::start(fixture::account(), fixture::limits());
    for slow in 0..20 {
        let id = format!("slow{slow}");
        worker.schedule(0, fixture::notified(&id, &server.url("/hang")));
    }
    worker.schedule(0, fixture::notified("quick", &server.url("/answer/200")));
    assert_eq!(worker.finished().await.0, JobResult::Done);
    worker.stop().await;
}

/// The share is full, so the third is put back, untried and uncounted, until one of the others has ended.
#[tokio::test]
async fn an_account_has_no_more_than_its_share_in_flight() {
    let mut server = MerchantServer::start().await;
    let (worker_limits, limits) = fixture::limits();
    let limits = DeliveryLimits {
        in_flight_per_account: 2,
        attempt_timeout: Duration::from_secs(1),
        ..limits
    };
    let mut worker = RunningWorker::start(fixture::account(), (worker_limits, limits));
    for id in ["p1", "p2", "p3"] {
        worker.schedule(0, fixture::notified(id, &server.url("/hang")));
    }
    let mut ended = Vec::new();
    for _ in 0..3 {
        server.next().await;
        let (job, _, attempt) = worker.end().await;
        assert_eq!(job.attempts, 0);
        assert_eq!(attempt.result, "no answer within 1 s");
        ended.push((attempt.at, attempt.at.plus(attempt.duration)));
    }
    ended.sort_unstable();
    let first_end = ended[0].1.min(ended[1].1);
    assert!(ended[2].0 >= first_end, "{ended:?}");
    let soon = IDLE_INTERVAL / 2;
    assert!(ended[2].0 < first_end.plus(soon), "{ended:?}");
    worker.stop().await;
}

/// More than one instance may hold at once, all due before the other account's.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_account_that_hangs_with_thousands_due_does_not_keep_another_waiting() {
    const HANGING: usize = 2000;
    let (hangs, mut answers) = (MerchantServer::start().await, MerchantServer::start().await);
    let directory = tempfile::tempdir().expect("directory");
    let location = DatabaseLocation::File(directory.path().join("chasqui.db"));
    let store = SqliteStore::open(&location, &Default::default()).expect("store");
    let store: Arc<dyn Store> = Arc::new(store);
    let named = |name: &str, url| Account {
        name: AccountName::parse(name).expect("name"),
        notify_url: Some(url),
        ..fixture::account()
    };
    let busy = named("busy", hangs.url("/hang"));
    let quick = named("quick", answers.url("/answer/200"));
    let confirmed = |account: &Account| Observation {
        account: account.name.clone(),
        source: Source::Notification,
        at: clock::now(),
        update: Reported::Confirmed {
            late: false,
            reason: None,
        }
        .final_update(),
        notification: None,
        jobs: vec![NewJob::delivery(clock::now())],
    };
    let ids = (0..HANGING).map(|n| PaymentId::parse(&format!("busy{n}")).expect("id"));
    let observed = ids.map(|id| {
        let (store, observation) = (Arc::clone(&store), confirmed(&busy));
        async move { store.observe(&id, &observation).await.map(|_| ()) }
    });
    try_join_all(observed).await.expect("observed");

    let (worker_limits, limits) = fixture::limits();
    let share = limits.in_flight_per_account;
    let build: BuildNotification =
        Arc::new(|_, _| Box::pin(async { Ok(Bytes::from_static(b"{}")) }));
    let accounts = Accounts::new([busy, quick.clone()]);
    let handler = DeliveryHandler::new(store.clone(), &accounts, build, limits).expect("handler");
    let wake = Arc::new(Notify::new());
    let job_worker = JobWorker::new(store.clone(), handler, worker_limits, Arc::clone(&wake));
    let stop = CancellationToken::new();
    let task = tokio::spawn(job_worker.expect("worker").run(stop.clone()));
    for round in 0..3 {
        let id = PaymentId::parse(&format!("quick{round}")).expect("id");
        let scheduled = store.observe(&id, &confirmed(&quick)).await;
        scheduled.expect("scheduled");
        wake.notify_one();
        let received = timeout(Duration::from_secs(4), answers.next()).await;
        assert_eq!(received.expect("in time").path, "/answer/200");
        assert!(hangs.waiting() <= share, "{} at once", hangs.waiting());
    }
    stop.cancel();
    timeout(DEADLINE, task).await.expect("in time").expect("ok");
}

#[tokio::test]
async fn a_full_instance_leases_again_as_soon_as_one_attempt_ends() {
    let server = MerchantServer::start().await;
    let (worker_limits, limits) = fixture::limits();
    let worker_limits = WorkerLimits {
        in_flight: 1,
        ..worker_limits
    };
    let mut worker = RunningWorker::start(fixture::account(), (worker_limits, limits));
    for id in ["p1", "p2", "p3", "p4"] {
        let url = server.url("/answer/200");
        worker.schedule(0, fixture::notified(id, &url));
    }
    for _ in 0..4 {
        assert_eq!(worker.finished().await.0, JobResult::Done);
    }
    worker.stop().await;
}
