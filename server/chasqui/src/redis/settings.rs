//! Which Redis, how it is reached, and what is asked of it.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::account::Secret;

/// Everything that `[storage]` says about a Redis, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    pub topology: Topology,
    /// `rediss://` and its kin.
    pub tls: bool,
    /// PEM; instead of the system's certificate authorities.
    pub ca_file: Option<PathBuf>,
    /// An ACL user; `None` is `default`.
    pub username: Option<String>,
    pub password: Option<Secret>,
    /// The sentinels' own.
    pub sentinel_password: Option<Secret>,
    /// A standalone or Sentinel Redis has several databases; a cluster has 0 alone.
    pub database: u32,
    /// How many replicas must have a write before it counts as durable; 0 asks nobody.
    pub wait_replicas: u8,
    /// How long that may take; then the write counts as failed.
    pub wait_timeout: Duration,
    /// How long a final payment is kept.
    pub retention: Duration,
    /// How long a notification's bytes are kept once its delivery is done.
    pub raw_retention: Duration,
    /// Start although Redis's own settings lose data.
    pub accept_data_loss: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Topology {
    Standalone(Address),
    /// The master of that name, as the sentinels say.
    Sentinel {
        sentinels: Vec<Address>,
        master: String,
    },
    /// Nodes to begin with; the rest is learnt from them.
    Cluster(Vec<Address>),
}

/// Host and port.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address {
    pub host: String,
    pub port: u16,
}

impl Address {
    /// Whether it is this machine, as far as its name tells.
    pub fn is_loopback(&self) -> bool {
        match self.host.parse::<IpAddr>() {
            Ok(address) => address.to_canonical().is_loopback(),
            Err(_) => self.host == "localhost" || self.host.ends_with(".localhost"),
        }
    }

    /// As a cluster's redirection names a node: `host:port`, where an empty host means the one that was asked.
    pub(super) fn announced(text: &str, asked: &Self) -> Option<Self> {
        let (host, port) = text.rsplit_once(':')?;
        let host = match host.trim_start_matches('[').trim_end_matches(']') {
            "" | "?" => asked.host.clone(),
            host => host.to_owned(),
        };
        Some(Self {
            host,
            port: port.parse().ok()?,
        })
    }
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.host.contains(':') {
            true => write!(f, "[{}]:{}", self.host, self.port),
            false => write!(f, "{}:{}", self.host, self.port),
        }
    }
}
