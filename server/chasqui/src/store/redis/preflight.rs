//! Whether a Redis is fit to keep payments: its own settings, read at start.
//!
//! What loses or evicts data is refused, what may lose a little is warned of, each with the setting to change. A Redis that
//! will not show its settings is warned of too: then the operator must look.

use std::collections::HashMap;

use ::redis::{Cmd, FromRedisValue, cmd};

use crate::redis::{CallError, NodeAddress, RedisClient, Topology};

/// Sharded channels, and scripts whose effects are replicated.
const OLDEST_VERSION: u32 = 7;

/// What is not as it should be, on which server, and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PreflightFinding {
    pub is_fatal: bool,
    pub text: String,
}

/// What a server says of itself.
#[derive(Debug, Default)]
struct ServerReport {
    version: Option<u32>,
    is_replica: bool,
    /// `None`: it will not say.
    config: Option<HashMap<String, String>>,
}

/// Examines every master. With `accept_data_loss` nothing is fatal. `Err`: a master does not answer.
pub async fn examine(
    redis: &RedisClient,
    accept_data_loss: bool,
) -> Result<Vec<PreflightFinding>, CallError> {
    let has_replicas = redis.settings().wait_replicas > 0;
    let mut findings = Vec::new();
    for address in redis.masters() {
        let condition = look(redis, &address).await?;
        for (is_fatal, text) in judge(&condition, has_replicas, address.is_loopback()) {
            findings.push(PreflightFinding {
                is_fatal: is_fatal && !accept_data_loss,
                text: format!("redis at {address}: {text}"),
            });
        }
    }
    if matches!(
        redis.settings().topology,
        Topology::Sentinel { .. } | Topology::Cluster(_)
    ) && !has_replicas
    {
        findings.push(PreflightFinding {
            is_fatal: false,
            text: "storage.wait_replicas is 0: what was answered 200 is lost if a master fails before its replica has it".into(),
        });
    }
    Ok(findings)
}

async fn look(redis: &RedisClient, address: &NodeAddress) -> Result<ServerReport, CallError> {
    let mut condition = ServerReport::default();
    if let Some(info) = ask::<String>(redis, address, cmd("INFO").arg("server")).await? {
        condition.version = field(&info, "redis_version")
            .and_then(|version| version.split('.').next()?.parse().ok());
    }
    if let Some(info) = ask::<String>(redis, address, cmd("INFO").arg("replication")).await? {
        condition.is_replica = field(&info, "role") == Some("slave");
    }
    condition.config = ask(
        redis,
        address,
        cmd("CONFIG").arg("GET").arg(&[
            "appendonly",
            "appendfsync",
            "no-appendfsync-on-rewrite",
            "maxmemory",
            "maxmemory-policy",
        ]),
    )
    .await?;
    Ok(condition)
}

/// `None`: the server refuses to say.
async fn ask<T: FromRedisValue>(
    redis: &RedisClient,
    address: &NodeAddress,
    question: &Cmd,
) -> Result<Option<T>, CallError> {
    let answer = redis.ask(address, question).await?;
    Ok(answer.and_then(|value| ::redis::from_redis_value(value).ok()))
}

fn field<'a>(info: &'a str, name: &str) -> Option<&'a str> {
    info.lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
        .map(str::trim)
}

/// Each with whether it is a reason not to start. A Redis on this very machine that keeps nothing is somebody trying things
/// out, like `sqlite::memory:`, and is warned of.
fn judge(condition: &ServerReport, has_replicas: bool, is_local: bool) -> Vec<(bool, String)> {
    let mut said = Vec::new();
    if let Some(version) = condition.version
        && version < OLDEST_VERSION
    {
        said.push((
            true,
            format!("is version {version}; {OLDEST_VERSION} is the oldest that will do"),
        ));
    }
    if condition.is_replica {
        said.push((
            true,
            "is a replica; name its master in storage.url, or reach it through its sentinels or its cluster".to_owned(),
        ));
    }
    let Some(config) = &condition.config else {
        said.push((
            false,
            "does not show its settings (CONFIG GET is not allowed); make sure yourself that it has appendonly yes, appendfsync always or everysec, and maxmemory-policy noeviction".to_owned(),
        ));
        return said;
    };
    let is = |name: &str, value: &str| config.get(name).is_some_and(|set| set == value);
    if is("appendonly", "no") {
        said.push((
            !is_local,
            "has appendonly no, so a restart forgets payments; set appendonly yes (to try things out: storage.accept_data_loss = true)".to_owned(),
        ));
    } else if is("appendfsync", "no") {
        said.push((
            !is_local,
            "has appendfsync no, so a crash of its machine loses half a minute; set appendfsync always, or everysec".to_owned(),
        ));
    } else if is("appendfsync", "everysec") && !has_replicas {
        said.push((
            false,
            "has appendfsync everysec, so a crash loses about the last second of what was answered 200, until Khipu is asked about it; set appendfsync always to lose nothing".to_owned(),
        ));
    }
    if is("no-appendfsync-on-rewrite", "yes") {
        said.push((
            false,
            "has no-appendfsync-on-rewrite yes, so nothing is safe while it rewrites its log; set it to no".to_owned(),
        ));
    }
    let evicts = !is("maxmemory-policy", "noeviction");
    if evicts {
        let policy = config
            .get("maxmemory-policy")
            .map_or("unknown", String::as_str);
        let is_bounded = !is("maxmemory", "0");
        said.push((
            is_bounded,
            format!("has maxmemory-policy {policy}, which throws payments away when memory is short; set maxmemory-policy noeviction"),
        ));
    }
    said
}

