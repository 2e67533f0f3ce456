//! Parses `redis://`, `rediss://` and their variants for Sentinel and Cluster.
//!
//! Such a URL may hold a password, so that an error repeats no part of it.

use std::collections::HashSet;
use std::net::Ipv6Addr;

use chasqui_payment::Secret;
use chasqui_redis_topology::{NodeAddress, Topology};

const REDIS_PORT: u16 = 6379;
const SENTINEL_PORT: u16 = 26379;

/// What a URL contains.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RedisUrl {
    pub(super) topology: Topology,
    pub(super) tls: bool,
    pub(super) username: Option<String>,
    pub(super) password: Option<Secret>,
    pub(super) database: u32,
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Standalone,
    Sentinel,
    Cluster,
}

/// Whether the URL is meant for a Redis, valid or not.
pub(super) fn is_redis(url: &str) -> bool {
    url.starts_with("redis")
}

/// `Err`: what is wrong and what to do, without the name of the key.
pub(super) fn parse(url: &str) -> Result<RedisUrl, &'static str> {
    let (kind, tls, rest) = scheme(url)?;
    if rest.contains('#') {
        return Err("has a #; in a user or a password write it as %23");
    }
    let (rest, query) = match rest.split_once('?') {
        Some((rest, query)) => (rest, Some(query)),
        None => (rest, None),
    };
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    if path.contains('@') || query.is_some_and(|query| query.contains('@')) {
        return Err("has a / or ? before its @; in a user or a password write them as %2F and %3F");
    }
    let (user, hosts) = match authority.rsplit_once('@') {
        Some((user, hosts)) => (user, hosts),
        None => ("", authority),
    };
    let (username, password) = credentials(user)?;
    let (topology, database) = topology(kind, hosts, path, query)?;
    Ok(RedisUrl {
        topology,
        tls,
        username,
        password: password.map(Secret::new),
        database,
    })
}

fn scheme(url: &str) -> Result<(Kind, bool, &str), &'static str> {
    let (scheme, rest) = url.split_once("://").unwrap_or((url, ""));
    let (kind, tls) = match scheme {
        "redis" => (Kind::Standalone, false),
        "rediss" => (Kind::Standalone, true),
        "redis+sentinel" => (Kind::Sentinel, false),
        "rediss+sentinel" => (Kind::Sentinel, true),
        "redis+cluster" => (Kind::Cluster, false),
        "rediss+cluster" => (Kind::Cluster, true),
        _ => {
            return Err(
                "must begin with redis://, redis+sentinel:// or redis+cluster://, or with rediss in their place for TLS",
            );
        }
    };
    Ok((kind, tls, rest))
}

/// `user:password`, `:password`, `user` or nothing.
fn credentials(text: &str) -> Result<(Option<String>, Option<String>), &'static str> {
    let (username, password) = text.split_once(':').unwrap_or((text, ""));
    let present = |text: &str| {
        match text {
        "" => Ok(None),
        text => decoded(text).map(Some).ok_or(
            "has a user or a password with a % that means no byte, or bytes that are not UTF-8; write % itself as %25",
        ),
    }
    };
    Ok((present(username)?, present(password)?))
}

fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => {
                let mut digit = || char::from(rest.next()?).to_digit(16);
                u8::try_from(digit()? * 16 + digit()?).ok()?
            }
            byte => byte,
        });
    }
    String::from_utf8(bytes).ok()
}

fn topology(
    kind: Kind,
    hosts: &str,
    path: &str,
    query: Option<&str>,
) -> Result<(Topology, u32), &'static str> {
    match kind {
        Kind::Standalone => {
            let mut addresses = addresses(hosts, REDIS_PORT)?;
            if addresses.len() > 1 {
                return Err(
                    "names several hosts; write redis+sentinel:// or redis+cluster:// for these",
                );
            }
            if query.is_some() {
                return Err("has a ?; the database is written as redis://host/1");
            }
            let database = match path {
                "" => 0,
                path => number(path)
                    .ok_or("must end after the host, or in a database's number like /1")?,
            };
            Ok((Topology::Standalone(addresses.remove(0)), database))
        }
        Kind::Sentinel => {
            let sentinels = addresses(hosts, SENTINEL_PORT)?;
            // Sentinel's own configuration accepts the same characters in a master's name.
            if !is_host_name(path) {
                return Err(
                    "must end in the name by which the sentinels know the master, like /mymaster",
                );
            }
            let database = match query {
                None => 0,
                Some(query) => query
                    .strip_prefix("db=")
                    .and_then(number)
                    .ok_or("may have ?db=1 after the master's name, and nothing else")?,
            };
            let master = path.to_owned();
            Ok((Topology::Sentinel { sentinels, master }, database))
        }
        Kind::Cluster => {
            let nodes = addresses(hosts, REDIS_PORT)?;
            if !path.is_empty() || query.is_some() {
                return Err("must end after the hosts: a cluster has one database only");
            }
            Ok((Topology::Cluster(nodes), 0))
        }
    }
}

/// Reads one address or more, each only once.
fn addresses(hosts: &str, default_port: u16) -> Result<Vec<NodeAddress>, &'static str> {
    let mut seen = HashSet::new();
    let mut addresses = Vec::new();
    for host in hosts.split(',') {
        let address = address(host, default_port)?;
        if !seen.insert(address.clone()) {
            return Err("names a host twice");
        }
        addresses.push(address);
    }
    Ok(addresses)
}

fn address(text: &str, default_port: u16) -> Result<NodeAddress, &'static str> {
    const BAD_PORT: &str = "has a port that is not a number from 1 to 65535";
    if text.is_empty() {
        return Err("has an empty host");
    }
    let (host, port) = match text.strip_prefix('[') {
        Some(bracketed) => {
            let (host, port) = bracketed
                .split_once(']')
                .ok_or("has a [ without its ] around an IPv6 address")?;
            let host: Ipv6Addr = host
                .parse()
                .map_err(|_| "has brackets around what is not an IPv6 address")?;
            let port = match port {
                "" => None,
                port => Some(port.strip_prefix(':').ok_or(BAD_PORT)?),
            };
            (host.to_string(), port)
        }
        None => {
            let (host, port) = match text.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (text, None),
            };
            if port.is_some_and(|port| port.contains(':')) {
                return Err("has a host with several colons; write an IPv6 address in brackets");
            }
            if !is_host_name(host) {
                return Err("has a host that is neither a name nor an address");
            }
            (host.to_ascii_lowercase(), port)
        }
    };
    let port = match port {
        None => default_port,
        Some(port) => number(port)
            .and_then(|port| u16::try_from(port).ok())
            .filter(|port| *port != 0)
            .ok_or(BAD_PORT)?,
    };
    Ok(NodeAddress { host, port })
}

/// Digits alone: `u32` itself accepts a plus sign too.
fn number(text: &str) -> Option<u32> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| digits)
}

/// With underscores, which the names of containers have.
fn is_host_name(text: &str) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_'))
}

#[cfg(test)]
mod tests;
