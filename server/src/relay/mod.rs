//! Carries a committed change to whichever instance has somebody watching.
//!
//! The relay promises no history: it tells what happens after a subscription was confirmed. Whoever watches subscribes,
//! waits for the confirmation, and only then reads the ledger; between the two there is no gap to fall into. A change may
//! arrive twice or out of order, which the max-register makes harmless.

mod local;
pub mod redis;
#[cfg(test)]
mod suite;

use async_trait::async_trait;

use crate::payment::{PaymentId, State};

pub use local::LocalRelay;

/// A payment's newest state, as somebody committed it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    pub payment_id: PaymentId,
    pub state: State,
}

/// Where an instance hears of changes. Called on the relay's own task: it must not block.
pub trait Listener: Send + Sync + 'static {
    fn heard(&self, change: Change);

    /// Changes of these may have gone unheard: they must be read again.
    fn missed(&self, ids: Vec<PaymentId>);
}

#[async_trait]
pub trait Relay: Send + Sync + std::fmt::Debug + 'static {
    /// Returns once every change announced from now on, on any instance, will be heard here. Subscriptions are counted:
    /// each that succeeded is given back by one [`unsubscribe`](Self::unsubscribe).
    async fn subscribe(&self, id: &PaymentId) -> Result<(), RelayError>;

    /// Gives back one subscription. Needs no confirmation: a change heard too many is harmless.
    fn unsubscribe(&self, id: &PaymentId);

    /// Tells every subscribed instance, this one included, of a change that is committed.
    async fn announce(&self, change: &Change) -> Result<(), RelayError>;

    /// Whether what is announced would be heard: a canary by way of the real thing.
    async fn ready(&self) -> Result<(), RelayError>;
}

#[derive(Debug, thiserror::Error)]
#[error("the relay is not available: {0}")]
pub struct RelayError(pub String);
