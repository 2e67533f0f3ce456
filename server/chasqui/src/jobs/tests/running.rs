//! A dispatcher that runs, for the outbox's tests, and the store that it runs on.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::fixture::DEADLINE;
use crate::account::{Account, Accounts};
use crate::jobs::{Limits, Outbox, Rebuild};
use crate::payment::{
    AccountName, Intent, JobKind, Payment, PaymentId, PaymentReference, PaymentState, Priority,
    Timestamp,
};
use crate::store::{
    JobAttempt, JobQueue, JobResult, LeasedJob, PaymentReader, StoreError, StoredNotification,
    TimelineEntry,
};

pub(in crate::jobs) type Settled = (LeasedJob, JobResult, JobAttempt);

/// A store that is a list of jobs, each with its due time: what a real one promises is tested by its own suite.
#[derive(Debug)]
pub(in crate::jobs) struct Shelf {
    jobs: Mutex<Vec<(Timestamp, LeasedJob)>>,
    payments: Mutex<HashMap<PaymentId, (Payment, Option<StoredNotification>)>>,
    settled: mpsc::UnboundedSender<Settled>,
    /// So many calls fail before the store is there.
    pub(in crate::jobs) failures: AtomicUsize,
}

impl Shelf {
    fn jobs(&self) -> MutexGuard<'_, Vec<(Timestamp, LeasedJob)>> {
        self.jobs.lock().expect("jobs")
    }

    fn fails(&self) -> Result<(), StoreError> {
        let left = &self.failures;
        match left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1)) {
            Ok(_) => Err(StoreError::Unavailable("away".into())),
            Err(_) => Ok(()),
        }
    }
}

#[async_trait]
impl PaymentReader for Shelf {
    async fn intent(&self, _: &PaymentReference) -> Result<Option<Intent>, StoreError> {
        Ok(None)
    }

    async fn payment(&self, id: &PaymentId) -> Result<Option<Payment>, StoreError> {
        let payments = self.payments.lock().expect("payments");
        Ok(payments.get(id).map(|(payment, _)| payment.clone()))
    }

    async fn states(&self, ids: &[PaymentId]) -> Result<Vec<Option<PaymentState>>, StoreError> {
        let payments = self.payments.lock().expect("payments");
        let state = |id| payments.get(id).map(|(payment, _)| payment.state);
        Ok(ids.iter().map(state).collect())
    }

    async fn by_transaction(&self, _: &AccountName, _: &str) -> Result<Vec<PaymentId>, StoreError> {
        Ok(Vec::new())
    }

    async fn notification(&self, id: &PaymentId) -> Result<Option<StoredNotification>, StoreError> {
        let payments = self.payments.lock().expect("payments");
        Ok(payments.get(id).and_then(|(_, kept)| kept.clone()))
    }

    async fn timeline(&self, _: &PaymentId) -> Result<Vec<TimelineEntry>, StoreError> {
        Ok(Vec::new())
    }
}

#[async_trait]
impl JobQueue for Shelf {
    async fn lease_due(
        &self,
        _: JobKind,
        now: Timestamp,
        limit: usize,
        _: Duration,
    ) -> Result<Vec<LeasedJob>, StoreError> {
        self.fails()?;
        let mut jobs = self.jobs();
        let due = jobs.extract_if(.., |(due_at, _)| *due_at <= now);
        Ok(due.take(limit).map(|(_, leased)| leased).collect())
    }

    async fn next_due(&self, _: JobKind) -> Result<Option<Timestamp>, StoreError> {
        Ok(self.jobs().iter().map(|(due_at, _)| *due_at).min())
    }

