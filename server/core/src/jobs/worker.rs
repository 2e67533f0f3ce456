//! Runs the jobs of one kind: leases due jobs, hands each to a [`JobHandler`] and records how it ended.
//!
//! Jobs run at least once: when an instance dies, the leases of its jobs expire and another instance takes them.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use chasqui_payment::{JobKind, Timestamp};
use chasqui_store::{JobAttempt, JobQueue, JobResult, LeasedJob, StoreError};
use tokio::sync::Notify;
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use crate::clock;
use crate::store_call::within;

/// The longest call of the store.
pub(super) const STORE_TIMEOUT: Duration = Duration::from_secs(5);

/// The longest time between two leases: nothing reports that another instance's lease has expired.
pub(super) const IDLE_INTERVAL: Duration = Duration::from_secs(5);

/// The shortest time between two leases. One finds all jobs that were scheduled in between, and on a shared store each has a
/// cost in every partition.
const MIN_INTERVAL: Duration = Duration::from_millis(20);

/// The first pause after the store failed; doubles up to [`IDLE_INTERVAL`].
const BACKOFF: Duration = Duration::from_millis(100);

/// Runs the jobs of one kind.
pub trait JobHandler: Debug + Send + Sync + 'static {
    const KIND: JobKind;

    /// The longest that [`run`](Self::run) takes.
    fn longest_run(&self) -> Duration;

    /// Runs a job. If it is put back or retried, it keeps the priority that `job` has then. Once `stop` is cancelled, the
    /// handler puts the job back at once. An error means that nothing was tried: the job comes back when its lease expires.
    fn run(
        &self,
        job: &mut LeasedJob,
        stop: &CancellationToken,
    ) -> impl Future<Output = Result<JobEnd, StoreError>> + Send;
}

#[derive(Debug)]
pub struct JobEnd {
    pub result: JobResult,
    /// For the timeline. `None`: nothing was tried.
    pub attempt: Option<JobAttempt>,
}

impl JobEnd {
    pub(super) const fn put_back(due_at: Timestamp) -> Self {
        let result = JobResult::PutBack { due_at };
        Self {
            result,
            attempt: None,
        }
    }
}

#[derive(Debug, Clone)]
pub struct WorkerLimits {
    /// The most jobs that run at once. More wait in the store.
    pub in_flight: usize,
    /// The most jobs in one lease call.
    pub batch: usize,
    /// How long a leased job belongs to this instance.
    pub lease: Duration,
    /// How long running jobs may take at shutdown. Then they are put back.
    pub drain: Duration,
}

#[derive(Debug, thiserror::Error)]
pub enum WorkerLimitsError {
    #[error("at least one job must be able to run")]
    ZeroInFlight,
    #[error("a job's lease ({lease:?}) must outlast its longest run ({longest:?})")]
    LeaseTooShort { lease: Duration, longest: Duration },
}

#[derive(Debug)]
pub struct JobWorker<H> {
    queue: Arc<dyn JobQueue>,
    handler: H,
    limits: WorkerLimits,
    wake: Arc<Notify>,
}

impl<H: JobHandler> JobWorker<H> {
    /// `wake` is notified when a job is scheduled that is due at once. Otherwise it is found within five seconds.
    pub fn new(
        queue: Arc<dyn JobQueue>,
        handler: H,
        limits: WorkerLimits,
        wake: Arc<Notify>,
    ) -> Result<Self, WorkerLimitsError> {
        let WorkerLimits { lease, .. } = limits;
        let longest = handler.longest_run() + STORE_TIMEOUT;
        if limits.in_flight == 0 || limits.batch == 0 {
            return Err(WorkerLimitsError::ZeroInFlight);
        }
        // Otherwise another instance would regularly run the same job.
        if longest >= lease {
            return Err(WorkerLimitsError::LeaseTooShort { lease, longest });
        }
        Ok(Self {
            queue,
            handler,
            limits,
            wake,
        })
    }

    /// Runs jobs until `stop` is cancelled, then lets running jobs end within [`WorkerLimits::drain`].
    pub async fn run(self, stop: CancellationToken) {
        let worker = Arc::new(self);
        let cancel_jobs = CancellationToken::new();
        let mut running = JoinSet::new();
        let mut failures = 0;
        loop {
            while let Some(ended) = running.try_join_next() {
                report_panic::<H>(ended);
            }
            let leased_at = Instant::now();
            // `stop` does not cancel this: leases taken at that moment could not be put back.
            let started = worker.start_due(&mut running, &cancel_jobs).await;
            let is_full = running.len() >= worker.limits.in_flight;
            let pause = async {
                match started {
                    Ok(pause) => {
                        failures = 0;
                        tokio::select! {
                            Some(ended) = running.join_next(), if is_full => report_panic::<H>(ended),
                            () = worker.wake.notified(), if !is_full => {}
                            () = sleep(pause), if !is_full => {}
                        }
                    }
                    Err(error) => {
                        let pause = backoff(failures);
                        failures = failures.saturating_add(1);
                        let kind = H::KIND.as_str();
                        tracing::warn!(kind, %error, ?pause, "due jobs cannot be leased from the store; they wait");
                        sleep(pause).await;
                    }
                }
                sleep_until(leased_at + MIN_INTERVAL).await;
            };
            if stop.run_until_cancelled(pause).await.is_none() {
                break;
            }
        }
        drain::<H>(worker.limits.drain, running, &cancel_jobs).await;
    }

