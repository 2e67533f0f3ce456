//! Which Redis, how it is reached, and what makes a write durable.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

/// How an installation of Redis is reached. [`RedisSettings::new`] is one without TLS and credentials.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RedisSettings {
    pub topology: Topology,
    /// Connect with TLS.
    pub tls: bool,
    /// PEM file of the only certificate authorities; `None` is the system's.
    pub ca_file: Option<PathBuf>,
    pub credentials: Option<Credentials>,
    /// Sentinels have credentials of their own.
    pub sentinel_credentials: Option<Credentials>,
    /// A standalone or Sentinel Redis has several databases; a cluster has 0 alone.
    pub database: u32,
    /// How many replicas must acknowledge a durable write; with 0 none is waited for.
    pub wait_replicas: u8,
    /// How long that may take; then the write counts as failed.
    pub wait_timeout: Duration,
}

impl RedisSettings {
    /// Without TLS and credentials. A replica must acknowledge writes where the topology has replicas.
    pub fn new(topology: Topology) -> Self {
        Self {
            wait_replicas: u8::from(!matches!(topology, Topology::Standalone(_))),
            topology,
            tls: false,
            ca_file: None,
            credentials: None,
            sentinel_credentials: None,
            database: 0,
            wait_timeout: Duration::from_secs(1),
        }
    }
}

/// What a connection authenticates with.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// An ACL user; `None` is `default`.
    pub username: Option<String>,
    pub password: String,
}

/// Leaves the password out.
impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("username", &self.username)
            .finish_non_exhaustive()
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Topology {
    Standalone(NodeAddress),
    /// The master that the sentinels know by this name.
    Sentinel {
        sentinels: Vec<NodeAddress>,
        master: String,
    },
    /// Nodes to begin with; they name the others.
    Cluster(Vec<NodeAddress>),
}

/// Host and port.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeAddress {
    pub host: String,
    pub port: u16,
}

impl NodeAddress {
    /// Whether the name stands for this machine.
    pub fn is_loopback(&self) -> bool {
        match self.host.parse::<IpAddr>() {
            Ok(address) => address.to_canonical().is_loopback(),
            Err(_) => self.host == "localhost" || self.host.ends_with(".localhost"),
        }
    }

    /// Parses a cluster's redirection: `host:port`.
    pub(super) fn from_redirection(text: &str, sender: &Self) -> Option<Self> {
        let (host, port) = text.rsplit_once(':')?;
        let host = host.trim_start_matches('[').trim_end_matches(']');
        Some(Self::or_sender(host, port.parse().ok()?, sender))
    }

    /// A node that does not know its own host means the one that replied.
    pub(super) fn or_sender(host: &str, port: u16, sender: &Self) -> Self {
        let host = match host {
            "" | "?" => sender.host.clone(),
            host => host.to_owned(),
        };
        Self { host, port }
    }
}

impl From<SocketAddr> for NodeAddress {
    fn from(address: SocketAddr) -> Self {
        Self {
            host: address.ip().to_string(),
            port: address.port(),
        }
    }
}

impl fmt::Display for NodeAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.contains(':') {
            true => write!(f, "[{}]:{}", self.host, self.port),
            false => write!(f, "{}:{}", self.host, self.port),
        }
    }
}
