//! Every limit, timeout and secret of an installation, checked once.
//!
//! A configuration is a TOML file; the environment overrides each key (`CHASQUI_SERVER__LISTEN=…`). All problems are
//! reported at once, each with its key. After [`Config::load`] nothing needs checking again.

mod accounts;
mod duration;
mod environment;
mod limits;
mod network;
mod problem;
mod reading;
mod redis_url;
mod secret;
mod server;
mod storage;

use std::path::Path;
use std::time::Duration;

use accounts::RawAccount;
use chasqui_core::Accounts;
use duration::HumanDuration;
pub use limits::Limits;
use network::{check_public_url, is_loopback};
use problem::Problems;
pub use problem::{ConfigError, ConfigProblem};
use reading::field_names;
use serde::Deserialize;
use server::RawServer;
pub use server::ServerConfig;
use storage::RawStorage;
pub use storage::{RedisConfig, StorageConfig};
use url::Url;

/// Keys of 0.1, and their names now.
const RENAMED: [(&str, &str); 2] = [
    ("limits.questions_per_second", "limits.polls_per_second"),
    ("limits.questions_in_flight", "limits.polls_in_flight"),
];

#[derive(Debug, Clone)]
pub struct Config {
    pub server: ServerConfig,
    pub storage: StorageConfig,
    pub khipu: KhipuConfig,
    pub accounts: Accounts,
    pub limits: Limits,
    pub log: LogConfig,
    /// What is allowed but probably a mistake; logged at start.
    pub warnings: Vec<ConfigProblem>,
}

#[derive(Debug, Clone)]
pub struct KhipuConfig {
    pub base_url: Url,
    pub timeout: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    #[default]
    Pretty,
    Json,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogConfig {
    pub format: LogFormat,
    /// A `tracing` filter, like `info` or `chasqui=debug`.
    pub filter: String,
}

impl Config {
    /// Reads a file, if given, and this process's environment.
    pub fn load(file: Option<&Path>) -> Result<Self, ConfigError> {
        let text = match file {
            Some(path) => std::fs::read_to_string(path).map_err(|error| {
                ConfigError::from(ConfigProblem::new(
                    "--config",
                    format!("cannot read {}: {error}", path.display()),
                ))
            })?,
            None => String::new(),
        };
        // A variable that is not text is not a setting.
        let variables = std::env::vars_os().filter_map(|(name, value)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        });
        Self::from_parts(&text, variables)
    }

    /// Reads TOML alone, without the environment.
    pub fn from_toml(text: &str) -> Result<Self, ConfigError> {
        Self::from_parts(text, std::iter::empty())
    }

    fn from_parts(
        text: &str,
        variables: impl Iterator<Item = (String, String)>,
    ) -> Result<Self, ConfigError> {
        let mut table: toml::Table =
            toml::from_str(text).map_err(|error| syntax_problem(text, &error))?;
        let mut problems = Problems::default();
        let variables = environment::overlay(&mut table, variables, &mut problems);
        let renamed = |key: &str| {
            RENAMED
                .iter()
                .find(|(old, _)| *old == key)
                .map(|(_, new)| *new)
        };
        let raw: Option<Raw> = reading::read(table, variables, known_keys, renamed, &mut problems);
        let config = raw.and_then(|raw| raw.check(&mut problems));
        problems.into_result(config)
    }
}

/// The line and the error, without the line's text, which may hold a secret.
fn syntax_problem(text: &str, error: &toml::de::Error) -> ConfigError {
    let line = error.span().map_or(1, |span| {
        text[..span.start.min(text.len())].matches('\n').count() + 1
    });
    let message = match error.message() {
        // The first repeats the number.
        message
            if message.starts_with("invalid type: integer")
                || message == "integer number overflowed" =>
        {
            format!(
                "holds a number over {}; put a text of digits in quotes",
                i64::MAX
            )
        }
        message => format!("is not TOML: {message}"),
    };
    ConfigProblem::new(format!("line {line}"), message).into()
}

/// The keys of a section, or the sections.
fn known_keys(section: Option<&str>) -> &'static [&'static str] {
    match section {
        None => field_names::<Raw>(),
        Some("server") => field_names::<RawServer>(),
        Some("storage") => field_names::<RawStorage>(),
        Some("khipu") => field_names::<RawKhipu>(),
        Some("accounts") => field_names::<RawAccount>(),
        Some("limits") => field_names::<limits::RawLimits>(),
        Some("log") => field_names::<RawLog>(),
        Some(_) => &[],
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Raw {
    server: RawServer,
    storage: RawStorage,
    khipu: RawKhipu,
    accounts: Vec<RawAccount>,
    limits: limits::RawLimits,
    log: RawLog,
}

#[derive(Debug, Deserialize)]
#[serde(default)]
struct RawKhipu {
    base_url: String,
    timeout: HumanDuration,
}

impl Default for RawKhipu {
    fn default() -> Self {
        Self {
            base_url: "https://payment-api.khipu.com".into(),
            timeout: HumanDuration(Duration::from_secs(15)),
        }
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct RawLog {
    format: LogFormat,
    filter: Option<String>,
}

impl Raw {
    fn check(self, problems: &mut Problems) -> Option<Config> {
        let storage = self.storage.check(problems);
        if self.storage.is_shared() && self.server.signing_keys.is_empty() {
            problems.add(
                "server.signing_keys",
                "must be set when storage.url is a Redis, the same on every instance, so that each verifies the others' tokens; \
                 make one with `openssl rand -base64 48`",
            );
        }
        let server = self.server.check(problems);
        let khipu = self.khipu.check(problems);
        let accounts = accounts::check(&self.accounts, problems);
        let limits = self.limits.check(problems);
        if let Some(khipu) = &khipu
            && limits.request_timeout <= khipu.timeout
        {
            problems.add(
                "limits.request_timeout",
                "must be longer than khipu.timeout: a merchant's request waits for khipu",
            );
        }
        let (server, khipu) = (server?, khipu?);
        let accounts = accounts?;
        for (i, raw) in self.accounts.iter().enumerate() {
            raw.check_destinations(i, &accounts, server.is_local(), problems);
        }

        let mut warnings = Vec::new();
        if server.is_local() && !is_loopback(&khipu.base_url) {
            warnings.push(ConfigProblem::new(
                "server.public_url",
                "is a loopback address, so Khipu's notifications cannot arrive; payments are confirmed by polling only",
            ));
        }
        for (i, account) in self.accounts.iter().enumerate() {
            warnings.extend(account.warnings(i));
        }
        warnings.extend(storage.as_ref().and_then(StorageConfig::warning));
        Some(Config {
            server,
            storage: storage?,
            khipu,
            accounts,
            limits,
            log: LogConfig {
                format: self.log.format,
                filter: self.log.filter.unwrap_or_else(|| "info".into()),
            },
            warnings,
        })
    }
}

impl RawKhipu {
    fn check(&self, problems: &mut Problems) -> Option<KhipuConfig> {
        let base_url = check_public_url("khipu.base_url", &self.base_url, problems);
        if self.timeout.0.is_zero() || self.timeout.0 > Duration::from_secs(30) {
            problems.add("khipu.timeout", "must be between 1ms and 30s");
        }
        Some(KhipuConfig {
            base_url: base_url?,
            timeout: self.timeout.0,
        })
    }
}

#[cfg(test)]
mod tests;
