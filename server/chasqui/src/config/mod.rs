//! Every limit, timeout and secret of an installation, checked once.
//!
//! A configuration is a TOML file with every key also from the environment (`CHASQUI_SERVER__LISTEN=…`, which wins). What
//! is wrong is collected and told at once, each with its key. After [`Config::load`] nothing needs checking again.

mod accounts;
mod duration;
mod environment;
mod limits;
mod problem;
mod redis_url;
mod storage;

use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use ipnet::IpNet;
use serde::Deserialize;
use url::Url;

use crate::account::{Accounts, Secret};

pub use limits::Limits;
pub use problem::{ConfigError, Problem};
pub use storage::{RedisConfig, Storage};

use accounts::{RawAccount, RawSecret};
use duration::Span;
use problem::Problems;
use storage::RawStorage;

/// The shortest signing key: what HS256 asks for.
const MIN_SIGNING_KEY_BYTES: usize = 32;

#[derive(Debug, Clone)]
pub struct Config {
    pub server: Server,
    pub storage: Storage,
    pub khipu: Khipu,
    pub accounts: Accounts,
    pub limits: Limits,
    pub log: Log,
    /// What is allowed but probably not meant; said once at start.
    pub warnings: Vec<Problem>,
}

#[derive(Debug, Clone)]
pub struct Server {
    pub listen: SocketAddr,
    /// Metrics and probes. Never public.
    pub admin_listen: SocketAddr,
    /// How the world reaches us: scheme and host, no path.
    pub public_url: Url,
    /// The first signs status tokens, all verify. Empty: one is made and kept beside the SQLite file.
    pub signing_keys: Vec<Secret>,
    /// Whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<IpNet>,
    pub drain_window: Duration,
    pub status_token_ttl: Duration,
}

impl Server {
    /// `public_url` and a path that begins with a slash.
    pub fn public(&self, path: &str) -> String {
        format!("{}{path}", self.public_url.as_str().trim_end_matches('/'))
    }
}

#[derive(Debug, Clone)]
pub struct Khipu {
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
pub struct Log {
    pub format: LogFormat,
    /// A `tracing` filter, like `info` or `chasqui=debug`.
    pub filter: String,
}

impl Config {
    /// From a file (or none) and this process's environment.
    pub fn load(file: Option<&Path>) -> Result<Self, ConfigError> {
        let text = match file {
            Some(path) => std::fs::read_to_string(path).map_err(|error| {
                ConfigError::from(Problem::new(
                    "--config",
                    format!("{} cannot be read: {error}", path.display()),
                ))
            })?,
            None => String::new(),
        };
        // A variable that is not text is nobody's setting.
        let variables = std::env::vars_os().filter_map(|(name, value)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        });
        Self::from_parts(&text, variables)
    }

    /// From TOML alone; the environment is not looked at.
    pub fn from_toml(text: &str) -> Result<Self, ConfigError> {
        Self::from_parts(text, std::iter::empty())
    }

    fn from_parts(
        text: &str,
        variables: impl Iterator<Item = (String, String)>,
    ) -> Result<Self, ConfigError> {
        let mut table: toml::Table =
            toml::from_str(text).map_err(|error| syntax_problem(text, &error))?;
        environment::overlay(&mut table, variables)?;

        let mut problems = Problems::default();
        let raw: Raw = {
            let mut unknown = |path: serde_ignored::Path<'_>| {
                problems.add(
                    path.to_string(),
                    "is not a key that exists; check its spelling and its section",
                );
            };
            let ignored = serde_ignored::Deserializer::new(toml::Value::Table(table), &mut unknown);
            serde_path_to_error::deserialize(ignored).map_err(|error| {
                ConfigError::from(Problem::new(
                    error.path().to_string(),
                    without_value(&error.inner().to_string()),
                ))
            })?
        };
        let config = raw.check(&mut problems);
        problems.into_result(config)
    }
}

/// Where the file cannot be read, and why; the line itself may hold a secret.
fn syntax_problem(text: &str, error: &toml::de::Error) -> ConfigError {
    let line = error.span().map_or(1, |span| {
        text[..span.start.min(text.len())].matches('\n').count() + 1
    });
    Problem::new(
        format!("line {line}"),
        format!("is not TOML: {}", error.message()),
    )
    .into()
}

