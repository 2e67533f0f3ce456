//! URLs and address ranges of the configuration.

use std::net::IpAddr;

use ipnet::IpNet;
use url::Url;

use super::problem::Problems;

/// https, or http on loopback: keys and tokens are sent over it.
pub(super) fn check_public_url(key: &str, text: &str, problems: &mut Problems) -> Option<Url> {
    let Ok(url) = Url::parse(text) else {
        problems.add(key, "must be a URL, like https://pay.example.com");
        return None;
    };
    let plain = url.query().is_none() && url.fragment().is_none() && url.username().is_empty();
    match url.scheme() {
        _ if !plain || url.host().is_none() => {
            problems.add(key, "must have only a scheme, a host and perhaps a path")
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

/// The networks that can be read. Each other text is a problem.
pub(super) fn check_networks(key: &str, texts: &[String], problems: &mut Problems) -> Vec<IpNet> {
    let mut networks = Vec::new();
    for (i, text) in texts.iter().enumerate() {
        let address = || text.parse::<IpAddr>().map(IpNet::from);
        match text.parse().or_else(|_| address()) {
            Ok(network) => networks.push(network),
            Err(_) => problems.add(format!("{key}[{i}]"), "must be a network, like 10.0.0.0/8"),
        }
    }
    networks
}

pub(super) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(url::Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}
