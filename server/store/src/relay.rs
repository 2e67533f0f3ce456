//! Carries a committed change to whichever instance has somebody watching.
//!
//! The relay promises no history: it tells what happens after a subscription was confirmed. Whoever watches subscribes,
//! waits for the confirmation, and only then reads the store; between the two there is no gap to fall into. A change may
//! arrive twice or out of order, which the max-register makes harmless.

use async_trait::async_trait;

use chasqui_payment::{PaymentId, PaymentState};

/// A payment's newest state, as somebody committed it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    pub payment_id: PaymentId,
    pub state: PaymentState,
}

/// Where an instance hears of changes. Called on the relay's own task: it must not block.
pub trait RelayListener: Send + Sync + 'static {
    fn changed(&self, change: Change);

    /// Changes of these may have gone unheard, because the relay was cut off for a while: they must be read again.
    /// Called when the relay hears again, so that what is read then is followed by whatever comes later.
    fn missed(&self, ids: Vec<PaymentId>);
}

#[async_trait]
pub trait Relay: Send + Sync + std::fmt::Debug + 'static {
    /// Returns once every change told from now on, on any instance, will be heard here or counted as missed.
    /// Subscriptions are counted: each that succeeded is given back by one [`unsubscribe`](Self::unsubscribe).
    async fn subscribe(&self, id: &PaymentId) -> Result<(), RelayError>;

    /// Gives back one subscription. Needs no confirmation: a change heard too many is harmless.
    fn unsubscribe(&self, id: &PaymentId);

    /// Tells of a change that is committed. A store that several instances share publishes a change in the same step as
    /// it commits it, so that no crash can come between; on such a relay this tells only this instance's own listener,
    /// at once, and the echo that follows is harmless.
    async fn publish(&self, change: &Change) -> Result<(), RelayError>;

    /// Whether what is told now would be heard here: a canary that goes the whole way.
    async fn health_check(&self) -> Result<(), RelayError>;
}

#[derive(Debug, thiserror::Error)]
#[error("the relay is not available: {0}")]
pub struct RelayError(pub String);
