//! Changes of status that are yet to be sent to merchants.

use async_trait::async_trait;
use chasqui_payment::{PaymentId, PaymentState};

use crate::error::StoreError;

/// The changes of each payment that its `Events` job has to send. [`observe`](crate::PaymentStore::observe) adds them, and
/// [`finish`](crate::JobQueue::finish) removes the one that was sent.
#[async_trait]
pub trait StatusEvents: Send + Sync + std::fmt::Debug + 'static {
    /// The state after the payment's oldest change that is not sent; `None` if all are, or the payment is unknown.
    async fn next_event(&self, id: &PaymentId) -> Result<Option<PaymentState>, StoreError>;
}
