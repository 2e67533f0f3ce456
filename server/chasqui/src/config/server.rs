//! `[server]`: where the gateway listens, how it is reached, and its signing keys.

use std::net::SocketAddr;
use std::time::Duration;

use chasqui_payment::Secret;
use ipnet::IpNet;
use serde::Deserialize;
use url::Url;

use super::duration::HumanDuration;
use super::network::{check_networks, check_public_url, is_loopback};
use super::problem::Problems;
use super::secret::{RawSecret, check_secrets};

/// The shortest signing key: what HS256 asks for.
const MIN_SIGNING_KEY_BYTES: usize = 32;

#[derive(Debug, Clone)]
pub struct ServerConfig {
    pub listen: SocketAddr,
    /// Metrics and probes. Never public.
    pub admin_listen: SocketAddr,
    /// The URL that payers, merchants and Khipu use: scheme and host, no path.
    pub public_url: Url,
    /// The first signs status tokens, all verify. Empty: a key is kept beside the SQLite file.
    pub signing_keys: Vec<Secret>,
    /// Proxies whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<IpNet>,
    pub drain_window: Duration,
    pub(crate) status_token_ttl: Duration,
}

impl ServerConfig {
    /// `public_url` and a path that begins with a slash.
    pub fn public(&self, path: &str) -> String {
        format!("{}{path}", self.public_url.as_str().trim_end_matches('/'))
    }

    /// Whether `public_url` is on this machine.
    pub fn is_local(&self) -> bool {
        is_loopback(&self.public_url)
    }
}

#[derive(Debug, Deserialize)]
#[serde(default)]
pub(super) struct RawServer {
    listen: String,
    admin_listen: String,
    public_url: String,
    pub(super) signing_keys: Vec<RawSecret>,
    trusted_proxies: Vec<String>,
    drain_window: HumanDuration,
    status_token_ttl: HumanDuration,
}

impl Default for RawServer {
    fn default() -> Self {
        Self {
            listen: "127.0.0.1:8080".into(),
            admin_listen: "127.0.0.1:8081".into(),
            public_url: "http://127.0.0.1:8080".into(),
            signing_keys: Vec::new(),
            trusted_proxies: Vec::new(),
            drain_window: HumanDuration(Duration::from_secs(8)),
            status_token_ttl: HumanDuration(Duration::from_secs(30 * 24 * 3600)),
        }
    }
}

impl RawServer {
    pub(super) fn check(&self, problems: &mut Problems) -> Option<ServerConfig> {
        let listen = check_address("server.listen", &self.listen, problems);
        let admin_listen = check_address("server.admin_listen", &self.admin_listen, problems);
        if listen.is_some()
            && listen == admin_listen
            && listen.is_some_and(|address| address.port() != 0)
        {
            problems.add(
                "server.admin_listen",
                "is the same as server.listen; metrics need their own address",
            );
        }
        let public_url = check_public_url("server.public_url", &self.public_url, problems);
        if public_url.as_ref().is_some_and(|url| url.path() != "/") {
            problems.add(
                "server.public_url",
                "must have no path: the gateway serves its pages, scripts and API at the root; \
                 give it its own host, like https://pay.example.com",
            );
        }
        let signing_keys = check_secrets("server.signing_keys", &self.signing_keys, problems);
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
                "is under a minute; a payer needs the token for the whole payment",
            );
        }
        if self.drain_window.0 > Duration::from_secs(300) {
            problems.add(
                "server.drain_window",
                "is over five minutes; a service manager kills the process before that",
            );
        }
        Some(ServerConfig {
            listen: listen?,
            admin_listen: admin_listen?,
            public_url: public_url?,
            signing_keys: signing_keys?,
            trusted_proxies,
            drain_window: self.drain_window.0,
            status_token_ttl: self.status_token_ttl.0,
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
