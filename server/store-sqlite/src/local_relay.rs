//! The relay of an installation with one instance: a published change reaches its listener at once.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use chasqui_payment::PaymentId;
use chasqui_store::{Change, Relay, RelayError, RelayListener};

#[derive(Clone)]
pub struct LocalRelay {
    listener: Arc<dyn RelayListener>,
}

impl LocalRelay {
    pub fn new(listener: Arc<dyn RelayListener>) -> Self {
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
    /// Every change reaches the listener anyway.
    async fn subscribe(&self, _id: &PaymentId) -> Result<(), RelayError> {
        Ok(())
    }

    fn unsubscribe(&self, _id: &PaymentId) {}

    async fn publish(&self, change: &Change) -> Result<(), RelayError> {
        self.listener.changed(change.clone());
        Ok(())
    }

    /// There is no connection that could be lost.
    async fn health_check(&self) -> Result<(), RelayError> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use chasqui_store_suite::relay::{self, Deployment, Instance};
    use chasqui_store_suite::relay_suite;

    use super::*;

    fn one_instance() -> Deployment {
        let (listener, received) = relay::listener();
        let relay: Arc<dyn Relay> = Arc::new(LocalRelay::new(listener));
        let publishing = Arc::clone(&relay);
        let commit = move |change: Change| -> futures_util::future::BoxFuture<'static, ()> {
            let relay = Arc::clone(&publishing);
            Box::pin(async move { relay.publish(&change).await.expect("announced") })
        };
        Deployment {
            instances: vec![Instance {
                relay,
                received,
                commit: Box::new(commit),
            }],
            backend: Box::new(()),
        }
    }

    relay_suite!(local, async { one_instance() });
}
