//! A cluster of six: three masters and a replica of each.

use redis::Value;

use crate::deadline::eventually;
use crate::options::Options;
use crate::server::RedisServer;

const MASTERS: usize = 3;
const NODES: usize = 2 * MASTERS;
const SLOTS: u16 = 16384;

#[derive(Debug)]
pub struct RedisCluster {
    /// The first three begin as masters, the others as their replicas, in the same order.
    pub nodes: Vec<RedisServer>,
    ids: Vec<String>,
}

/// A slot that moves from one master to another. Meanwhile the old one serves the keys that it still has, and redirects
/// calls for others to the new one with `ASK`.
#[derive(Debug)]
pub struct Migration {
    slot: u16,
    from: usize,
    to: usize,
}

impl RedisCluster {
    /// Every node agrees and every master has its replica when this returns.
    pub async fn start(options: &Options) -> Self {
        let options = options
            .clone()
            .with("cluster-node-timeout 2000")
            .with("cluster-allow-replica-migration no")
            .with("cluster-replica-validity-factor 0");
        let nodes: Vec<RedisServer> = (0..NODES)
            .map(|_| RedisServer::launch_node(&options))
            .collect();
        let mut ids = Vec::new();
        for node in &nodes {
            node.ready().await;
            ids.push(node.ask(&["CLUSTER", "MYID"]).await);
        }
        let cluster = Self { nodes, ids };
        cluster.form().await;
        cluster
    }

    async fn form(&self) {
        for (index, master) in self.nodes.iter().take(MASTERS).enumerate() {
            let bound = |index: usize| index * usize::from(SLOTS) / MASTERS;
            let (first, last) = (bound(index), bound(index + 1) - 1);
            let (first, last) = (first.to_string(), last.to_string());
            ok(master, &["CLUSTER", "ADDSLOTSRANGE", &first, &last]).await;
            let epoch = (index + 1).to_string();
            ok(master, &["CLUSTER", "SET-CONFIG-EPOCH", &epoch]).await;
        }
        for node in &self.nodes[1..] {
            let (port, bus) = (node.port().to_string(), node.bus_port().to_string());
            ok(
                &self.nodes[0],
                &["CLUSTER", "MEET", "127.0.0.1", &port, &bus],
            )
            .await;
        }
        for node in &self.nodes {
            eventually("the nodes know each other", async || {
                let known: String = node.ask(&["CLUSTER", "NODES"]).await;
                self.ids.iter().all(|id| known.contains(id)).then_some(())
            })
            .await;
        }
        for (master, replica) in self.nodes[MASTERS..].iter().enumerate() {
            ok(replica, &["CLUSTER", "REPLICATE", &self.ids[master]]).await;
        }
        self.until_whole().await;
    }

    /// Until every node reports a whole cluster and every master has a replica that follows it.
    pub async fn until_whole(&self) {
        for node in &self.nodes {
            eventually("the cluster's nodes agree", async || {
                let info: String = node.try_ask(&["CLUSTER", "INFO"]).await.ok()?;
                let links: String = node.try_ask(&["CLUSTER", "NODES"]).await.ok()?;
                let is_whole = info.contains("cluster_state:ok") && !links.contains("fail");
                let replication: String = node.try_ask(&["INFO", "replication"]).await.ok()?;
                let follows = replication.contains("master_link_status:up")
                    || replication.contains("state=online");
                (is_whole && follows).then_some(())
            })
            .await;
        }
    }

    /// `redis+cluster://…` with all six.
    pub fn url(&self) -> String {
        let addresses: Vec<String> = self
            .nodes
            .iter()
            .map(|node| node.address().to_string())
            .collect();
        format!("redis+cluster://{}", addresses.join(","))
    }

    /// The node that serves a slot now, as far as any live node knows.
    pub async fn master_of_slot(&self, slot: u16) -> usize {
        eventually("a slot has a master", async || {
            self.masters_of_slot(slot).await.pop()
        })
        .await
    }

    /// Every node that claims a slot.
    async fn masters_of_slot(&self, slot: u16) -> Vec<usize> {
        let mut masters = Vec::new();
        for (index, node) in self.nodes.iter().enumerate() {
            let Ok(known) = node.try_ask::<String>(&["CLUSTER", "NODES"]).await else {
                continue;
            };
            let own = known.lines().find(|line| line.contains("myself"));
            if own.is_some_and(|line| line.contains("master") && holds(line, slot)) {
                masters.push(index);
            }
        }
        masters
    }

    /// SIGKILL to one of the first three.
    pub fn kill_master(&mut self, index: usize) {
        self.nodes[index].kill();
    }

    /// Until another node than `old` serves the slot and reports a whole cluster.
    pub async fn until_failed_over(&self, slot: u16, old: usize) -> usize {
        eventually("a replica takes over", async || {
            let new = self.masters_of_slot(slot).await;
            let new = new.into_iter().find(|master| *master != old)?;
            let info: String = self.nodes[new].try_ask(&["CLUSTER", "INFO"]).await.ok()?;
            info.contains("cluster_state:ok").then_some(new)
        })
        .await
    }

