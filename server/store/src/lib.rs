//! What is stored, as a trait for each role, and the relay that carries a change to other instances.
//!
//! [`PaymentReader`] reads payments, [`PaymentIndex`] leads to them, [`Timeline`] has their history, and [`PaymentStore`] alone
//! changes them, [`PayerData`] apart; [`JobQueue`] holds timed work, [`Deliveries`] shows and reopens the deliveries in it, and [`StatusEvents`] has the changes
//! that are to be sent;
//! [`IdempotencyStore`] remembers merchants' requests; [`PollLock`] and [`CallPacer`] keep instances from asking Khipu twice
//! or too fast. [`Store`] is all of these.
//!
//! An `Ok` means that the effect is durable, as far as the store's settings allow. After an error the effect may or may not
//! have happened; every operation can safely be repeated. Nothing here knows HTTP, Khipu's field names or watchers.
//! `chasqui-store-suite` tests these contracts on every implementation.

mod call_pacer;
mod deliveries;
mod error;
mod idempotency;
mod job_queue;
mod payer_data;
mod payments;
mod poll_lock;
mod relay;
mod status_events;
mod timeline;

use async_trait::async_trait;
pub use call_pacer::{CallBucket, CallPacer};
pub use deliveries::{Deliveries, Delivery, LastAttempt, ListedDelivery, Redelivery};
pub use error::StoreError;
pub use idempotency::{
    BeginOutcome, Completion, EXPIRED_PER_BEGIN, IDEMPOTENCY_TERM, IN_PROGRESS_LIMIT,
    IdempotencyKey, IdempotencyStore, IdempotentRequest, StoredResponse,
};
pub use job_queue::{JobAttempt, JobQueue, JobResult, LeasedJob};
pub use payer_data::{Erasure, PayerData};
pub use payments::{
    BY_TRANSACTION_LIMIT, ChangeCursor, ChangedPayment, Outcome, PaymentIndex, PaymentReader,
    PaymentStore, StoredNotification,
};
pub use poll_lock::{LONGEST_POLL_LOCK, PollLock};
pub use relay::{Change, Relay, RelayError, RelayListener};
pub use status_events::StatusEvents;
pub use timeline::{TIMELINE_LIMIT, Timeline, TimelineEntry, TimelineEvent, VISITS_LIMIT, Visit};

/// Every role: what an implementation offers.
#[async_trait]
pub trait Store:
    PaymentStore
    + PaymentIndex
    + Timeline
    + JobQueue
    + Deliveries
    + StatusEvents
    + PayerData
    + IdempotencyStore
    + PollLock
    + CallPacer
{
    /// Whether the store can be written to now.
    async fn health_check(&self) -> Result<(), StoreError>;
}
