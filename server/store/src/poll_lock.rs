//! One question about a payment at a time, however many instances watch it.

use std::time::Duration;

use async_trait::async_trait;
use chasqui_payment::{PaymentId, Timestamp};

use crate::error::StoreError;

/// How long a turn is remembered. Nobody spaces questions about a payment wider than this.
pub const LONGEST_POLL_LOCK: Duration = Duration::from_secs(10 * 60);

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
