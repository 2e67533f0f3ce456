//! Durable state and the agenda: what survives a crash.
//!
//! A method that returns `Ok` has made its effect durable, as far as the store's settings can promise it. A method that
//! returns an error may or may not have had its effect; every operation can safely be repeated. The store knows nothing
//! of HTTP, of Khipu's field names or of watchers. The contract below is tested by one suite, [`suite`], that runs on
//! every implementation.

mod call_bucket;
mod idempotency;
pub mod redis;
pub mod sqlite;
#[cfg(test)]
mod suite;

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

use crate::payment::{
    AccountName, Intent, JobKind, Observation, Payment, PaymentId, PaymentReference, PaymentState,
    Priority, Source, Timestamp, Verdict, Version,
};

pub use call_bucket::Bucket;
pub use idempotency::{
    BeginOutcome, Completion, EXPIRED_PER_BEGIN, IDEMPOTENCY_TERM, IN_PROGRESS_LIMIT,
    IdempotencyKey, IdempotentRequest, StoredResponse,
};

/// What is known of payments. Whatever only reads takes this role.
#[async_trait]
pub trait PaymentReader: Send + Sync + std::fmt::Debug + 'static {
    async fn intent(&self, reference: &PaymentReference) -> Result<Option<Intent>, StoreError>;

    async fn payment(&self, id: &PaymentId) -> Result<Option<Payment>, StoreError>;

    /// The states of many payments, in the order asked; `None` for one that is unknown.
    async fn states(&self, ids: &[PaymentId]) -> Result<Vec<Option<PaymentState>>, StoreError>;

    /// The payments of an account that its merchant gave this transaction id, the newest first, at most
    /// [`BY_TRANSACTION_LIMIT`] of them.
    async fn by_transaction(
        &self,
        account: &AccountName,
        transaction_id: &str,
    ) -> Result<Vec<PaymentId>, StoreError>;

    /// What the payment's merchant may be sent: the first notification with verdict `Agrees`; failing that the first whose
    /// verdict is `Stale` or `UnknownPayment`, which the caller must compare with the payment's terms.
    async fn notification(&self, id: &PaymentId) -> Result<Option<StoredNotification>, StoreError>;

    /// Everything recorded about the payment, oldest first (of one moment: in the order recorded), at most
    /// [`TIMELINE_LIMIT`] entries (the oldest; a store may record no more than those that came first).
    async fn timeline(&self, id: &PaymentId) -> Result<Vec<TimelineEntry>, StoreError>;
}

/// Changes payments. Only the use cases that learn something of a payment hold this role.
#[async_trait]
pub trait PaymentStore: PaymentReader {
    /// Keeps what is needed to adopt a payment, before Khipu is asked to make it. Repeating it with the same reference
    /// changes nothing. A reference of another account is left alone: `Err(WrongAccount)`.
    async fn save_intent(&self, intent: &Intent) -> Result<(), StoreError>;

    /// Records a payment and binds its reference's intent to it. Where something is known of the payment already (a
    /// notification came first) what was unknown is filled in (terms, URLs, reference, dates) and what is known stays;
    /// of two dates of creation the earlier stays; of two states the higher. The first time, unless it is confirmed or
    /// reversed, its first check is scheduled in the same step ([`Payment::first_check_at`]). A payment or an intent of
    /// another account is left alone: `Err(WrongAccount)`; but a record without terms owns nothing, and gives way with all that
    /// was kept of it.
    async fn create(&self, payment: &Payment) -> Result<Outcome, StoreError>;

    /// Applies an observation in one atomic step: the update by the rules of [`PaymentState::updated`], the notification and the
    /// record of it all kept, the jobs scheduled. A payment that is not known is begun as pending, with no terms. One
    /// of another account is left alone: `Err(WrongAccount)`.
    ///
    /// A notification whose bytes are known already is counted, not kept again, and an update that it repeats to no effect
    /// is not recorded again; its verdict becomes `Agrees` if either was, with the signature of the first that agreed. An
    /// update that changes nothing and comes without a notification leaves no record.
    ///
    /// Jobs: one of kind `Delivery` is scheduled only if the payment stands at confirmed afterwards, and at most
    /// once a payment, ever. Scheduling one that is open brings it forward if it has not been attempted, and never puts
    /// it off. A `Check` that is scheduled is due at the earlier of the asked time and the planned one, and begins again:
    /// no attempt counts any more. One that is scheduled while another is under a lease is not lost: it is due, as a new
    /// one, when that lease ends; `Retry` and `PutBack` put it back for the earlier of their time and the asked one. Of two
    /// priorities the higher counts. An observation that confirms or reverses the payment ends its checks, one under a
    /// lease excepted: what it schedules itself with [`Priority::CrossCheck`] takes their place. A payment that is
    /// confirmed or reversed gets no other check.
    async fn observe(
        &self,
        id: &PaymentId,
        observation: &Observation,
    ) -> Result<Outcome, StoreError>;
}

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

