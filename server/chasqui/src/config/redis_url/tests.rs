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
