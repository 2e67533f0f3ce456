//! Whether what this instance leans on works, found out by using it.

use std::time::Duration;

use chasqui_store::StoreError;

use crate::payments::Payments;

/// A part that has not answered after this long does not work, whatever it answers later.
const TIMEOUT: Duration = Duration::from_secs(2);

/// By part.
#[derive(Debug, Clone)]
pub struct Health {
    /// Whether it can be written to.
    pub store: Result<(), HealthError>,
    /// Whether what is told now would be heard here.
    pub relay: Result<(), HealthError>,
}

#[derive(Debug, Clone)]
pub enum HealthError {
    /// No answer in time.
    Silent,
    /// In its own words, which are for the operator: they may name files and hosts.
    Failing(String),
}

impl Payments {
    /// Looks at everything at once. Done within two seconds.
    pub async fn health(&self) -> Health {
        let store = async {
            self.store
                .health_check()
                .await
                .map_err(|error| match error {
                    StoreError::Unavailable(reason) => reason,
                    error @ StoreError::WrongAccount => error.to_string(),
                })
        };
        let relay = async { self.relay.health_check().await.map_err(|error| error.0) };
        let (store, relay) = tokio::join!(in_time(store), in_time(relay));
        Health { store, relay }
    }
}

async fn in_time(canary: impl Future<Output = Result<(), String>>) -> Result<(), HealthError> {
    match tokio::time::timeout(TIMEOUT, canary).await {
        Ok(sang) => sang.map_err(HealthError::Failing),
        Err(_) => Err(HealthError::Silent),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::fixture::Stage;

    #[tokio::test]
    async fn a_part_that_works_says_so() {
        let health = Stage::in_memory().payments.health().await;
        assert!(health.store.is_ok() && health.relay.is_ok(), "{health:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_part_that_keeps_silent_is_not_waited_for() {
        let silent = in_time(std::future::pending()).await;
        assert!(matches!(silent, Err(HealthError::Silent)), "{silent:?}");
    }
}
