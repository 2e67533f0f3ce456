//! Whether what this instance leans on works, found out by using it.

use std::time::Duration;

use super::Gateway;
use crate::ledger::LedgerError;

/// A part that has not answered after this long does not work, whatever it answers later.
const PATIENCE: Duration = Duration::from_secs(2);

/// By part.
#[derive(Debug, Clone)]
pub struct Health {
    /// Whether it can be written to.
    pub ledger: Result<(), Trouble>,
    /// Whether what is told now would be heard here.
    pub relay: Result<(), Trouble>,
}

#[derive(Debug, Clone)]
pub enum Trouble {
    /// No answer in time.
    Silent,
    /// In its own words, which are for the operator: they may name files and hosts.
    Failing(String),
}

impl Gateway {
    /// Looks at everything at once. Done within two seconds.
    pub async fn health(&self) -> Health {
        let ledger = async {
            self.ledger.ready().await.map_err(|error| match error {
                LedgerError::Unavailable(reason) => reason,
                error @ LedgerError::Foreign => error.to_string(),
            })
        };
        let relay = async { self.relay.ready().await.map_err(|error| error.0) };
        let (ledger, relay) = tokio::join!(in_time(ledger), in_time(relay));
        Health { ledger, relay }
    }
}

async fn in_time(canary: impl Future<Output = Result<(), String>>) -> Result<(), Trouble> {
    match tokio::time::timeout(PATIENCE, canary).await {
        Ok(sang) => sang.map_err(Trouble::Failing),
        Err(_) => Err(Trouble::Silent),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gateway::fixture::Stage;

    #[tokio::test]
    async fn a_part_that_works_says_so() {
        let health = Stage::in_memory().gateway.health().await;
        assert!(health.ledger.is_ok() && health.relay.is_ok(), "{health:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_part_that_keeps_silent_is_not_waited_for() {
        let silent = in_time(std::future::pending()).await;
        assert!(matches!(silent, Err(Trouble::Silent)), "{silent:?}");
    }
}
