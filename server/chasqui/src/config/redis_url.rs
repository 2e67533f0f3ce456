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
            if !is_master_name(path) {
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

/// One at least, each once.
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

/// As Sentinel's own configuration accepts it.
fn is_master_name(text: &str) -> bool {
    is_host_name(text)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(host: &str, port: u16) -> NodeAddress {
        NodeAddress {
            host: host.into(),
            port,
        }
    }

    fn plain(topology: Topology) -> RedisUrl {
        RedisUrl {
            topology,
            tls: false,
            username: None,
            password: None,
            database: 0,
        }
    }

    #[test]
    fn every_form_is_read() {
        let standalone = |host, port| plain(Topology::Standalone(at(host, port)));
        let sentinel = |sentinels| Topology::Sentinel {
            sentinels,
            master: "mymaster".into(),
        };
        let three = |port| vec![at("h1", port), at("h2", 7), at("h3", port)];
        let expected = [
            ("redis://redis", standalone("redis", 6379)),
            (
                "redis://Redis.example:7000/",
                standalone("redis.example", 7000),
            ),
            ("redis://[::1]", standalone("::1", 6379)),
            (
                "redis://10.0.0.7/3",
                RedisUrl {
                    database: 3,
                    ..standalone("10.0.0.7", 6379)
                },
            ),
            (
                "rediss://:p%40%2F%3a@[2001:DB8::1]:6380/15",
                RedisUrl {
                    tls: true,
                    password: Some(Secret::new("p@/:")),
                    database: 15,
                    ..standalone("2001:db8::1", 6380)
                },
            ),
            (
                "redis+sentinel://u%20s:p:w@h1,h2:7,h3/mymaster?db=2",
                RedisUrl {
                    username: Some("u s".into()),
                    password: Some(Secret::new("p:w")),
                    database: 2,
                    ..plain(sentinel(three(26379)))
                },
            ),
            (
                "rediss+sentinel://h1/mymaster",
                RedisUrl {
                    tls: true,
                    ..plain(sentinel(vec![at("h1", 26379)]))
                },
            ),
            (
                "redis+cluster://user@h1,h2:7,h3",
                RedisUrl {
                    username: Some("user".into()),
                    ..plain(Topology::Cluster(three(6379)))
                },
            ),
            (
                "rediss+cluster://[::1]:7000,[::1]:7001/",
                RedisUrl {
                    tls: true,
                    ..plain(Topology::Cluster(vec![at("::1", 7000), at("::1", 7001)]))
                },
            ),
        ];
        for (url, expected) in expected {
            assert_eq!(parse(url), Ok(expected), "{url}");
        }
    }

    #[test]
    fn every_mistake_is_told_for_what_it_is() {
        for (url, why) in [
            ("redis:host", "must begin with redis://"),
            ("redis+tls://host", "must begin with redis://"),
            ("redis://", "an empty host"),
            ("redis://:6379", "neither a name nor an address"),
            ("redis://ho st", "neither a name nor an address"),
            ("redis://::1", "IPv6 address in brackets"),
            ("redis://[::1", "without its ]"),
            ("redis://[host]", "not an IPv6 address"),
            ("redis://[::1]6379", "a port"),
            ("redis://host:0", "a port"),
            ("redis://host:+1", "a port"),
            ("redis://host:65536", "a port"),
            ("redis://h1,h2", "several hosts"),
            ("redis://host/one", "a database's number"),
            ("redis://host/1/2", "a database's number"),
            ("redis://host?db=1", "redis://host/1"),
            ("redis://host#1", "%23"),
            ("redis://:a/b@host", "%2F"),
            ("redis://:a?b@host", "%3F"),
            ("redis://:a%b@host", "%25"),
            ("redis://:a%ff@host", "UTF-8"),
            ("redis+sentinel://h1,h2", "name by which the sentinels"),
            ("redis+sentinel://h1,h2/a/b", "name by which the sentinels"),
            ("redis+sentinel://h1,,h2/m", "an empty host"),
            ("redis+sentinel://h1,h1:26379/m", "a host twice"),
            ("redis+sentinel://h1/m?database=1", "?db=1"),
            ("redis+cluster://h1,H1", "a host twice"),
            ("redis+cluster://h1/0", "one database only"),
            ("redis+cluster://h1?db=0", "one database only"),
        ] {
            let error = parse(url).expect_err(url);
            assert!(error.contains(why), "{url}: {error}");
        }
    }

    /// As a URL must have it.
    fn encoded(text: &str) -> String {
        text.bytes().map(|byte| format!("%{byte:02X}")).collect()
    }

    proptest! {
        #[test]
        fn any_user_and_password_survive_their_encoding(username in "\\PC{1,20}", password in "\\PC{1,20}") {
            let url = format!("redis+cluster://{}:{}@h1,h2:7", encoded(&username), encoded(&password));
            let url = parse(&url).expect("valid");
            prop_assert_eq!(url.username, Some(username));
            prop_assert_eq!(url.password, Some(Secret::new(password)));
            prop_assert_eq!(url.topology, Topology::Cluster(vec![at("h1", 6379), at("h2", 7)]));
        }

        #[test]
        fn an_address_survives_its_text_form(host in prop_oneof!["[a-z0-9][a-z0-9.-]{0,20}", any::<Ipv6Addr>().prop_map(|ip| ip.to_string())], port in 1u16..) {
            let address = NodeAddress { host, port };
            let url = parse(&format!("redis://{address}")).expect("valid");
            prop_assert_eq!(url.topology, Topology::Standalone(address));
        }

        #[test]
        fn no_text_makes_it_panic(rest in "[a-z0-9:/@?#%,.\\[\\] +é-]{0,40}", kind in prop::sample::select(vec!["redis", "rediss+sentinel", "redis+cluster"])) {
            let _ = parse(&format!("{kind}://{rest}"));
        }
    }
}
