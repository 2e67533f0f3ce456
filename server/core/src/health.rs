//! Whether the store and the relay work, found out by using them.

use std::time::Duration;

use chasqui_store::StoreError;

use crate::payments::Payments;

const HEALTH_TIMEOUT: Duration = Duration::from_secs(2);

#[derive(Debug, Clone)]
pub struct Health {
    /// Whether the store accepts writes.
    pub store: Result<(), HealthError>,
    /// Whether a change that is published now reaches this instance.
    pub relay: Result<(), HealthError>,
}

#[derive(Debug, Clone)]
pub enum HealthError {
    TimedOut,
    /// For the operator only: the text may name files and hosts.
    Failed(String),
}

impl Payments {
    /// Checks both at once, within two seconds.
    pub async fn health(&self) -> Health {
        let store = async {
            let checked = self.store.health_check().await;
            checked.map_err(|error| match error {
                StoreError::Unavailable(reason) => reason,
                error @ StoreError::WrongAccount => error.to_string(),
            })
        };
        let relay = async { self.relay.health_check().await.map_err(|error| error.0) };
        let (store, relay) = tokio::join!(in_time(store), in_time(relay));
        Health { store, relay }
    }
}

async fn in_time(check: impl Future<Output = Result<(), String>>) -> Result<(), HealthError> {
    match tokio::time::timeout(HEALTH_TIMEOUT, check).await {
        Ok(checked) => checked.map_err(HealthError::Failed),
        Err(_) => Err(HealthError::TimedOut),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::fixture::Stage;

    #[tokio::test]
    async fn a_part_that_works_is_healthy() {
        let health = Stage::in_memory().payments.health().await;
        assert!(health.store.is_ok() && health.relay.is_ok(), "{health:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_part_that_does_not_answer_times_out() {
        let health = in_time(std::future::pending()).await;
        assert!(matches!(health, Err(HealthError::TimedOut)), "{health:?}");
    }
}
