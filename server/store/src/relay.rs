//! Carries a committed change to the instances with watchers of its payment.
//!
//! The relay keeps no history: it reports what happens after a subscription is confirmed. A watcher subscribes, waits for
//! the confirmation and then reads the store, so that no change is lost in between. A change may arrive twice or out of
//! order, which a version that only rises makes harmless.

use async_trait::async_trait;
use chasqui_payment::{PaymentId, PaymentState};

/// A payment's state after a committed change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    pub payment_id: PaymentId,
    pub state: PaymentState,
}

/// Receives changes. Called on the relay's own task: it must not block.
pub trait RelayListener: Send + Sync + 'static {
    fn changed(&self, change: Change);

    /// Changes of these payments may have been lost while the relay was disconnected: they must be read again. Called once
    /// it is connected, so that later changes arrive.
    fn missed(&self, ids: Vec<PaymentId>);
}

/// Carries changes between instances.
#[async_trait]
pub trait Relay: Send + Sync + std::fmt::Debug + 'static {
    /// Returns once every later change, on any instance, reaches the listener or is reported as missed. Subscriptions are
    /// counted: each needs one [`unsubscribe`](Self::unsubscribe).
    async fn subscribe(&self, id: &PaymentId) -> Result<(), RelayError>;

    /// Ends one subscription. Needs no confirmation: a further change is harmless.
    fn unsubscribe(&self, id: &PaymentId);

    /// Reports a committed change. A store that instances share publishes a change in the step that commits it, so that a
    /// crash cannot separate them; there this reports only to this instance's own listener, at once.
    async fn publish(&self, change: &Change) -> Result<(), RelayError>;

    /// Whether a change published now would arrive here: a test message takes the whole way.
    async fn health_check(&self) -> Result<(), RelayError>;
}

#[derive(Debug, thiserror::Error)]
#[error("the relay is not available: {0}")]
pub struct RelayError(pub String);
