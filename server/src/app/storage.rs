//! Opens what `storage.url` names: a ledger, and the relay that goes with it.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::AppError;
use crate::config::Storage;
use crate::ledger::Ledger;
use crate::ledger::redis::RedisLedger;
use crate::ledger::sqlite::{Location, SqliteLedger};
use crate::redis::condition::{self, Finding};
use crate::redis::{Failure, Redis, Settings};
use crate::relay::redis::RedisRelay;
use crate::relay::{Listener, LocalRelay, Relay};

/// How long a Redis is waited for at start: one that starts beside us takes a moment, and one that is not there is better
/// told to whoever started us than waited for in silence.
const START_PATIENCE: Duration = Duration::from_secs(30);

/// Between two attempts to reach it.
const TRY_AGAIN: Duration = Duration::from_secs(1);

/// A ledger, and how its changes reach other instances.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) ledger: Arc<dyn Ledger>,
    redis: Option<Arc<Redis>>,
}

impl Opened {
    pub(crate) fn relay(&self, listener: Arc<dyn Listener>) -> Arc<dyn Relay> {
        match &self.redis {
            None => Arc::new(LocalRelay::new(listener)),
            Some(redis) => Arc::new(RedisRelay::new(Arc::clone(redis), listener)),
        }
    }
}

/// Waits a while for a Redis that is not there yet.
pub(super) async fn open(storage: &Storage) -> Result<Opened, AppError> {
    let settings = match storage {
        Storage::Memory => return sqlite(&Location::Memory),
        Storage::File(path) => return sqlite(&Location::File(path.clone())),
        Storage::Redis(settings) => settings,
    };
    let deadline = Instant::now() + START_PATIENCE;
    let (redis, findings) = loop {
        match reach(settings).await {
            Ok(reached) => break reached,
            Err(failure) if Instant::now() + TRY_AGAIN >= deadline => {
                return Err(AppError::Redis(failure.0));
            }
            Err(failure) => {
                tracing::warn!(why = %failure, "waiting for redis");
                sleep(TRY_AGAIN).await;
            }
        }
    };
    for finding in findings.iter().filter(|finding| !finding.is_fatal) {
        tracing::warn!("{}", finding.text);
    }
    refuse(&findings)?;
    on_redis(redis, settings).await
}

/// Once, without waiting: for whoever only wants to know. What is not as it should be comes beside it.
pub(crate) async fn open_now(storage: &Storage) -> Result<(Opened, Vec<Finding>), AppError> {
    let settings = match storage {
        Storage::Memory => return Ok((sqlite(&Location::Memory)?, Vec::new())),
        Storage::File(path) => return Ok((sqlite(&Location::File(path.clone()))?, Vec::new())),
        Storage::Redis(settings) => settings,
    };
    let (redis, findings) = reach(settings)
        .await
        .map_err(|failure| AppError::Redis(failure.0))?;
    refuse(&findings)?;
    Ok((on_redis(redis, settings).await?, findings))
}

async fn reach(settings: &Settings) -> Result<(Arc<Redis>, Vec<Finding>), Failure> {
    let redis = Redis::open(settings).await?;
    let findings = condition::examine(&redis).await?;
    Ok((redis, findings))
}

fn refuse(findings: &[Finding]) -> Result<(), AppError> {
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

async fn on_redis(redis: Arc<Redis>, settings: &Settings) -> Result<Opened, AppError> {
    let ledger = RedisLedger::open(Arc::clone(&redis), settings)
        .await
        .map_err(AppError::Ledger)?;
    Ok(Opened {
        ledger: Arc::new(ledger),
        redis: Some(redis),
    })
}

fn sqlite(location: &Location) -> Result<Opened, AppError> {
    let ledger = SqliteLedger::open(location, &Default::default()).map_err(AppError::Ledger)?;
    Ok(Opened {
        ledger: Arc::new(ledger),
        redis: None,
    })
}
