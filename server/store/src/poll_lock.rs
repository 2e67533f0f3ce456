//! One poll of a payment at a time, by all instances together.

use std::time::Duration;

use async_trait::async_trait;
use chasqui_payment::{PaymentId, Timestamp};

use crate::error::StoreError;

/// The longest interval between polls of a payment.
pub const LONGEST_POLL_LOCK: Duration = Duration::from_secs(10 * 60);

/// Keeps instances from asking Khipu about one payment at the same time.
#[async_trait]
pub trait PollLock: Send + Sync + std::fmt::Debug + 'static {
    /// Returns `true`, and takes the lock, if no call took it within `min_interval`, which is at most
    /// [`LONGEST_POLL_LOCK`]. Of concurrent calls exactly one takes it. The payment need not be known. Time is measured as
    /// in [`JobQueue::lease_due`](crate::JobQueue::lease_due).
    async fn try_lock_poll(
        &self,
        id: &PaymentId,
        now: Timestamp,
        min_interval: Duration,
    ) -> Result<bool, StoreError>;
}
