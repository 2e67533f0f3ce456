//! A store that is a list of jobs: what a real one promises is tested by its own suite.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;
use chasqui_payment::{JobKind, JobPriority, Payment, PaymentId, PaymentState, Timestamp};
use chasqui_store::{
    JobAttempt, JobQueue, JobResult, LeasedJob, PaymentReader, StoreError, StoredNotification,
};
use tokio::sync::mpsc;

pub(in crate::jobs) type Finished = (LeasedJob, JobResult, Option<JobAttempt>);

#[derive(Debug)]
pub(in crate::jobs) struct FakeStore {
    jobs: Mutex<Vec<(Timestamp, LeasedJob)>>,
    payments: Mutex<HashMap<PaymentId, (Payment, Option<StoredNotification>)>>,
    finished: mpsc::UnboundedSender<Finished>,
    /// So many leases fail.
    pub(in crate::jobs) lease_failures: AtomicUsize,
    /// So many ends are not recorded.
    pub(in crate::jobs) finish_failures: AtomicUsize,
    /// So many ends are left without an answer.
    pub(in crate::jobs) finish_silences: AtomicUsize,
}

impl FakeStore {
    pub(in crate::jobs) fn new() -> (Arc<Self>, mpsc::UnboundedReceiver<Finished>) {
        let (sender, finished) = mpsc::unbounded_channel();
        let store = Self {
            jobs: Mutex::default(),
            payments: Mutex::default(),
            finished: sender,
            lease_failures: AtomicUsize::new(0),
            finish_failures: AtomicUsize::new(0),
            finish_silences: AtomicUsize::new(0),
        };
        (Arc::new(store), finished)
    }

    pub(in crate::jobs) fn keep(&self, payment: Payment, notification: Option<StoredNotification>) {
        let mut payments = self.payments.lock().expect("payments");
        payments.insert(payment.id.clone(), (payment, notification));
    }

    /// Schedules a job that is due at once and was tried `attempts` times.
    pub(in crate::jobs) fn schedule(&self, kind: JobKind, payment_id: PaymentId, attempts: u32) {
        let job = LeasedJob {
            kind,
            payment_id,
            attempts,
            priority: JobPriority::default(),
            token: 1,
        };
        self.jobs().push((Timestamp::default(), job));
    }

    fn jobs(&self) -> MutexGuard<'_, Vec<(Timestamp, LeasedJob)>> {
        self.jobs.lock().expect("jobs")
    }
}

/// Counts down to zero.
fn takes_one(left: &AtomicUsize) -> bool {
    left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1))
        .is_ok()
}

fn away() -> StoreError {
    StoreError::Unavailable("away".into())
}

#[async_trait]
impl PaymentReader for FakeStore {
    async fn payment(&self, id: &PaymentId) -> Result<Option<Payment>, StoreError> {
        let payments = self.payments.lock().expect("payments");
        Ok(payments.get(id).map(|(payment, _)| payment.clone()))
    }

    async fn states(&self, ids: &[PaymentId]) -> Result<Vec<Option<PaymentState>>, StoreError> {
        let payments = self.payments.lock().expect("payments");
        let state = |id| payments.get(id).map(|(payment, _)| payment.state);
        Ok(ids.iter().map(state).collect())
    }

    async fn notification(&self, id: &PaymentId) -> Result<Option<StoredNotification>, StoreError> {
        let payments = self.payments.lock().expect("payments");
        Ok(payments.get(id).and_then(|(_, stored)| stored.clone()))
    }
}

#[async_trait]
impl JobQueue for FakeStore {
    async fn lease_due(
        &self,
        _: JobKind,
        now: Timestamp,
        limit: usize,
        _: Duration,
    ) -> Result<Vec<LeasedJob>, StoreError> {
        if takes_one(&self.lease_failures) {
            return Err(away());
        }
        let mut jobs = self.jobs();
        let due = jobs.extract_if(.., |(due_at, _)| *due_at <= now);
        Ok(due.take(limit).map(|(_, job)| job).collect())
    }

    async fn next_due(&self, _: JobKind) -> Result<Option<Timestamp>, StoreError> {
        Ok(self.jobs().iter().map(|(due_at, _)| *due_at).min())
    }

    async fn finish(
        &self,
        job: &LeasedJob,
        result: &JobResult,
        attempt: Option<&JobAttempt>,
    ) -> Result<bool, StoreError> {
        if takes_one(&self.finish_silences) {
            std::future::pending::<()>().await;
        }
        if takes_one(&self.finish_failures) {
            return Err(away());
        }
        if let JobResult::PutBack { due_at } = result {
            self.jobs().push((*due_at, job.clone()));
            if attempt.is_none() {
                return Ok(true);
            }
        }
        // A test that has seen enough may be gone.
        let _ = self.finished.send((job.clone(), *result, attempt.cloned()));
        Ok(true)
    }
}
