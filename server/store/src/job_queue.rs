//! Timed work: a job is due at a time, leased to one holder, and finished or put back.

use std::time::Duration;

use async_trait::async_trait;
use chasqui_payment::{JobKind, JobPriority, PaymentId, Timestamp};

use crate::error::StoreError;

/// Timed work: at a due time each job is leased to one holder, which finishes it or puts it back.
#[async_trait]
pub trait JobQueue: Send + Sync + std::fmt::Debug + 'static {
    /// Takes up to `limit` open jobs of a kind that are due, those of the highest priority first and of these the longest
    /// due (one whose lease ran out may count from that moment), each under a lease that nobody else can take before
    /// `lease` has passed.
    ///
    /// A store that belongs to one process measures by `now`. One that several instances share measures by its store's
    /// clock: of two instances whose own clocks disagree, the one ahead would take what the other still holds.
    async fn lease_due(
        &self,
        kind: JobKind,
        now: Timestamp,
        limit: usize,
        lease: Duration,
    ) -> Result<Vec<LeasedJob>, StoreError>;

    /// When there is something to claim: the earliest moment at which an open job of a kind is due and under no lease
    /// any more; `None` if there is none.
    async fn next_due(&self, kind: JobKind) -> Result<Option<Timestamp>, StoreError>;

    /// Ends a lease and records the attempt, if one is given. What is put back has the priority of `leased`, which its holder
    /// may have changed. A delivery that is `Done` or `Dead` is never scheduled again; a check can be. `false`: the lease was lost meanwhile (it had run out and another holder took the job),
    /// and only the attempt was recorded.
    async fn finish(
        &self,
        leased: &LeasedJob,
        settlement: &JobResult,
        attempt: Option<&JobAttempt>,
    ) -> Result<bool, StoreError>;
}

/// A job in somebody's hands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeasedJob {
    pub kind: JobKind,
    pub payment_id: PaymentId,
    /// How many attempts were made before this one; 0 at first.
    pub attempts: u32,
    pub priority: JobPriority,
    /// Distinguishes this lease from every other of the same job.
    pub token: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JobResult {
    /// Nothing more to do.
    Done,
    /// Not yet: put back, one attempt counted, due then.
    Retry { due_at: Timestamp },
    /// Put back as it was taken, no attempt counted, due then: nothing was tried, or our own stop cut it off.
    PutBack { due_at: Timestamp },
    /// Given up; kept so that it can be looked at and taken up by hand.
    Dead,
}

/// One try of a job, for the timeline. Holds no body and no payer data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobAttempt {
    pub at: Timestamp,
    /// Kept in milliseconds.
    pub duration: Duration,
    /// Short and for people: `200`, `connection refused`.
    pub result: String,
}
