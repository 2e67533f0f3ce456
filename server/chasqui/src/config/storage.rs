//! `[storage]`: a SQLite file, or a Redis that several instances share.

use std::path::PathBuf;
use std::time::Duration;

use chasqui_payment::Secret;
use chasqui_redis_topology::{Credentials, NodeAddress, RedisSettings, Topology};
use serde::Deserialize;

use super::duration::HumanDuration;
use super::problem::{ConfigProblem, Problems};
use super::redis_url::{self, RedisUrl};
use super::secret::RawSecret;

const DAY: Duration = Duration::from_hours(24);

/// Deliveries are attempted for over three days; a payment must outlive them.
const SHORTEST_RETENTION: Duration = DAY.saturating_mul(7);

/// Longer than any law requires, and well within what Redis can count.
const LONGEST_RETENTION: Duration = DAY.saturating_mul(3650);

/// A call of the store takes three seconds at most, and a write may wait for those before it.
const WAIT_TIMEOUT_LIMIT: Duration = Duration::from_secs(2);

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StorageConfig {
    Memory,
    File(PathBuf),
    Redis(Box<RedisConfig>),
}

/// What `[storage]` says about a Redis, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RedisConfig {
    pub settings: RedisSettings,
    /// How long a final payment is kept.
    pub retention: Duration,
    /// How long a notification's bytes are kept once its delivery is done.
    pub raw_retention: Duration,
    /// Start although Redis's own settings lose data.
    pub accept_data_loss: bool,
}

#[derive(Debug, Deserialize)]
#[serde(default)]
pub(super) struct RawStorage {
    url: String,
    password: Option<RawSecret>,
    sentinel_password: Option<RawSecret>,
    ca_file: Option<PathBuf>,
    wait_replicas: Option<u8>,
    wait_timeout: Option<HumanDuration>,
    retention: Option<HumanDuration>,
    raw_retention: Option<HumanDuration>,
    accept_data_loss: Option<bool>,
}

impl Default for RawStorage {
    fn default() -> Self {
        Self {
            url: "sqlite:chasqui.db".into(),
            password: None,
            sentinel_password: None,
            ca_file: None,
            wait_replicas: None,
            wait_timeout: None,
            retention: None,
            raw_retention: None,
            accept_data_loss: None,
        }
    }
}

impl RawStorage {
    /// Whether several instances may share it; a Redis URL need not be valid for that.
    pub(super) fn is_shared(&self) -> bool {
        redis_url::is_redis(&self.url)
    }

    pub(super) fn check(&self, problems: &mut Problems) -> Option<StorageConfig> {
        if self.is_shared() {
            return self
                .check_redis(problems)
                .map(Box::new)
                .map(StorageConfig::Redis);
        }
        let storage = match self.url.strip_prefix("sqlite:") {
            Some(":memory:") => StorageConfig::Memory,
            Some(path) if !path.trim_start_matches('/').is_empty() => {
                StorageConfig::File(path.into())
            }
            _ => {
                problems.add(
                    "storage.url",
                    "must be sqlite:PATH, sqlite::memory: or a Redis, like redis://host, \
                     redis+sentinel://host1,host2,host3/name or redis+cluster://host1,host2,host3",
                );
                return None;
            }
        };
        self.refuse_redis_keys(problems);
        Some(storage)
    }

    /// Refused rather than ignored: they would have no effect.
    fn refuse_redis_keys(&self, problems: &mut Problems) {
        for (key, is_given) in [
            ("password", self.password.is_some()),
            ("sentinel_password", self.sentinel_password.is_some()),
            ("ca_file", self.ca_file.is_some()),
            ("wait_replicas", self.wait_replicas.is_some()),
            ("wait_timeout", self.wait_timeout.is_some()),
            ("retention", self.retention.is_some()),
            ("raw_retention", self.raw_retention.is_some()),
            ("accept_data_loss", self.accept_data_loss.is_some()),
        ] {
            if is_given {
                problems.add(
                    format!("storage.{key}"),
                    "applies to a Redis and has no effect for SQLite; remove it, or set storage.url to a Redis",
                );
            }
        }
    }

    fn check_redis(&self, problems: &mut Problems) -> Option<RedisConfig> {
        let url = redis_url::parse(&self.url)
            .map_err(|message| problems.add("storage.url", message))
            .ok();
        let credentials = self.check_credentials(url.as_ref(), problems);
        let sentinel_password = check_secret(
            "storage.sentinel_password",
            self.sentinel_password.as_ref(),
            problems,
        );
        self.check_ca_file(url.as_ref(), problems);
        self.check_wait_timeout(problems);
        let (retention, raw_retention) = self.check_retention(problems);
        let url = url?;
        if self.sentinel_password.is_some() && !matches!(url.topology, Topology::Sentinel { .. }) {
            problems.add(
                "storage.sentinel_password",
                "has no effect without sentinels; remove it, or write redis+sentinel:// in storage.url",
            );
        }
        let mut settings = RedisSettings::new(url.topology);
        settings.wait_replicas = self.wait_replicas.unwrap_or(settings.wait_replicas);
        if let Some(HumanDuration(timeout)) = self.wait_timeout {
            settings.wait_timeout = timeout;
            if settings.wait_replicas == 0 {
                problems.add(
                    "storage.wait_timeout",
                    "has no effect while no replica is waited for; remove it, or set storage.wait_replicas",
                );
            }
        }
        settings.tls = url.tls;
        settings.ca_file.clone_from(&self.ca_file);
        settings.credentials = credentials?;
        settings.sentinel_credentials = sentinel_password?.map(|password| Credentials {
            username: None,
            password: password.expose().to_owned(),
        });
        settings.database = url.database;
        Some(RedisConfig {
            settings,
            retention,
            raw_retention,
            accept_data_loss: self.accept_data_loss.unwrap_or_default(),
        })
    }