/// Remembers requests that may come twice.
#[async_trait]
pub trait IdempotencyStore: Send + Sync + std::fmt::Debug + 'static {
    /// Takes an idempotency key for a request, in one atomic step: of any that begin at once exactly one is `Fresh`.
    /// The same arrival stays `Fresh` until it is finished, so that it can be repeated after an error. Another request
    /// under a key that is taken is `OtherBody`, whatever became of the first. One that is under way for
    /// [`IN_PROGRESS_LIMIT`] is `Unknown`. [`IDEMPOTENCY_TERM`] after it began a key is free again; where the
    /// store does not clear such records away itself, up to [`EXPIRED_PER_BEGIN`] are removed whenever one is made.
    async fn begin(&self, request: &IdempotentRequest) -> Result<BeginOutcome, StoreError>;

    /// Records what became of a request that was `Fresh`. The first end stands; an arrival that does not hold the key
    /// (it never did, or it let it go or came to its end before) changes nothing. Late is not too late: an answer is
    /// kept even if others were told `Unknown` meanwhile.
    async fn complete(
        &self,
        request: &IdempotentRequest,
        finished: &Completion,
    ) -> Result<(), StoreError>;
}

/// Keeps instances from asking Khipu about one payment at the same time.
#[async_trait]
pub trait PollLock: Send + Sync + std::fmt::Debug + 'static {
    /// Whether Khipu may be asked about the payment now: `true`, and remembered, if nobody took a turn for it within
    /// `gap`. Of many at once exactly one gets it. The payment need not be known. A gap beyond [`LONGEST_POLL_LOCK`] counts as
    /// that; a turn is forgotten when the store is. Time is measured as in [`claim`](Self::claim).
    async fn try_lock_poll(
        &self,
        id: &PaymentId,
        now: Timestamp,
        gap: Duration,
    ) -> Result<bool, StoreError>;
}

/// The pace of calls to Khipu, one for all instances that share the store.
#[async_trait]
pub trait CallPacer: Send + Sync + std::fmt::Debug + 'static {
    /// Reserves the next slot for a question to Khipu in the account's name, and says how long to wait for it: `per_second`
    /// of them, evenly spread, after the burst that an idle second earns ([`Bucket`]). Of a store that several instances
    /// share it is one bucket for all of them. It is forgotten when the store is. Time is measured as in
    /// [`claim`](Self::claim).
    async fn reserve_call(
        &self,
        account: &AccountName,
        now: Timestamp,
        per_second: u32,
    ) -> Result<Duration, StoreError>;

    /// Khipu asked for a pause: no slot of the account that is reserved from now on comes before it is over.
    async fn pause_calls(
        &self,
        account: &AccountName,
        now: Timestamp,
        pause: Duration,
    ) -> Result<(), StoreError>;
}

/// Every role, which is what an implementation offers.
#[async_trait]
pub trait Store: PaymentStore + JobQueue + IdempotencyStore + PollLock + CallPacer {
    /// Whether the store can be written to now.
    async fn health_check(&self) -> Result<(), StoreError>;
}

/// The most entries that a timeline shows.
pub const TIMELINE_LIMIT: usize = 1000;

/// The most payments that one transaction id leads to. A merchant makes a new one each time a payer tries again, so a few
/// are usual; whoever gives all payments one id gets the newest.
pub const BY_TRANSACTION_LIMIT: usize = 100;

/// How long a turn is remembered. Nobody spaces questions about a payment wider than this.
pub const LONGEST_POLL_LOCK: Duration = Duration::from_secs(10 * 60);

/// What became of an observation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outcome {
    /// `None`: the payment was not known.
    pub before: Option<PaymentState>,
    pub after: PaymentState,
}

impl Outcome {
    /// Whether watchers have something new to see.
    pub fn changed(&self) -> bool {
        self.before
            .is_none_or(|before| before.version != self.after.version)
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredNotification {
    pub body: Bytes,
    /// The `x-khipu-signature` header as it came.
    pub signature: String,
    pub verdict: Verdict,
    pub received_at: Timestamp,
}

/// A job in somebody's hands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeasedJob {
    pub kind: JobKind,
    pub payment_id: PaymentId,
    /// How many attempts were made before this one; 0 at first.
    pub attempts: u32,
    pub priority: Priority,
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

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TimelineEntry {
    pub at: Timestamp,
    pub event: TimelineEvent,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TimelineEvent {
    Created,
    /// An update was asked for; `accepted` if it changed the status.
    Observed {
        source: Source,
        version: Version,
        accepted: bool,
    },
    /// A notification was kept (its first arrival; `copies` counts all).
    Notified {
        verdict: Verdict,
        copies: u32,
    },
    Attempted {
        kind: JobKind,
        number: u32,
        result: String,
        duration: Duration,
    },
}

#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// The payment or reference belongs to another account.
    #[error("it belongs to another account")]
    WrongAccount,
    /// The store is away, full, too slow or damaged; the text says which.
    #[error("the store is not available: {0}")]
    Unavailable(String),
}
