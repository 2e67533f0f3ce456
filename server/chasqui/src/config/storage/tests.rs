use super::super::{Config, ConfigError};
use super::*;

const REST: &str = r#"
[server]
signing_keys = ["not-a-real-signing-key-0123456789abcdef"]
[[accounts]]
name = "shop"
receiver_id = 990939
khipu_api_key = "not-a-real-key"
khipu_secrets = ["not-a-real-secret"]
[storage]
"#;

fn config(lines: &str) -> Result<Config, ConfigError> {
    Config::from_toml(&format!("{REST}{lines}"))
}

fn problems(lines: &str) -> String {
    config(lines).expect_err("must be refused").to_string()
}

fn redis(lines: &str) -> RedisConfig {
    match config(lines).expect("valid").storage {
        StorageConfig::Redis(redis) => *redis,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_url_alone_is_a_whole_configuration() {
    let read = redis("url = \"redis://redis.internal\"");
    let expected = RedisConfig {
        settings: RedisSettings {
            topology: Topology::Standalone(NodeAddress {
                host: "redis.internal".into(),
                port: 6379,
            }),
            tls: false,
            ca_file: None,
            credentials: None,
            sentinel_credentials: None,
            database: 0,
            wait_replicas: 0,
            wait_timeout: Duration::from_secs(1),
        },
        retention: DAY * 30,
        raw_retention: DAY * 7,
        accept_data_loss: false,
    };
    assert_eq!(read, expected);
    for replicated in [
        "redis+sentinel://h1,h2,h3/mymaster",
        "redis+cluster://h1,h2,h3",
    ] {
        let read = redis(&format!("url = \"{replicated}\""));
        assert_eq!(read.settings.wait_replicas, 1, "{replicated}");
    }
}

#[test]
fn every_key_is_read() {
    let directory = tempfile::tempdir().expect("directory");
    let (ca_file, password) = (directory.path().join("ca.pem"), directory.path().join("pw"));
    std::fs::write(&ca_file, "-----BEGIN CERTIFICATE-----\n").expect("written");
    std::fs::write(&password, "from-a-file\n").expect("written");
    let read = redis(&format!(
        r#"
        url = "rediss+sentinel://gateway@h1,h2,h3/mymaster?db=4"
        password = {{ file = {password:?} }}
        sentinel_password = "for-the-sentinels"
        ca_file = {ca_file:?}
        wait_replicas = 2
        wait_timeout = "700ms"
        retention = "8d"
        raw_retention = "2d"
        accept_data_loss = true
        "#
    ));
    let settings = read.settings;
    let credentials = |username: Option<&str>, password: &str| {
        Some(Credentials {
            username: username.map(str::to_owned),
            password: password.to_owned(),
        })
    };
    let (own, sentinels) = (settings.credentials, settings.sentinel_credentials);
    assert_eq!(own, credentials(Some("gateway"), "from-a-file"));
    assert_eq!(sentinels, credentials(None, "for-the-sentinels"));
    assert_eq!(settings.ca_file, Some(ca_file));
    assert_eq!((settings.tls, settings.database), (true, 4));
    assert_eq!(settings.wait_replicas, 2);
    assert_eq!(settings.wait_timeout, Duration::from_millis(700));
    assert_eq!((read.retention, read.raw_retention), (DAY * 8, DAY * 2));
    assert!(read.accept_data_loss);
}

#[test]
fn a_redis_needs_signing_keys_on_which_the_instances_agree() {
    let without = REST.replace("not-a-real-signing-key-0123456789abcdef", "");
    let lines = "url = \"redis://127.0.0.1\"";
    for without in [
        REST.replace("\"not-a-real-signing-key-0123456789abcdef\"", ""),
        REST.replace("signing_keys", "#"),
    ] {
        let error = Config::from_toml(&format!("{without}{lines}")).expect_err("no key");
        let text = error.to_string();
        assert!(
            text.contains("server.signing_keys must be set when storage.url is a Redis"),
            "{text}"
        );
    }
    let empty = Config::from_toml(&format!("{without}{lines}")).expect_err("an empty key");
    assert!(
        empty
            .to_string()
            .contains("server.signing_keys[0] is empty"),
        "{empty}"
    );
}

#[test]
fn a_contradiction_is_refused_with_its_key() {
    let redis = "url = \"redis://127.0.0.1\"\n";
    for (lines, why) in [
        (
            "url = \"redis://:a@h\"\npassword = \"b\"",
            "storage.password is given although",
        ),
        (
            "url = \"redis://user@h\"",
            "storage.url has a user without a password",
        ),
        (
            &format!("{redis}sentinel_password = \"a\""),
            "storage.sentinel_password has no effect without sentinels",
        ),
        (
            &format!("{redis}ca_file = \"absent.pem\""),
            "storage.ca_file has no effect without TLS",
        ),
        (
            &format!("{redis}ca_file = \"absent.pem\""),
            "storage.ca_file names the file absent.pem, which cannot be read",
        ),
        (
            "url = \"rediss://h\"\nca_file = \"Cargo.toml\"",
            "storage.ca_file must be a PEM file",
        ),
        (
            &format!("{redis}password = \"\""),
            "storage.password is empty",
        ),
        (
            &format!("{redis}wait_replicas = 256"),
            "storage.wait_replicas must be",
        ),
        (
            &format!("{redis}wait_replicas = 1\nwait_timeout = \"5s\""),
            "storage.wait_timeout must be over 0 and under 2s",
        ),
        (
            &format!("{redis}wait_replicas = 1\nwait_timeout = \"0s\""),
            "storage.wait_timeout must be over 0 and under 2s",
        ),
        (
            &format!("{redis}wait_timeout = \"1s\""),
            "storage.wait_timeout has no effect while no replica is waited for",
        ),
        (
            &format!("{redis}retention = \"6d\""),
            "storage.retention must be at least 7d",
        ),
        (
            &format!("{redis}raw_retention = \"31d\""),
            "storage.raw_retention is longer than storage.retention",
        ),
        (
            &format!("{redis}raw_retention = \"0s\""),
            "storage.raw_retention must be longer than zero",
        ),
        (
            "url = \"redis+cluster://h1,h2/1\"",
            "storage.url must end after the hosts",
        ),
    ] {
        let text = problems(lines);
        assert!(text.contains(why), "{lines}: {text}");
    }
    let waiting = "url = \"redis+cluster://h\"\nwait_timeout = \"1999ms\"";
    assert!(config(waiting).is_ok(), "a cluster waits for a replica");
}

#[test]
fn a_key_without_effect_for_sqlite_is_refused() {
    for url in ["sqlite::memory:", "sqlite:chasqui.db"] {
        for line in [
            "password = \"a\"",
            "sentinel_password = \"a\"",
            "ca_file = \"ca.pem\"",
            "wait_replicas = 0",
            "wait_timeout = \"1s\"",
            "retention = \"30d\"",
            "raw_retention = \"7d\"",
            "accept_data_loss = false",
        ] {
            let (key, _) = line.split_once(' ').expect("a key");
            let text = problems(&format!("url = \"{url}\"\n{line}"));
            assert_eq!(text.lines().count(), 1, "{text}");
            assert!(
                text.starts_with(&format!("storage.{key} applies to a Redis")),
                "{text}"
            );
        }
    }
}

#[test]
fn no_password_is_ever_printed() {
    let lines = "url = \"redis+sentinel://user:TOPSECRET@h/m\"\nsentinel_password = \"TOPSECRET\"";
    let printed = format!("{:?}", config(lines).expect("valid"));
    assert!(!printed.contains("TOPSECRET"), "{printed}");
    for url in [
        "redis://user:TOPSECRET",
        "redis://user:TOP/SECRET@h",
        "redis://user:TOP?SECRET@h",
        "redis://user:TOP#SECRET@h",
        "redis://user:TOP%SECRET@h",
        "redis://user:TOP@SECRET@",
        "redis://user:TOPSECRET@h:port",
        "redis://user:TOPSECRET@h1,h2",
        "redis+tls://user:TOPSECRET@h",
        "redis+cluster://user:TOPSECRET@h,h",
        "postgres://user:TOPSECRET@h",
        "user:TOPSECRET@h",
    ] {
        let text = problems(&format!("url = \"{url}\""));
        assert!(text.starts_with("storage.url "), "{url}: {text}");
        for part in ["TOP", "SECRET", "user:"] {
            assert!(!text.contains(part), "{url}: {text}");
        }
    }
}

#[test]
fn unencrypted_traffic_between_hosts_is_warned_of() {
    let warned = |url: &str| {
        let config = config(&format!("url = \"{url}\"")).expect("valid");
        let mut warnings = config.warnings.iter();
        warnings.any(|warning| warning.to_string().contains("without TLS"))
    };
    for url in [
        "redis://redis",
        "redis://10.0.0.7",
        "redis+sentinel://localhost,redis/m",
        "redis+cluster://127.0.0.1,10.0.0.7",
    ] {
        assert!(warned(url), "{url}");
    }
    for url in [
        "rediss://redis",
        "redis://localhost",
        "redis://127.0.0.2",
        "redis://[::1]",
        "redis+sentinel://127.0.0.1:1,127.0.0.1:2/m",
        "sqlite:chasqui.db",
    ] {
        assert!(!warned(url), "{url}");
    }
}