    /// From the URL or from a key of its own. The outer `None` is a problem, which is in `problems`.
    fn check_credentials(
        &self,
        url: Option<&RedisUrl>,
        problems: &mut Problems,
    ) -> Option<Option<Credentials>> {
        let given = check_secret("storage.password", self.password.as_ref(), problems)?;
        let url = url?;
        if given.is_some() && url.password.is_some() {
            problems.add(
                "storage.password",
                "is given although storage.url has a password too; remove one of the two",
            );
        }
        let password = given.or_else(|| url.password.clone());
        if url.username.is_some() && password.is_none() {
            problems.add(
                "storage.url",
                "has a user without a password; set storage.password, which may be { env = \"NAME\" } or { file = \"PATH\" }",
            );
        }
        Some(password.map(|password| Credentials {
            username: url.username.clone(),
            password: password.expose().to_owned(),
        }))
    }

    fn check_ca_file(&self, url: Option<&RedisUrl>, problems: &mut Problems) {
        let Some(path) = &self.ca_file else {
            return;
        };
        if url.is_some_and(|url| !url.tls) {
            problems.add(
                "storage.ca_file",
                "has no effect without TLS; remove it, or write rediss in storage.url",
            );
        }
        match std::fs::read_to_string(path) {
            Ok(text) if text.contains("-----BEGIN CERTIFICATE-----") => {}
            Ok(_) => problems.add(
                "storage.ca_file",
                "must be a PEM file with certificates (-----BEGIN CERTIFICATE-----)",
            ),
            Err(error) => problems.add(
                "storage.ca_file",
                format!(
                    "names the file {}, which cannot be read: {error}",
                    path.display()
                ),
            ),
        }
    }

    fn check_wait_timeout(&self, problems: &mut Problems) {
        if let Some(HumanDuration(timeout)) = self.wait_timeout
            && (timeout.is_zero() || timeout >= WAIT_TIMEOUT_LIMIT)
        {
            problems.add(
                "storage.wait_timeout",
                "must be over 0 and under 2s: notifications wait for it",
            );
        }
    }

    fn check_retention(&self, problems: &mut Problems) -> (Duration, Duration) {
        let retention = self.retention.map_or(DAY * 30, |span| span.0);
        let raw_retention = self.raw_retention.map_or(DAY * 7, |span| span.0);
        if retention > LONGEST_RETENTION {
            problems.add("storage.retention", "must be at most 3650d");
        }
        if retention < SHORTEST_RETENTION {
            problems.add(
                "storage.retention",
                "must be at least 7d: a payment must outlive its deliveries, which are attempted for over three days",
            );
        }
        if raw_retention.is_zero() {
            problems.add("storage.raw_retention", "must be longer than zero");
        }
        if raw_retention > retention {
            problems.add(
                "storage.raw_retention",
                "is longer than storage.retention, after which everything about a payment is deleted",
            );
        }
        (retention, raw_retention)
    }
}

/// The outer `None` is a problem, which is in `problems`.
fn check_secret(
    key: &str,
    raw: Option<&RawSecret>,
    problems: &mut Problems,
) -> Option<Option<Secret>> {
    match raw {
        None => Some(None),
        Some(raw) => raw.check(key, problems).map(Some),
    }
}

impl StorageConfig {
    /// What is allowed but probably not intended.
    pub(super) fn warning(&self) -> Option<ConfigProblem> {
        match self {
            Self::Memory => Some(ConfigProblem::new(
                "storage.url",
                "is sqlite::memory:, so all data is lost at exit",
            )),
            Self::Redis(redis) if !redis.settings.tls && !is_local(&redis.settings.topology) => {
                Some(ConfigProblem::new(
                    "storage.url",
                    "is a Redis without TLS on another host: merchants' URLs and notifications with payers' data \
                     cross the network unencrypted; write rediss, or use a private network",
                ))
            }
            Self::File(_) | Self::Redis(_) => None,
        }
    }
}

fn is_local(topology: &Topology) -> bool {
    let addresses = match topology {
        Topology::Standalone(address) => std::slice::from_ref(address),
        Topology::Sentinel { sentinels, .. } => sentinels,
        Topology::Cluster(nodes) => nodes,
    };
    addresses.iter().all(NodeAddress::is_loopback)
}

#[cfg(test)]
mod tests;
