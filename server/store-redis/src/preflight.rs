//! Checks at start whether the settings of a Redis keep payments safe.
//!
//! A setting that loses or evicts data is fatal; one that may lose the last writes is a warning. Each finding names the
//! setting to change. A Redis that does not show its settings is a warning too: then the operator must look.

use std::collections::HashMap;

use chasqui_redis_topology::{CallError, NodeAddress, RedisClient, Topology};
use redis::{Cmd, FromRedisValue, InfoDict, cmd};

/// Sharded channels, and scripts whose effects are replicated.
const OLDEST_VERSION: u32 = 7;

/// What is wrong, on which server, and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PreflightFinding {
    pub is_fatal: bool,
    pub text: String,
}

/// What a server reports of itself.
#[derive(Debug, Default)]
struct ServerReport {
    version: Option<u32>,
    is_replica: bool,
    /// `None`: it refuses `CONFIG GET`.
    config: Option<HashMap<String, String>>,
}

/// Examines every master. With `accept_data_loss` nothing is fatal. `Err`: a master does not reply.
pub async fn examine(
    redis: &RedisClient,
    accept_data_loss: bool,
) -> Result<Vec<PreflightFinding>, CallError> {
    let has_replicas = redis.settings().wait_replicas > 0;
    let mut findings = Vec::new();
    for address in redis.masters() {
        let report = inspect(redis, &address).await?;
        for (is_fatal, text) in findings_of(&report, has_replicas, address.is_loopback()) {
            findings.push(PreflightFinding {
                is_fatal: is_fatal && !accept_data_loss,
                text: format!("redis at {address}: {text}"),
            });
        }
    }
    if !has_replicas && !matches!(redis.settings().topology, Topology::Standalone(_)) {
        findings.push(PreflightFinding {
            is_fatal: false,
            text: "storage.wait_replicas is 0: what was answered 200 is lost if a master fails before its replica has it".into(),
        });
    }
    Ok(findings)
}

async fn inspect(redis: &RedisClient, address: &NodeAddress) -> Result<ServerReport, CallError> {
    let mut report = ServerReport::default();
    if let Some(info) = reply::<InfoDict>(redis, address, &cmd("INFO")).await? {
        let version: Option<String> = info.get("redis_version");
        let major = version
            .as_deref()
            .and_then(|version| version.split('.').next());
        report.version = major.and_then(|major| major.parse().ok());
        report.is_replica = info.get::<String>("role").as_deref() == Some("slave");
    }
    let mut settings = cmd("CONFIG");
    settings.arg("GET").arg("appendonly").arg("appendfsync");
    settings.arg("no-appendfsync-on-rewrite");
    settings.arg("maxmemory").arg("maxmemory-policy");
    report.config = reply(redis, address, &settings).await?;
    Ok(report)
}

/// `None`: the server refuses the command.
async fn reply<T: FromRedisValue>(
    redis: &RedisClient,
    address: &NodeAddress,
    command: &Cmd,
) -> Result<Option<T>, CallError> {
    let reply = redis.send_to(address, command).await?;
    let read = reply.map(redis::from_redis_value).transpose();
    read.map_err(|error| CallError(format!("a reply of {address} cannot be read: {error}")))
}

/// Each with whether it is fatal. A Redis on this machine that keeps nothing is only a warning, like `sqlite::memory:`: it is
/// there to try things out.
fn findings_of(report: &ServerReport, has_replicas: bool, is_local: bool) -> Vec<(bool, String)> {
    let mut findings = Vec::new();
    if let Some(version) = report.version
        && version < OLDEST_VERSION
    {
        findings.push((
            true,
            format!("is version {version}; {OLDEST_VERSION} is the oldest that works"),
        ));
    }
    if report.is_replica {
        findings.push((
            true,
            "is a replica; name its master in storage.url, or reach it through its sentinels or its cluster".to_owned(),
        ));
    }
    let Some(config) = &report.config else {
        findings.push((
            false,
            "does not show its settings (CONFIG GET is not allowed); check that it has appendonly yes, appendfsync always or everysec, and maxmemory-policy noeviction".to_owned(),
        ));
        return findings;
    };
    let is = |name: &str, value: &str| config.get(name).is_some_and(|set| set == value);
    if is("appendonly", "no") {
        findings.push((
            !is_local,
            "has appendonly no, so a restart loses payments; set appendonly yes (to try things out: storage.accept_data_loss = true)".to_owned(),
        ));
    } else if is("appendfsync", "no") {
        findings.push((
            !is_local,
            "has appendfsync no, so a crash of its machine loses the last half minute; set appendfsync always, or everysec".to_owned(),
        ));
    } else if is("appendfsync", "everysec") && !has_replicas {
        findings.push((
            false,
            "has appendfsync everysec, so a crash loses about the last second of what was answered 200, until Khipu is asked again; set appendfsync always to lose nothing".to_owned(),
        ));
    }
    if is("no-appendfsync-on-rewrite", "yes") {
        findings.push((
            false,
            "has no-appendfsync-on-rewrite yes, so writes are not on disk while it rewrites its log; set it to no".to_owned(),
        ));
    }
    if !is("maxmemory-policy", "noeviction") {
        let policy = config.get("maxmemory-policy");
        let policy = policy.map_or("unknown", String::as_str);
        findings.push((
            !is("maxmemory", "0"),
            format!("has maxmemory-policy {policy}, which evicts payments when memory is short; set maxmemory-policy noeviction"),
        ));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(settings: &[(&str, &str)]) -> ServerReport {
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

    fn found(report: &ServerReport, has_replicas: bool) -> Vec<(bool, String)> {
        findings_of(report, has_replicas, false)
    }

    #[test]
    fn a_redis_that_keeps_every_write_has_no_findings() {
        assert_eq!(found(&report(&[]), false), []);
        assert_eq!(found(&report(&[("appendfsync", "everysec")]), true), []);
    }

    #[test]
    fn settings_that_lose_or_evict_data_are_fatal_and_others_are_warnings() {
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
            let found = found(&report(settings), false);
            assert_eq!(found.len(), 1, "{settings:?}: {found:?}");
            assert_eq!(found[0].0, is_fatal, "{settings:?}");
            assert!(found[0].1.contains(word), "{settings:?}: {}", found[0].1);
        }
    }

    #[test]
    fn a_local_redis_may_lose_data_at_a_restart_but_not_evict_it() {
        let volatile = report(&[("appendonly", "no")]);
        assert!(
            matches!(&findings_of(&volatile, false, true)[..], [(false, text)] if text.contains("appendonly yes"))
        );
        let evicting = report(&[
            ("maxmemory-policy", "allkeys-lru"),
            ("maxmemory", "1000000"),
        ]);
        assert!(matches!(
            &findings_of(&evicting, false, true)[..],
            [(true, _)]
        ));
    }

    #[test]
    fn an_old_server_a_replica_and_hidden_settings_are_found() {
        let old = ServerReport {
            version: Some(6),
            ..report(&[])
        };
        assert!(matches!(&found(&old, false)[..], [(true, text)] if text.contains("version 6")));
        let replica = ServerReport {
            is_replica: true,
            ..report(&[])
        };
        assert!(matches!(&found(&replica, false)[..], [(true, text)] if text.contains("master")));
        let silent = ServerReport::default();
        assert!(
            matches!(&found(&silent, false)[..], [(false, text)] if text.contains("CONFIG GET"))
        );
    }
}
