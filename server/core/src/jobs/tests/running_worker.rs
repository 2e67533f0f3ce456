//! A worker of deliveries that runs on a [`FakeStore`].

use std::sync::Arc;

use bytes::Bytes;
use chasqui_payment::{JobKind, Payment};
use chasqui_store::{JobAttempt, JobResult, LeasedJob, StoredNotification};
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::fake_store::{FakeStore, Finished};
use super::fixture::DEADLINE;
use crate::account::{Account, Accounts};
use crate::jobs::{BuildNotification, DeliveryHandler, DeliveryLimits, JobWorker, WorkerLimits};

type Limits = (WorkerLimits, DeliveryLimits);

/// For tests that do not look at the content.
fn empty_notification() -> BuildNotification {
    Arc::new(|_, _| Box::pin(async { Ok(Bytes::from_static(b"{}")) }))
}

pub(super) struct RunningWorker {
    pub(super) store: Arc<FakeStore>,
    wake: Arc<Notify>,
    pub(super) ends: mpsc::UnboundedReceiver<Finished>,
    pub(super) stop: CancellationToken,
    pub(super) task: JoinHandle<()>,
}

impl RunningWorker {
    pub(super) fn start(account: Account, limits: Limits) -> Self {
        Self::start_with(account, limits, empty_notification())
    }

    pub(super) fn start_with(account: Account, limits: Limits, build: BuildNotification) -> Self {
        let (store, ends) = FakeStore::new();
        Self::on(store, ends, account, limits, build)
    }

    /// Restarts on the same store.
    pub(super) async fn restarted(self, account: Account, limits: Limits) -> Self {
        self.stop.cancel();
        timeout(DEADLINE, self.task)
            .await
            .expect("stops in time")
            .expect("without a panic");
        Self::on(self.store, self.ends, account, limits, empty_notification())
    }

    fn on(
        store: Arc<FakeStore>,
        ends: mpsc::UnboundedReceiver<Finished>,
        account: Account,
        (worker_limits, limits): Limits,
        build: BuildNotification,
    ) -> Self {
        let payments = Arc::<FakeStore>::clone(&store);
        let accounts = Accounts::new([account]);
        let handler = DeliveryHandler::new(payments, &accounts, build, limits).expect("handler");
        let wake = Arc::new(Notify::new());
        let queue = Arc::<FakeStore>::clone(&store);
        let worker = JobWorker::new(queue, handler, worker_limits, Arc::clone(&wake));
        let stop = CancellationToken::new();
        let task = tokio::spawn(worker.expect("worker").run(stop.clone()));
        Self {
            store,
            wake,
            ends,
            stop,
            task,
        }
    }

    /// Schedules a delivery after `attempts` attempts, and wakes the worker.
    pub(super) fn schedule(&self, attempts: u32, what: (Payment, Option<StoredNotification>)) {
        let (payment, notification) = what;
        let id = payment.id.clone();
        self.store.keep(payment, notification);
        self.store.schedule(JobKind::Delivery, id, attempts);
        self.wake.notify_one();
    }

    /// The next delivery that ends, and the attempt that was made.
    pub(super) async fn end(&mut self) -> (LeasedJob, JobResult, JobAttempt) {
        let end = timeout(DEADLINE, self.ends.recv()).await.expect("in time");
        let (job, result, attempt) = end.expect("finished");
        (job, result, attempt.expect("an attempt"))
    }

    pub(super) async fn finished(&mut self) -> (JobResult, JobAttempt) {
        let (_, result, attempt) = self.end().await;
        (result, attempt)
    }

    pub(super) async fn stop(self) {
        self.stop.cancel();
        timeout(DEADLINE, self.task)
            .await
            .expect("stops in time")
            .expect("without a panic");
    }
}