    /// A slot with its keys moves to another master, live.
    pub async fn migrate_slot(&self, slot: u16, to: usize) {
        let migration = self.begin_migration(slot, to).await;
        self.move_keys(&migration).await;
        self.finish_migration(migration).await;
    }

    /// From now on new keys of the slot are created on `to`.
    pub async fn begin_migration(&self, slot: u16, to: usize) -> Migration {
        let from = self.master_of_slot(slot).await;
        let number = slot.to_string();
        for (node, state, other) in [(to, "IMPORTING", from), (from, "MIGRATING", to)] {
            let command = ["CLUSTER", "SETSLOT", &number, state, &self.ids[other]];
            ok(&self.nodes[node], &command).await;
        }
        Migration { slot, from, to }
    }

    /// Moves every key that the old master still has.
    pub async fn move_keys(&self, migration: &Migration) {
        let (from, to) = (&self.nodes[migration.from], &self.nodes[migration.to]);
        let (slot, port) = (migration.slot.to_string(), to.port().to_string());
        loop {
            let keys: Vec<String> = from.ask(&["CLUSTER", "GETKEYSINSLOT", &slot, "100"]).await;
            if keys.is_empty() {
                return;
            }
            let mut command = vec!["MIGRATE", "127.0.0.1", &port, "", "0", "5000", "KEYS"];
            command.extend(keys.iter().map(String::as_str));
            from.command(&command).await;
        }
    }

    /// The new master owns the slot, and every master knows.
    pub async fn finish_migration(&self, migration: Migration) {
        let Migration { slot, from, to } = migration;
        let number = slot.to_string();
        let others = (0..NODES).filter(|index| ![from, to].contains(index));
        for index in [to, from].into_iter().chain(others) {
            let command = ["CLUSTER", "SETSLOT", &number, "NODE", &self.ids[to]];
            // Replicas learn it from their masters, and refuse the command.
            let changed = self.nodes[index].try_ask::<Value>(&command).await;
            if [to, from].contains(&index) {
                changed.expect("the new and the old master accept it");
            }
        }
    }
}

async fn ok(node: &RedisServer, command: &[&str]) {
    let answer: String = node.ask(command).await;
    assert_eq!(answer, "OK", "{command:?}");
}

/// Whether a node's line of `CLUSTER NODES` has a slot among its ranges.
fn holds(line: &str, slot: u16) -> bool {
    line.split(' ').skip(8).any(|range| {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        match (first.parse::<u16>(), last.parse::<u16>()) {
            (Ok(first), Ok(last)) => (first..=last).contains(&slot),
            // A moving slot, in brackets.
            _ => false,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_slot_moves_with_its_keys() {
        let cluster = RedisCluster::start(&Options::default()).await;
        let slot: u16 = cluster.nodes[0].ask(&["CLUSTER", "KEYSLOT", "{a}"]).await;
        let from = cluster.master_of_slot(slot).await;
        let to = (from + 1) % MASTERS;
        cluster.nodes[from].command(&["SET", "{a}1", "old"]).await;
        let migration = cluster.begin_migration(slot, to).await;
        assert_eq!(cluster.master_of_slot(slot).await, from);
        let asked = cluster.nodes[from].try_ask::<Value>(&["SET", "{a}2", "new"]);
        let error = asked.await.expect_err("the key is not here");
        assert_eq!(error.code(), Some("ASK"), "{error}");
        cluster.move_keys(&migration).await;
        cluster.finish_migration(migration).await;
        assert_eq!(cluster.master_of_slot(slot).await, to);
        assert_eq!(
            cluster.nodes[to].ask::<String>(&["GET", "{a}1"]).await,
            "old"
        );
    }

    #[tokio::test]
    async fn a_replica_takes_over_and_the_old_master_follows_it() {
        let mut cluster = RedisCluster::start(&Options::default()).await;
        let slot: u16 = cluster.nodes[0].ask(&["CLUSTER", "KEYSLOT", "a"]).await;
        let old = cluster.master_of_slot(slot).await;
        cluster.nodes[old].command(&["SET", "a", "1"]).await;
        eventually("the replica has it", async || {
            let replica = &cluster.nodes[old + MASTERS];
            let own: u8 = replica.ask(&["DBSIZE"]).await;
            (own == 1).then_some(())
        })
        .await;
        cluster.kill_master(old);
        let new = cluster.until_failed_over(slot, old).await;
        assert_eq!(new, old + MASTERS);
        assert_eq!(cluster.nodes[new].ask::<String>(&["GET", "a"]).await, "1");
        cluster.nodes[old].restart().await;
        cluster.until_whole().await;
        assert_eq!(cluster.master_of_slot(slot).await, new);
    }
}
