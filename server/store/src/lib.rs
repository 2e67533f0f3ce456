//! What is kept, and how a change of it reaches the other instances: the contracts, by role.
//!
//! [`payments`] are read by [`PaymentReader`] and changed by [`PaymentStore`] alone; [`job_queue`] holds timed work;
//! [`idempotency`] remembers merchants' requests; [`poll_lock`] and [`call_pacer`] keep instances from asking Khipu twice or
//! too fast. [`Store`] is all of these, [`Relay`] tells other instances of a change.
//!
//! A method that returns `Ok` has made its effect durable, as far as the store's settings can promise it. A method that returns an
//! error may or may not have had its effect; every operation can safely be repeated. Nothing here knows HTTP, Khipu's
//! field names or watchers. `chasqui-store-suite` tests these contracts on every implementation.

mod call_pacer;
mod error;
mod idempotency;
mod job_queue;
mod payments;
mod poll_lock;
mod relay;
mod timeline;

use async_trait::async_trait;

pub use call_pacer::{CallBucket, CallPacer};
pub use error::StoreError;
pub use idempotency::{
    BeginOutcome, Completion, EXPIRED_PER_BEGIN, IDEMPOTENCY_TERM, IN_PROGRESS_LIMIT,
    IdempotencyKey, IdempotencyStore, IdempotentRequest, StoredResponse,
};
pub use job_queue::{JobAttempt, JobQueue, JobResult, LeasedJob};
pub use payments::{
    BY_TRANSACTION_LIMIT, Outcome, PaymentReader, PaymentStore, StoredNotification,
};
pub use poll_lock::{LONGEST_POLL_LOCK, PollLock};
pub use relay::{Change, Relay, RelayError, RelayListener};
pub use timeline::{TIMELINE_LIMIT, TimelineEntry, TimelineEvent};

/// Every role, which is what an implementation offers.
#[async_trait]
pub trait Store: PaymentStore + JobQueue + IdempotencyStore + PollLock + CallPacer {
    /// Whether the store can be written to now.
    async fn health_check(&self) -> Result<(), StoreError>;
}
