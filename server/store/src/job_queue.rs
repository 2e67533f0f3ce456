//! Timed work.

use std::time::Duration;

use async_trait::async_trait;
use chasqui_payment::{JobKind, JobPriority, PaymentId, Timestamp};

use crate::error::StoreError;

/// Jobs: each is leased to one holder once it is due, and finished or put back.
#[async_trait]
pub trait JobQueue: Send + Sync + std::fmt::Debug + 'static {
    /// Leases up to `limit` due jobs of a kind for `lease`: the highest priority first, then the longest due (a job whose
    /// lease ran out may count from that moment).
    ///
    /// A store of one process measures time by `now`. A store that instances share measures by its own clock: an instance
    /// whose clock is ahead would otherwise take jobs that another still holds.
    async fn lease_due(
        &self,
        kind: JobKind,
        now: Timestamp,
        limit: usize,
        lease: Duration,
    ) -> Result<Vec<LeasedJob>, StoreError>;

    /// The earliest time at which a job of a kind is due and not leased; `None` if there is no open job.
    async fn next_due(&self, kind: JobKind) -> Result<Option<Timestamp>, StoreError>;

    /// Ends a lease, and records the attempt if there is one. A job that is put back has the priority of `leased`, which the
    /// holder may change. A delivery that is `Done` or `Dead` is never scheduled again, only
    /// [reopened](crate::Deliveries::redeliver); other jobs can be. `Done` removes
    /// the oldest change of an `Events` job, which is due again at once while there are more. `false`: the lease
    /// had run out and another holder took the job, so that only the attempt was recorded.
    async fn finish(
        &self,
        leased: &LeasedJob,
        result: &JobResult,
        attempt: Option<&JobAttempt>,
    ) -> Result<bool, StoreError>;
}

/// A job and its lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeasedJob {
    pub kind: JobKind,
    pub payment_id: PaymentId,
    /// The attempts before this one.
    pub attempts: u32,
    pub priority: JobPriority,
    /// Distinguishes this lease from others of the same job.
    pub token: u64,
}

/// How a lease ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JobResult {
    /// Nothing more to do.
    Done,
    /// Put back, one attempt counted.
    Retry { due_at: Timestamp },
    /// Put back, no attempt counted: nothing was tried, or a shutdown interrupted it.
    PutBack { due_at: Timestamp },
    /// Given up; kept for inspection.
    Dead,
}

/// An attempt of a job, for the timeline. Holds no body and no payer data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobAttempt {
    pub at: Timestamp,
    /// Stored in milliseconds.
    pub duration: Duration,
    /// Short: `200`, `connection refused`.
    pub result: String,
}