    /// Leases and starts due jobs as far as there is room. Returns the time until the next one is due.
    async fn start_due(
        self: &Arc<Self>,
        running: &mut JoinSet<()>,
        cancel_jobs: &CancellationToken,
    ) -> Result<Duration, StoreError> {
        let limits = &self.limits;
        let room = limits.in_flight.saturating_sub(running.len());
        let room = room.min(limits.batch);
        if room == 0 {
            return Ok(IDLE_INTERVAL);
        }
        let lease_ends = Instant::now() + limits.lease;
        let leased = self
            .queue
            .lease_due(H::KIND, clock::now(), room, limits.lease);
        let leased = within(STORE_TIMEOUT, leased).await?;
        let found = leased.len();
        for job in leased {
            let (worker, stop) = (Arc::clone(self), cancel_jobs.clone());
            running.spawn(async move { worker.run_job(job, lease_ends, &stop).await });
        }
        if found >= room {
            return Ok(Duration::ZERO);
        }
        let next = within(STORE_TIMEOUT, self.queue.next_due(H::KIND)).await?;
        let pause = next.map_or(IDLE_INTERVAL, |due_at| due_at.since(clock::now()));
        // A job that is due and was not leased is under a lease, or the store's clock is behind.
        Ok(pause.clamp(MIN_INTERVAL, IDLE_INTERVAL))
    }

    async fn run_job(&self, mut job: LeasedJob, lease_ends: Instant, stop: &CancellationToken) {
        match self.handler.run(&mut job, stop).await {
            Ok(end) => self.finish(&job, &end, lease_ends).await,
            Err(error) => {
                tracing::warn!(payment_id = %job.payment_id, kind = H::KIND.as_str(), %error, "a job could not be run; it comes back when its lease expires");
            }
        }
    }

    /// Retries until the end is recorded or the lease has expired: a job that is not finished runs again.
    async fn finish(&self, job: &LeasedJob, end: &JobEnd, lease_ends: Instant) {
        let (payment_id, kind) = (job.payment_id.as_str(), H::KIND.as_str());
        for failures in 0.. {
            let finished = self.queue.finish(job, &end.result, end.attempt.as_ref());
            match within(STORE_TIMEOUT, finished).await {
                Ok(true) => {
                    if let JobResult::Retry { due_at } | JobResult::PutBack { due_at } = end.result
                        && due_at.since(clock::now()) < IDLE_INTERVAL
                    {
                        self.wake.notify_one();
                    }
                    return;
                }
                Ok(false) => {
                    tracing::warn!(payment_id, kind, "a job's lease expired; it may run again");
                    return;
                }
                Err(error) => {
                    tracing::warn!(payment_id, kind, %error, "the end of a job cannot be recorded yet; it is tried again");
                }
            }
            let pause = backoff(failures);
            if Instant::now() + pause >= lease_ends {
                break;
            }
            sleep(pause).await;
        }
        tracing::error!(
            payment_id,
            kind,
            "the end of a job was not recorded; it will run again"
        );
    }
}

async fn drain<H: JobHandler>(
    limit: Duration,
    mut running: JoinSet<()>,
    cancel_jobs: &CancellationToken,
) {
    if timeout(limit, all_ended::<H>(&mut running)).await.is_ok() {
        return;
    }
    let kind = H::KIND.as_str();
    tracing::info!(kind, jobs = running.len(), "running jobs are put back");
    cancel_jobs.cancel();
    let put_back = timeout(STORE_TIMEOUT, all_ended::<H>(&mut running)).await;
    if put_back.is_err() {
        let jobs = running.len();
        tracing::warn!(
            kind,
            jobs,
            "jobs could not be put back; they come back when their leases expire"
        );
    }
}

async fn all_ended<H: JobHandler>(running: &mut JoinSet<()>) {
    while let Some(ended) = running.join_next().await {
        report_panic::<H>(ended);
    }
}

fn report_panic<H: JobHandler>(ended: Result<(), JoinError>) {
    if let Err(error) = ended {
        let kind = H::KIND.as_str();
        tracing::error!(kind, %error, "a job panicked; it runs again when its lease expires");
    }
}

/// A random time in the upper half of a pause that doubles with each failure, so that instances do not retry together.
fn backoff(failures: u32) -> Duration {
    let pause = BACKOFF.saturating_mul(2u32.saturating_pow(failures));
    (pause.min(IDLE_INTERVAL)).mul_f64(0.5 + rand::random::<f64>() / 2.0)
}

#[cfg(test)]
mod tests;
