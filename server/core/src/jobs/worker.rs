//! Runs the jobs of one kind: leases what is due, hands each job to a [`JobHandler`] and records how it ended.
//!
//! Jobs run at least once. The lease of an instance that dies runs out, and another instance takes the job. What a job does
//! and when it is due again is up to its handler.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use chasqui_payment::{JobKind, Timestamp};
use chasqui_store::{JobAttempt, JobQueue, JobResult, LeasedJob, StoreError};

use crate::clock;
use crate::store_call;

/// The longest that one call of the store may take.
pub(super) const STORE_TIMEOUT: Duration = Duration::from_secs(5);

/// The longest between two looks at the queue: nothing reports that another instance's lease has run out.
pub(super) const IDLE: Duration = Duration::from_secs(5);

/// The shortest between two looks, however many jobs are scheduled meanwhile: one look finds all of them, and on a shared
/// store each costs something in every partition.
const BREATHER: Duration = Duration::from_millis(20);

/// The first wait after the store failed; doubles up to [`IDLE`].
const BACKOFF: Duration = Duration::from_millis(100);

/// What the jobs of one kind do.
pub trait JobHandler: Debug + Send + Sync + 'static {
    const KIND: JobKind;

    /// The longest that [`run`](Self::run) takes.
    fn longest_run(&self) -> Duration;

    /// Runs a job. What is put back keeps the priority that `job` has then. Once `stop` is cancelled, the handler puts the
    /// job back at once. An error means that nothing was tried: the job comes back when its lease has run out.
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
    pub(super) const fn untried(due_at: Timestamp) -> Self {
        let result = JobResult::PutBack { due_at };
        Self {
            result,
            attempt: None,
        }
    }
}

#[derive(Debug, Clone)]
pub struct WorkerLimits {
    /// Jobs that run at once. More wait in the store.
    pub in_flight: usize,
    /// Jobs that are leased in one step.
    pub batch: usize,
    /// How long a leased job belongs to this instance. A job whose lease was answered after [`STORE_TIMEOUT`] waits as long.
    pub lease: Duration,
    /// How long running jobs may take at shutdown. Then they are cut off and put back.
    pub drain: Duration,
}