    async fn finish(
        &self,
        leased: &LeasedJob,
        settlement: &JobResult,
        attempt: Option<&JobAttempt>,
    ) -> Result<bool, StoreError> {
        self.fails()?;
        if let JobResult::PutBack { due_at } = settlement {
            self.jobs().push((*due_at, leased.clone()));
        }
        let Some(attempt) = attempt.cloned() else {
            assert!(matches!(settlement, JobResult::PutBack { .. }));
            return Ok(true);
        };
        let settled = (leased.clone(), *settlement, attempt);
        let _ = self.settled.send(settled);
        Ok(true)
    }
}

/// Khipu's answer, where no test looks at it.
fn no_answer() -> Rebuild {
    Arc::new(|_, _| Box::pin(async { Ok(Bytes::from_static(b"{}")) }))
}

/// A dispatcher that runs.
pub(in crate::jobs) struct Running {
    pub(in crate::jobs) shelf: Arc<Shelf>,
    wake: Arc<Notify>,
    pub(in crate::jobs) settled: mpsc::UnboundedReceiver<Settled>,
    pub(in crate::jobs) stop: oneshot::Sender<()>,
    pub(in crate::jobs) task: JoinHandle<()>,
}

impl Running {
    pub(in crate::jobs) fn start(account: Account, limits: Limits) -> Self {
        Self::start_with(account, limits, no_answer())
    }

    pub(in crate::jobs) fn start_with(account: Account, limits: Limits, rebuild: Rebuild) -> Self {
        let (sender, settled) = mpsc::unbounded_channel();
        let shelf = Arc::new(Shelf {
            jobs: Mutex::default(),
            payments: Mutex::default(),
            settled: sender,
            failures: AtomicUsize::new(0),
        });
        Self::on(shelf, settled, account, limits, rebuild)
    }

    /// Once more, on what the last one left.
    pub(in crate::jobs) async fn started_again(self, account: Account, limits: Limits) -> Self {
        let Self {
            shelf,
            settled,
            stop,
            task,
            ..
        } = self;
        let _ = stop.send(());
        timeout(DEADLINE, task)
            .await
            .expect("stops in time")
            .expect("without a panic");
        Self::on(shelf, settled, account, limits, no_answer())
    }

    fn on(
        shelf: Arc<Shelf>,
        settled: mpsc::UnboundedReceiver<Settled>,
        account: Account,
        limits: Limits,
        rebuild: Rebuild,
    ) -> Self {
        let jobs: Arc<dyn JobQueue> = Arc::<Shelf>::clone(&shelf);
        let payments: Arc<dyn PaymentReader> = Arc::<Shelf>::clone(&shelf);
        let outbox = Outbox::new(jobs, payments, &Accounts::new([account]), rebuild, limits)
            .expect("outbox");
        let wake = Arc::new(Notify::new());
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(outbox.run(Arc::clone(&wake), async {
            let _ = stopped.await;
        }));
        Self {
            shelf,
            wake,
            settled,
            stop,
            task,
        }
    }

    /// Puts a delivery on the agenda that `attempts` were made of, and says so.
    pub(in crate::jobs) fn schedule(
        &self,
        attempts: u32,
        what: (Payment, Option<StoredNotification>),
    ) {
        let id = what.0.id.clone();
        let mut payments = self.shelf.payments.lock().expect("payments");
        payments.insert(id.clone(), what);
        drop(payments);
        let leased = LeasedJob {
            kind: JobKind::Delivery,
            payment_id: id,
            attempts,
            priority: Priority::default(),
            token: 1,
        };
        let mut jobs = self.shelf.jobs();
        jobs.push((Timestamp::default(), leased));
        drop(jobs);
        self.wake.notify_one();
    }

    pub(in crate::jobs) async fn settled(&mut self) -> (JobResult, JobAttempt) {
        let (_, settlement, attempt) = timeout(DEADLINE, self.settled.recv())
            .await
            .expect("in time")
            .expect("settled");
        (settlement, attempt)
    }

    pub(in crate::jobs) async fn stop(self) {
        let _ = self.stop.send(());
        timeout(DEADLINE, self.task)
            .await
            .expect("stops in time")
            .expect("without a panic");
    }
}
