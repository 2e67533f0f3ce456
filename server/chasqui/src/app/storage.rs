//! Opens what `storage.url` names: a store, and the relay that goes with it.

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use chasqui_redis_topology::{CallError, RedisClient};
use chasqui_store::{Relay, RelayListener, Store};
use chasqui_store_redis::preflight::{self, PreflightFinding};
use chasqui_store_redis::{RedisRelay, RedisStore, Retention};
use chasqui_store_sqlite::{DatabaseLocation, LocalRelay, SqliteStore};
use futures_util::future::BoxFuture;
use tokio::time::{Instant, sleep};

use super::error::AppError;
use crate::config::{RedisConfig, StorageConfig};

/// How long the start waits for a Redis: one that starts at the same time takes a moment; a missing one must fail the start.
const START_TIMEOUT: Duration = Duration::from_secs(30);

/// The pause between two attempts to open a Redis.
const OPEN_RETRY_PAUSE: Duration = Duration::from_secs(1);

/// A store, and how its changes reach other instances.
pub(crate) struct Opened {
    pub(crate) store: Arc<dyn Store>,
    /// Ready, with the reason, when the store will not work again in this process.
    pub(super) failed: BoxFuture<'static, String>,
    redis: Option<Arc<RedisClient>>,
}

impl Opened {
    pub(crate) fn relay(&self, listener: Arc<dyn RelayListener>) -> Arc<dyn Relay> {
        match &self.redis {
            None => Arc::new(LocalRelay::new(listener)),
            Some(redis) => Arc::new(RedisRelay::new(Arc::clone(redis), listener)),
        }
    }
}

/// Waits up to [`START_TIMEOUT`] for a Redis that is not reachable yet.
pub(super) async fn open(storage: &StorageConfig) -> Result<Opened, AppError> {
    let deadline = Instant::now() + START_TIMEOUT;
    loop {
        match open_now(storage).await {
            Ok((opened, findings)) => {
                for finding in findings {
                    tracing::warn!("{}", finding.text);
                }
                return Ok(opened);
            }
            Err(AppError::Redis(why)) if Instant::now() + OPEN_RETRY_PAUSE < deadline => {
                tracing::info!(reason = why, "waiting for redis");
                sleep(OPEN_RETRY_PAUSE).await;
            }
            Err(error) => return Err(error),
        }
    }
}

/// Opens the store without waiting for it. Also returns what the preflight found.
pub(crate) async fn open_now(
    storage: &StorageConfig,
) -> Result<(Opened, Vec<PreflightFinding>), AppError> {
    let config = match storage {
        StorageConfig::Memory => return Ok((sqlite(&DatabaseLocation::Memory)?, Vec::new())),
        StorageConfig::File(path) => {
            return Ok((sqlite(&DatabaseLocation::File(path.clone()))?, Vec::new()));
        }
        StorageConfig::Redis(config) => config,
    };
    try_open(config).await
}

/// Opens a Redis without waiting for it. `AppError::Redis` may pass; any other error does not.
async fn try_open(config: &RedisConfig) -> Result<(Opened, Vec<PreflightFinding>), AppError> {
    let unreachable = |failure: CallError| AppError::Redis(failure.0);
    let redis = RedisClient::open(&config.settings)
        .await
        .map_err(unreachable)?;
    let findings = preflight::examine(&redis, config.accept_data_loss)
        .await
        .map_err(unreachable)?;
    reject_fatal(&findings)?;
    let retention = Retention {
        payments: config.retention,
        notification_bytes: config.raw_retention,
    };
    let store = RedisStore::open(Arc::clone(&redis), retention)
        .await
        .map_err(|error| AppError::Redis(error.to_string()))?;
    let opened = Opened {
        store: Arc::new(store),
        // A Redis may come back at any time.
        failed: Box::pin(pending()),
        redis: Some(redis),
    };
    Ok((opened, findings))
}

fn reject_fatal(findings: &[PreflightFinding]) -> Result<(), AppError> {
    let fatal: Vec<&str> = findings
        .iter()
        .filter(|finding| finding.is_fatal)
        .map(|finding| finding.text.as_str())
        .collect();
    match fatal.is_empty() {
        true => Ok(()),
        false => Err(AppError::Unfit(fatal.join("\n"))),
    }
}

pub(super) fn sqlite(location: &DatabaseLocation) -> Result<Opened, AppError> {
    let store = SqliteStore::open(location, &Default::default()).map_err(AppError::Store)?;
    Ok(Opened {
        failed: Box::pin(store.failed()),
        store: Arc::new(store),
        redis: None,
    })
}