#[derive(Debug, thiserror::Error)]
pub enum WorkerLimitsError {
    #[error("at least one job must be able to run")]
    NothingInFlight,
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
    /// `wake` is notified when a job is scheduled that is due at once. Without that it is found within [`IDLE`].
    pub fn new(
        queue: Arc<dyn JobQueue>,
        handler: H,
        limits: WorkerLimits,
        wake: Arc<Notify>,
    ) -> Result<Self, WorkerLimitsError> {
        let WorkerLimits { lease, .. } = limits;
        let longest = handler.longest_run() + STORE_TIMEOUT;
        if limits.in_flight == 0 || limits.batch == 0 {
            return Err(WorkerLimitsError::NothingInFlight);
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
        let cut = CancellationToken::new();
        let mut running = JoinSet::new();
        let mut failures = 0;
        loop {
            while let Some(ended) = running.try_join_next() {
                report_panic::<H>(ended);
            }
            let looked_at = Instant::now();
            // Not cut off by `stop`: leases taken at that moment could not be put back.
            let started = worker.start_due(&mut running, &cut).await;
            let full = running.len() >= worker.limits.in_flight;
            let rest = async {
                match started {
                    Ok(pause) => {
                        failures = 0;
                        tokio::select! {
                            Some(ended) = running.join_next(), if full => report_panic::<H>(ended),
                            () = worker.wake.notified(), if !full => {}
                            () = sleep(pause), if !full => {}
                        }
                    }
                    Err(error) => {
                        let pause = backoff(failures);
                        failures = failures.saturating_add(1);
                        let kind = H::KIND.as_str();
                        tracing::warn!(kind, %error, ?pause, "jobs wait for the store");
                        sleep(pause).await;
                    }
                }
                sleep_until(looked_at + BREATHER).await;
            };
            if stop.run_until_cancelled(rest).await.is_none() {
                break;
            }
        }
        drain::<H>(worker.limits.drain, running, &cut).await;
    }

    /// Starts what is due, as far as there is room. Returns how long there is nothing more to do.
    async fn start_due(
        self: &Arc<Self>,
        running: &mut JoinSet<()>,
        cut: &CancellationToken,
    ) -> Result<Duration, StoreError> {
        let WorkerLimits {
            in_flight,
            batch,
            lease,
            ..
        } = self.limits;
        let room = in_flight.saturating_sub(running.len()).min(batch);
        if room == 0 {
            return Ok(IDLE);
        }
        let queue = &self.queue;
        let lease_ends = Instant::now() + lease;
        let leased = within(queue.lease_due(H::KIND, clock::now(), room, lease)).await?;
        let found = leased.len();
        for job in leased {
            let (worker, cut) = (Arc::clone(self), cut.clone());
            running.spawn(async move { worker.run_job(job, lease_ends, &cut).await });
        }
        if found >= room {
            return Ok(Duration::ZERO);
        }
        let next = within(queue.next_due(H::KIND)).await?;
        let pause = next.map_or(IDLE, |due_at| due_at.since(clock::now()));
        // What is due and cannot be leased is under a lease, or the store's clock is behind.
        Ok(pause.clamp(BREATHER, IDLE))
    }

    async fn run_job(&self, mut job: LeasedJob, lease_ends: Instant, cut: &CancellationToken) {
        match self.handler.run(&mut job, cut).await {
            Ok(end) => self.finish(&job, &end, lease_ends).await,
            Err(error) => {
                tracing::warn!(payment_id = %job.payment_id, kind = H::KIND.as_str(), %error, "a job was not run; it comes back when its lease has run out");
            }
        }
    }

    /// Tries until the end is recorded or the lease is over: a job that is not finished runs again.
    async fn finish(&self, job: &LeasedJob, end: &JobEnd, lease_ends: Instant) {
        let (payment_id, kind) = (job.payment_id.as_str(), H::KIND.as_str());
        for failures in 0.. {
            let finished = self.queue.finish(job, &end.result, end.attempt.as_ref());
            match within(finished).await {
                Ok(true) => {
                    if let JobResult::Retry { due_at } | JobResult::PutBack { due_at } = end.result
                        && due_at.since(clock::now()) < IDLE
                    {
                        self.wake.notify_one();
                    }
                    return;
                }
                Ok(false) => {
                    tracing::warn!(
                        payment_id,
                        kind,
                        "the lease was lost; another instance may run the job again"
                    );
                    return;
                }
                Err(error) => {
                    tracing::warn!(payment_id, kind, %error, "the end of a job cannot be recorded yet");
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
            "the end of a job was not recorded; the job will run again"
        );
    }
}

async fn drain<H: JobHandler>(limit: Duration, mut running: JoinSet<()>, cut: &CancellationToken) {
    if timeout(limit, ended::<H>(&mut running)).await.is_ok() {
        return;
    }
    let kind = H::KIND.as_str();
    tracing::info!(kind, jobs = running.len(), "running jobs are put back");
    cut.cancel();
    if timeout(STORE_TIMEOUT, ended::<H>(&mut running))
        .await
        .is_err()
    {
        let jobs = running.len();
        tracing::warn!(
            kind,
            jobs,
            "jobs were not put back; they come back when their leases have run out"
        );
    }
}

async fn ended<H: JobHandler>(running: &mut JoinSet<()>) {
    while let Some(ended) = running.join_next().await {
        report_panic::<H>(ended);
    }
}

fn report_panic<H: JobHandler>(ended: Result<(), JoinError>) {
    if let Err(error) = ended {
        let kind = H::KIND.as_str();
        tracing::error!(kind, %error, "a job panicked; it runs again when its lease has run out");
    }
}

/// A random time in the upper half of a wait that doubles with each failure, so that instances do not come back together.
fn backoff(failures: u32) -> Duration {
    let pause = BACKOFF.saturating_mul(2u32.saturating_pow(failures));
    (pause.min(IDLE)).mul_f64(0.5 + rand::random::<f64>() / 2.0)
}

/// A store call within [`STORE_TIMEOUT`].
pub(super) async fn within<T>(
    call: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, StoreError> {
    store_call::within(STORE_TIMEOUT, call).await
}

#[cfg(test)]
mod tests;