/// What serde says of a wrong type or word, without the value, which may be a secret in a wrong place.
fn without_value(message: &str) -> String {
    match message.split_once(", expected ") {
        Some((_, expected)) => format!("must be {expected}"),
        None if message.starts_with("must be ") || message.starts_with("missing field ") => {
            message.to_owned()
        }
        None => "cannot be read".to_owned(),
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
struct RawServer {
    listen: String,
    admin_listen: String,
    public_url: String,
    signing_keys: Vec<RawSecret>,
    trusted_proxies: Vec<String>,
    drain_window: Span,
    status_token_ttl: Span,
}

impl Default for RawServer {
    fn default() -> Self {
        Self {
            listen: "127.0.0.1:8080".into(),
            admin_listen: "127.0.0.1:8081".into(),
            public_url: "http://127.0.0.1:8080".into(),
            signing_keys: Vec::new(),
            trusted_proxies: Vec::new(),
            drain_window: Span(Duration::from_secs(8)),
            status_token_ttl: Span(Duration::from_secs(30 * 24 * 3600)),
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(default)]
struct RawKhipu {
    base_url: String,
    timeout: Span,
}

impl Default for RawKhipu {
    fn default() -> Self {
        Self {
            base_url: "https://payment-api.khipu.com".into(),
            timeout: Span(Duration::from_secs(15)),
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
                "must be set when storage.url is a Redis, the same on every instance: each verifies what another signed; \
                 make one with `openssl rand -base64 48`",
            );
        }
        let server = self.server.check(problems);
        let khipu = self.khipu.check(problems);
        let accounts = accounts::check(&self.accounts, problems);
        let limits = self.limits.check(problems);
        if let (Some(limits), Some(khipu)) = (&limits, &khipu)
            && limits.request_timeout <= khipu.timeout
        {
            problems.add(
                "limits.request_timeout",
                "must be longer than khipu.timeout: a merchant's request waits for khipu",
            );
        }
        let (server, khipu) = (server?, khipu?);

        let mut warnings = Vec::new();
        if is_loopback(&server.public_url) && !is_loopback(&khipu.base_url) {
            warnings.push(Problem::new(
                "server.public_url",
                "is a loopback address, so Khipu's notifications cannot arrive here; payments will be confirmed by asking only",
            ));
        }
        warnings.extend(storage.as_ref().and_then(Storage::warning));
        Some(Config {
            server,
            storage: storage?,
            khipu,
            accounts: accounts?,
            limits: limits?,
            log: Log {
                format: self.log.format,
                filter: self.log.filter.unwrap_or_else(|| "info".into()),
            },
            warnings,
        })
    }
}

impl RawServer {
    fn check(&self, problems: &mut Problems) -> Option<Server> {
        let listen = check_address("server.listen", &self.listen, problems);
        let admin_listen = check_address("server.admin_listen", &self.admin_listen, problems);
        if listen.is_some()
            && listen == admin_listen
            && listen.is_some_and(|address| address.port() != 0)
        {
            problems.add(
                "server.admin_listen",
                "is the same as server.listen; metrics must have an address of their own",
            );
        }
        let public_url = check_public_url("server.public_url", &self.public_url, problems);
        if public_url.as_ref().is_some_and(|url| url.path() != "/") {
            problems.add(
                "server.public_url",
                "must have no path: the gateway's pages, scripts and API stand at the root of their host; \
                 give it a host of its own, like https://pay.example.com",
            );
        }
        let signing_keys =
            accounts::check_secrets("server.signing_keys", &self.signing_keys, problems);
        for (i, key) in signing_keys.iter().flatten().enumerate() {
            if key.expose().len() < MIN_SIGNING_KEY_BYTES {
                problems.add(
                    format!("server.signing_keys[{i}]"),
                    format!("is shorter than {MIN_SIGNING_KEY_BYTES} bytes; make one with `openssl rand -base64 48`"),
                );
            }
        }
        let trusted_proxies =
            check_networks("server.trusted_proxies", &self.trusted_proxies, problems);
        if self.status_token_ttl.0 < Duration::from_secs(60) {
            problems.add(
                "server.status_token_ttl",
                "is under a minute; a payer needs it for the whole payment",
            );
        }
        if self.drain_window.0 > Duration::from_secs(300) {
            problems.add(
                "server.drain_window",
                "is over five minutes; a service manager will kill the process first",
            );
        }
        Some(Server {
            listen: listen?,
            admin_listen: admin_listen?,
            public_url: public_url?,
            signing_keys: signing_keys?,
            trusted_proxies: trusted_proxies?,
            drain_window: self.drain_window.0,
            status_token_ttl: self.status_token_ttl.0,
        })
    }
}

impl RawKhipu {
    fn check(&self, problems: &mut Problems) -> Option<Khipu> {
        let base_url = check_public_url("khipu.base_url", &self.base_url, problems);
        if self.timeout.0.is_zero() || self.timeout.0 > Duration::from_secs(30) {
            problems.add("khipu.timeout", "must be between 1ms and 30s");
        }
        Some(Khipu {
            base_url: base_url?,
            timeout: self.timeout.0,
        })
    }
}

fn check_address(key: &str, text: &str, problems: &mut Problems) -> Option<SocketAddr> {
    let address = text.parse().ok();
    if address.is_none() {
        problems.add(key, "must be an address and a port, like 127.0.0.1:8080");
    }
    address
}

/// https, or http on this machine only: keys and tokens travel over it.
fn check_public_url(key: &str, text: &str, problems: &mut Problems) -> Option<Url> {
    let Ok(url) = Url::parse(text) else {
        problems.add(key, "must be a URL, like https://pay.example.com");
        return None;
    };
    let plain = url.query().is_none() && url.fragment().is_none() && url.username().is_empty();
    match url.scheme() {
        _ if !plain || url.host().is_none() => {
            problems.add(key, "must be scheme, host and perhaps a path, nothing more")
        }
        "https" => return Some(url),
        "http" if is_loopback(&url) => return Some(url),
        "http" => problems.add(
            key,
            "must be https; http is for this machine only (127.0.0.1, ::1, localhost)",
        ),
        _ => problems.add(key, "must be https"),
    }
    None
}

fn check_networks(key: &str, texts: &[String], problems: &mut Problems) -> Option<Vec<IpNet>> {
    let mut networks = Some(Vec::new());
    for (i, text) in texts.iter().enumerate() {
        match text
            .parse::<IpNet>()
            .or_else(|_| text.parse::<IpAddr>().map(IpNet::from))
        {
            Ok(network) => networks
                .iter_mut()
                .for_each(|networks| networks.push(network)),
            Err(_) => {
                problems.add(format!("{key}[{i}]"), "must be a network, like 10.0.0.0/8");
                networks = None;
            }
        }
    }
    networks
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(url::Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

#[cfg(test)]
mod tests;
