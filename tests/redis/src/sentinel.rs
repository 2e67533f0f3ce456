//! A master, two replicas, and three sentinels that watch them.

use std::net::SocketAddr;

use crate::deadline::eventually;
use crate::options::Options;
use crate::server::RedisServer;

/// The name of the master among the sentinels.
pub const MASTER_NAME: &str = "mymaster";

#[derive(Debug)]
pub struct SentinelTrio {
    /// The first begins as the master.
    pub servers: Vec<RedisServer>,
    pub sentinels: Vec<RedisServer>,
}

impl SentinelTrio {
    /// The replicas follow and the sentinels know all servers when this returns.
    pub async fn start(options: &Options) -> Self {
        let master = RedisServer::start(options).await;
        let follow = options
            .clone()
            .with(&format!("replicaof 127.0.0.1 {}", master.port()));
        let mut servers = vec![master];
        servers.extend((0..2).map(|_| RedisServer::launch(&follow)));
        for replica in &servers[1..] {
            replica.ready().await;
            eventually("a replica follows its master", async || {
                let state: String = replica.try_ask(&["INFO", "replication"]).await.ok()?;
                state.contains("master_link_status:up").then_some(())
            })
            .await;
        }
        let lines = watching(&servers[0], options.password.as_deref());
        let sentinels: Vec<RedisServer> = (0..3)
            .map(|_| RedisServer::launch_sentinel(&lines))
            .collect();
        let trio = Self { servers, sentinels };
        trio.until_whole().await;
        trio
    }

    /// Until every sentinel knows of both others and of two replicas.
    async fn until_whole(&self) {
        for sentinel in &self.sentinels {
            sentinel.ready().await;
            eventually("the sentinels know all servers", async || {
                let fields: Vec<String> = sentinel
                    .try_ask(&["SENTINEL", "MASTER", MASTER_NAME])
                    .await
                    .ok()?;
                let has =
                    |name: &str, value: &str| fields.windows(2).any(|pair| pair == [name, value]);
                let all = has("num-slaves", "2")
                    && has("num-other-sentinels", "2")
                    && has("flags", "master");
                all.then_some(())
            })
            .await;
        }
    }

    /// `redis+sentinel://…/mymaster`
    pub fn url(&self) -> String {
        let addresses: Vec<String> = self
            .sentinels
            .iter()
            .map(|sentinel| sentinel.address().to_string())
            .collect();
        format!("redis+sentinel://{}/{MASTER_NAME}", addresses.join(","))
    }

    /// The one that began as the master.
    pub fn master(&mut self) -> &mut RedisServer {
        &mut self.servers[0]
    }

    /// Those that began as replicas.
    pub fn replicas(&self) -> &[RedisServer] {
        &self.servers[1..]
    }

    /// SIGKILL to the one that began as the master.
    pub fn kill_master(&mut self) {
        self.master().kill();
    }

    /// The server that a sentinel names as the master.
    pub async fn master_now(&self) -> usize {
        eventually("a sentinel names the master", async || {
            let (host, port): (String, u16) = self.sentinels[0]
                .try_ask(&["SENTINEL", "GET-MASTER-ADDR-BY-NAME", MASTER_NAME])
                .await
                .ok()?;
            let address = SocketAddr::new(host.parse().ok()?, port);
            self.servers
                .iter()
                .position(|server| server.address() == address)
        })
        .await
    }

    /// Until the sentinels name another master than `old`, and that one takes writes.
    pub async fn until_failed_over(&self, old: usize) -> usize {
        eventually("the sentinels promote a replica", async || {
            let new = self.master_now().await;
            let role: String = self.servers[new]
                .try_ask(&["INFO", "replication"])
                .await
                .ok()?;
            (new != old && role.contains("role:master")).then_some(new)
        })
        .await
    }
}

fn watching(master: &RedisServer, password: Option<&str>) -> String {
    let mut lines = vec![
        format!(
            "sentinel monitor {MASTER_NAME} 127.0.0.1 {} 2",
            master.port()
        ),
        format!("sentinel down-after-milliseconds {MASTER_NAME} 1000"),
        format!("sentinel failover-timeout {MASTER_NAME} 5000"),
        format!("sentinel parallel-syncs {MASTER_NAME} 1"),
    ];
    if let Some(password) = password {
        lines.push(format!("sentinel auth-pass {MASTER_NAME} {password}"));
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_replica_is_promoted_with_what_it_was_sent() {
        let mut trio = SentinelTrio::start(&Options::default().with_password("s3cret")).await;
        assert_eq!(trio.master_now().await, 0);
        trio.master().command(&["SET", "a", "1"]).await;
        for replica in trio.replicas() {
            eventually("a replica has it", async || {
                replica.ask::<Option<String>>(&["GET", "a"]).await
            })
            .await;
        }
        trio.kill_master();
        let new = trio.until_failed_over(0).await;
        assert_eq!(trio.servers[new].ask::<String>(&["GET", "a"]).await, "1");
        trio.servers[new].command(&["SET", "a", "2"]).await;
    }
}
