//! The relay of an installation with one instance: what is announced is heard here, at once.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;

use super::{Change, Listener, Relay, RelayError};
use crate::payment::PaymentId;

#[derive(Clone)]
pub struct LocalRelay {
    listener: Arc<dyn Listener>,
}

impl LocalRelay {
    pub fn new(listener: Arc<dyn Listener>) -> Self {
        Self { listener }
    }
}

impl fmt::Debug for LocalRelay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalRelay").finish_non_exhaustive()
    }
}

#[async_trait]
impl Relay for LocalRelay {
    /// Every change is heard here anyway.
    async fn subscribe(&self, _id: &PaymentId) -> Result<(), RelayError> {
        Ok(())
    }

    fn unsubscribe(&self, _id: &PaymentId) {}

    async fn announce(&self, change: &Change) -> Result<(), RelayError> {
        self.listener.heard(change.clone());
        Ok(())
    }

    async fn ready(&self) -> Result<(), RelayError> {
        Ok(())
    }
}
