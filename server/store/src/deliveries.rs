//! Deliveries to merchants, as their operators see them and send them again.

use async_trait::async_trait;
use chasqui_payment::{AccountName, DeliveryState, PaymentId, Timestamp, Undelivered};

use crate::error::StoreError;

/// Reads deliveries, and reopens them.
#[async_trait]
pub trait Deliveries: Send + Sync + std::fmt::Debug + 'static {
    /// The payment's delivery; `None` if it has none.
    async fn delivery(&self, id: &PaymentId) -> Result<Option<Delivery>, StoreError>;

    /// The account's deliveries in a state, the first scheduled first, at most `limit`: those that were scheduled after
    /// that of the payment `after`, whose delivery may have left the state. `None`: `after` has no delivery, or is another
    /// account's.
    ///
    /// A delivery keeps its place for good, so that one that enters the state during a reading may come before the page that
    /// is read next.
    async fn undelivered(
        &self,
        account: &AccountName,
        state: Undelivered,
        after: Option<&PaymentId>,
        limit: usize,
    ) -> Result<Option<Vec<ListedDelivery>>, StoreError>;

    /// Makes the delivery of a confirmed payment due `at` that time, in one atomic step with its entry in the timeline: one
    /// that is done or dead, or that was never scheduled. Its attempts count from 0 again, for the schedule and in the
    /// timeline. A payment of another account: `Err(WrongAccount)`. A repetition finds the delivery open.
    async fn redeliver(
        &self,
        account: &AccountName,
        id: &PaymentId,
        at: Timestamp,
    ) -> Result<Redelivery, StoreError>;
}

/// Whether a delivery was reopened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Redelivery {
    Reopened,
    /// It is open: an attempt is under way or planned.
    AlreadyOpen,
    /// The payment's status is not `confirmed`: there is nothing to deliver.
    NotConfirmed,
    UnknownPayment,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    pub state: DeliveryState,
    /// The attempts that count: those since it was scheduled or reopened, without interrupted ones.
    pub attempts: u32,
    /// When the next attempt is due; a time that is past while one is under way. `None`: it is not open.
    pub next_at: Option<Timestamp>,
    /// `None`: none was made.
    pub last: Option<LastAttempt>,
}

/// The newest attempt of a delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LastAttempt {
    pub at: Timestamp,
    /// As in [`JobAttempt`](crate::JobAttempt).
    pub result: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedDelivery {
    pub payment_id: PaymentId,
    pub delivery: Delivery,
}