#[cfg(test)]
mod tests {
    use super::*;

    fn condition(settings: &[(&str, &str)]) -> ServerReport {
        let mut config: HashMap<String, String> = [
            ("appendonly", "yes"),
            ("appendfsync", "always"),
            ("no-appendfsync-on-rewrite", "no"),
            ("maxmemory", "0"),
            ("maxmemory-policy", "noeviction"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into();
        for (name, value) in settings {
            config.insert((*name).to_owned(), (*value).to_owned());
        }
        ServerReport {
            version: Some(7),
            is_replica: false,
            config: Some(config),
        }
    }

    fn said(condition: &ServerReport, has_replicas: bool) -> Vec<(bool, String)> {
        judge(condition, has_replicas, false)
    }

    #[test]
    fn a_redis_that_keeps_what_it_was_told_is_fit() {
        assert_eq!(said(&condition(&[]), false), []);
        assert_eq!(said(&condition(&[("appendfsync", "everysec")]), true), []);
    }

    #[test]
    fn what_loses_or_evicts_data_is_refused_and_what_may_lose_a_little_is_said() {
        for (settings, is_fatal, word) in [
            (&[("appendonly", "no")][..], true, "appendonly yes"),
            (&[("appendfsync", "no")], true, "appendfsync always"),
            (&[("appendfsync", "everysec")], false, "appendfsync always"),
            (
                &[("no-appendfsync-on-rewrite", "yes")],
                false,
                "no-appendfsync-on-rewrite",
            ),
            (&[("maxmemory-policy", "allkeys-lru")], false, "noeviction"),
            (
                &[
                    ("maxmemory-policy", "volatile-ttl"),
                    ("maxmemory", "1000000"),
                ],
                true,
                "noeviction",
            ),
        ] {
            let said = said(&condition(settings), false);
            assert_eq!(said.len(), 1, "{settings:?}: {said:?}");
            assert_eq!(said[0].0, is_fatal, "{settings:?}");
            assert!(said[0].1.contains(word), "{settings:?}: {}", said[0].1);
        }
    }

    #[test]
    fn one_on_this_machine_may_forget_but_not_evict() {
        let forgetful = condition(&[("appendonly", "no")]);
        assert!(
            matches!(&judge(&forgetful, false, true)[..], [(false, text)] if text.contains("appendonly yes"))
        );
        let evicting = condition(&[
            ("maxmemory-policy", "allkeys-lru"),
            ("maxmemory", "1000000"),
        ]);
        assert!(matches!(&judge(&evicting, false, true)[..], [(true, _)]));
    }

    #[test]
    fn an_old_one_a_replica_and_a_silent_one_are_told_apart() {
        let old = ServerReport {
            version: Some(6),
            ..condition(&[])
        };
        assert!(matches!(&said(&old, false)[..], [(true, text)] if text.contains("version 6")));
        let replica = ServerReport {
            is_replica: true,
            ..condition(&[])
        };
        assert!(matches!(&said(&replica, false)[..], [(true, text)] if text.contains("master")));
        let silent = ServerReport::default();
        assert!(
            matches!(&said(&silent, false)[..], [(false, text)] if text.contains("CONFIG GET"))
        );
    }

    #[test]
    fn a_field_of_info_is_found_whole() {
        let info = "# Server\r\nredis_version:7.0.15\r\nredis_mode:standalone\r\n";
        assert_eq!(field(info, "redis_version"), Some("7.0.15"));
        assert_eq!(field(info, "redis"), None);
    }
}
