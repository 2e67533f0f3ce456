//! Which server holds which partition, kept true while masters fail and slots move.
//!
//! A standalone server holds all of them. Sentinels and clusters are queried at intervals, and at once when a call
//! finds something else than it expected. Their replies may be out of date: a call that is sent to the wrong server
//! refreshes the table.

use std::sync::Arc;
use std::time::Duration;

use ::redis::{Pipeline, Value, cmd};
use futures_util::future::join_all;
use rand::seq::SliceRandom;
use tokio::sync::{Notify, watch};
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;

use super::connector::Connector;
use super::error::{CallError, CommandError};
use super::node::Node;
use super::partition::{PARTITIONS, Partition};
use super::settings::{NodeAddress, RedisSettings, Topology};

/// The pause between two queries without a refresh.
const REFRESH_INTERVAL: Duration = Duration::from_secs(1);

/// The shortest pause between two queries.
const SHORTEST_REFRESH_INTERVAL: Duration = Duration::from_millis(100);

/// How long a reply of one sentinel or node may take.
const QUERY_TIMEOUT: Duration = Duration::from_secs(1);

/// The owner of each partition; `None` where no server holds it.
pub(super) type Owners = Arc<Vec<Option<NodeAddress>>>;

#[derive(Debug)]
pub(super) struct RoutingTable {
    owners: watch::Receiver<Owners>,
    refresh: Arc<Notify>,
    _task: Option<AbortOnDropHandle<()>>,
}

impl RoutingTable {
    /// Queries once, and then goes on for as long as this lives.
    pub(super) async fn open(settings: &RedisSettings) -> Result<Self, CallError> {
        let refresh = Arc::new(Notify::new());
        let mut source = match &settings.topology {
            Topology::Standalone(address) => {
                let (_, owners) = watch::channel(Arc::new(all_on(address)));
                return Ok(Self {
                    owners,
                    refresh,
                    _task: None,
                });
            }
            Topology::Sentinel { sentinels, master } => TopologySource::Sentinels {
                sentinels: nodes(&Connector::for_sentinels(settings)?, sentinels)?,
                master: master.clone(),
            },
            Topology::Cluster(seeds) => {
                let connector = Connector::for_nodes(settings)?;
                TopologySource::Cluster {
                    nodes: nodes(&connector, seeds)?,
                    seeds: seeds.clone(),
                    connector,
                }
            }
        };
        let found = source.query().await?;
        let (sender, owners) = watch::channel(Arc::new(found));
        let refreshed = Arc::clone(&refresh);
        let task = tokio::spawn(async move {
            loop {
                let _ = timeout(REFRESH_INTERVAL, refreshed.notified()).await;
                match source.query().await {
                    Ok(found) => {
                        sender.send_if_modified(|owners| {
                            let changed = **owners != found;
                            if changed {
                                tracing::info!("redis masters changed");
                                *owners = Arc::new(found);
                            }
                            changed
                        });
                    }
                    Err(error) => {
                        tracing::debug!(%error, "redis masters are unknown; no sentinel or node replies")
                    }
                }
                tokio::time::sleep(SHORTEST_REFRESH_INTERVAL).await;
            }
        });
        Ok(Self {
            owners,
            refresh,
            _task: Some(AbortOnDropHandle::new(task)),
        })
    }

    pub(super) fn owner(&self, partition: Partition) -> Option<NodeAddress> {
        self.owners.borrow()[partition.index()].clone()
    }

    /// The owners now, and each change of them.
    pub(super) fn watch(&self) -> watch::Receiver<Owners> {
        self.owners.clone()
    }

    /// Queries again at once.
    pub(super) fn refresh(&self) {
        self.refresh.notify_one();
    }
}

fn all_on(address: &NodeAddress) -> Vec<Option<NodeAddress>> {
    vec![Some(address.clone()); usize::from(PARTITIONS)]
}

fn nodes(connector: &Connector, addresses: &[NodeAddress]) -> Result<Vec<Node>, CallError> {
    addresses
        .iter()
        .map(|address| node(connector, address.clone()))
        .collect()
}

fn node(connector: &Connector, address: NodeAddress) -> Result<Node, CallError> {
    let client = connector.client(&address)?;
    Ok(Node::new(address, client, QUERY_TIMEOUT))
}

/// Where the owners are known.
enum TopologySource {
    Sentinels {
        sentinels: Vec<Node>,
        master: String,
    },
    Cluster {
        nodes: Vec<Node>,
        seeds: Vec<NodeAddress>,
        connector: Connector,
    },
}

impl TopologySource {
    async fn query(&mut self) -> Result<Vec<Option<NodeAddress>>, CallError> {
        match self {
            Self::Sentinels { sentinels, master } => {
                Ok(all_on(&query_sentinels(sentinels, master).await?))
            }
            Self::Cluster {
                nodes,
                seeds,
                connector,
            } => {
                let (owners, members) = query_nodes(nodes).await?;
                // The configured nodes are kept: theirs may be the only names that last.
                nodes.retain(|node| {
                    members.contains(&node.address) || seeds.contains(&node.address)
                });
                for member in members {
                    if !nodes.iter().any(|node| node.address == member) {
                        nodes.push(node(connector, member)?);
                    }
                }
                Ok(owners)
            }
        }
    }
}

/// All of them at once; the address that most of them name is the master. A sentinel that was cut off from the others still
/// names the former master.
async fn query_sentinels(sentinels: &[Node], master: &str) -> Result<NodeAddress, CallError> {
    let mut query = cmd("SENTINEL");
    query.arg("GET-MASTER-ADDR-BY-NAME").arg(master);
    let replies = sentinels
        .iter()
        .map(|sentinel| in_time(sentinel, sentinel.send(&query)));
    let mut reason = format!("no sentinel knows a master named {master:?}");
    let mut named: Vec<NodeAddress> = Vec::new();
    for reply in join_all(replies).await {
        let master = reply.and_then(|reply| {
            let master = ::redis::from_redis_value::<Option<(String, u16)>>(reply);
            master.map_err(|error| format!("a sentinel's reply cannot be read: {error}"))
        });
        match master {
            Ok(master) => named.extend(master.map(|(host, port)| NodeAddress { host, port })),
            Err(failure) => reason = failure,
        }
    }
    most_named(&named).ok_or(CallError(reason))
}

async fn in_time<T>(
    node: &Node,
    reply: impl Future<Output = Result<T, CommandError>>,
) -> Result<T, String> {
    match timeout(QUERY_TIMEOUT, reply).await {
        Ok(reply) => reply.map_err(|error| error.to_string()),
        Err(_) => Err(format!("{} does not reply", node.address)),
    }
}

fn most_named(named: &[NodeAddress]) -> Option<NodeAddress> {
    named
        .iter()
        .max_by_key(|one| named.iter().filter(|other| other == one).count())
        .cloned()
}

type SlotMap = (Vec<Option<NodeAddress>>, Vec<NodeAddress>);

/// A random node whose view of the cluster is whole: a node that is cut off from the others still names the former masters.
/// Where no view is whole, as with a shard down, the first one is used.
async fn query_nodes(nodes: &mut [Node]) -> Result<SlotMap, CallError> {
    let mut queries = Pipeline::with_capacity(2);
    queries.cmd("CLUSTER").arg("SLOTS");
    queries.cmd("CLUSTER").arg("INFO");
    nodes.shuffle(&mut rand::rng());
    let mut reason = "no node of the cluster is known".to_owned();
    let mut partial = None;
    for node in nodes {
        let replies = in_time(node, node.send_pipeline(&mut queries)).await;
        match replies.and_then(|replies| parse_view(replies, &node.address)) {
            Ok((map, true)) => return Ok(map),
            Ok((map, false)) => partial = partial.or(Some(map)),
            Err(failure) => reason = failure,
        }
    }
    partial.ok_or(CallError(reason))
}

/// The cluster as one node sees it, and whether its view is whole.
fn parse_view(
    replies: Vec<Result<Value, CommandError>>,
    sender: &NodeAddress,
) -> Result<(SlotMap, bool), String> {
    let malformed = || format!("{sender} does not describe its cluster");
    let [slots, info] = <[_; 2]>::try_from(replies).map_err(|_| malformed())?;
    let slots = slots.map_err(|error| format!("{sender}: {error}"))?;
    let map = parse_slots(&slots, sender).ok_or_else(malformed)?;
    Ok((map, is_whole(info)))
}

/// A node whose user may not run `CLUSTER INFO` counts as whole.
fn is_whole(info: Result<Value, CommandError>) -> bool {
    match info.map(::redis::from_redis_value::<String>) {
        Ok(text) => text.is_ok_and(|text| !text.contains("cluster_state:fail")),
        Err(error) => matches!(error, CommandError::Refused(_)),
    }
}

/// `CLUSTER SLOTS`: a list of (first slot, last slot, master, replicas…), each node as (host, port, …).
fn parse_slots(reply: &Value, sender: &NodeAddress) -> Option<SlotMap> {
    let Value::Array(ranges) = reply else {
        return None;
    };
    let mut owners = vec![None; usize::from(PARTITIONS)];
    let mut members = Vec::new();
    for range in ranges {
        let Value::Array(parts) = range else {
            return None;
        };
        let [Value::Int(first), Value::Int(last), nodes @ ..] = &parts[..] else {
            return None;
        };
        let nodes: Vec<NodeAddress> = nodes
            .iter()
            .map(|node| parse_node(node, sender))
            .collect::<Option<_>>()?;
        let master = nodes.first()?;
        for partition in Partition::all() {
            if (*first..=*last).contains(&i64::from(partition.slot())) {
                owners[partition.index()] = Some(master.clone());
            }
        }
        members.extend(nodes);
    }
    members.sort();
    members.dedup();
    (!members.is_empty()).then_some((owners, members))
}

fn parse_node(node: &Value, sender: &NodeAddress) -> Option<NodeAddress> {
    let Value::Array(parts) = node else {
        return None;
    };
    let [host, Value::Int(port), ..] = &parts[..] else {
        return None;
    };
    let host = match host {
        // The node does not know its own host.
        Value::Nil => "",
        Value::BulkString(host) => str::from_utf8(host).ok()?,
        _ => return None,
    };
    Some(NodeAddress::or_sender(
        host,
        u16::try_from(*port).ok()?,
        sender,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Value {
        Value::BulkString(text.as_bytes().to_vec())
    }

    fn at(host: &str, port: u16) -> NodeAddress {
        NodeAddress {
            host: host.into(),
            port,
        }
    }

    #[test]
    fn slots_of_a_cluster_are_parsed() {
        let node = |host: Value, port| Value::Array(vec![host, Value::Int(port), text("id")]);
        let answer = Value::Array(vec![
            Value::Array(vec![
                Value::Int(0),
                Value::Int(8191),
                node(text("10.0.0.1"), 7000),
                node(text("10.0.0.2"), 7001),
            ]),
            Value::Array(vec![
                Value::Int(8192),
                Value::Int(16000),
                node(Value::Nil, 7002),
            ]),
        ]);
        let (owners, members) = parse_slots(&answer, &at("sender", 1)).expect("a map");
        for partition in Partition::all() {
            let expected = match partition.slot() {
                0..=8191 => Some(at("10.0.0.1", 7000)),
                8192..=16000 => Some(at("sender", 7002)),
                _ => None,
            };
            assert_eq!(owners[partition.index()], expected, "{partition}");
        }
        assert_eq!(
            members,
            [
                at("10.0.0.1", 7000),
                at("10.0.0.2", 7001),
                at("sender", 7002)
            ]
        );
        assert!(parse_slots(&Value::Array(vec![]), &at("sender", 1)).is_none());
        assert!(parse_slots(&Value::Okay, &at("sender", 1)).is_none());
    }

    #[test]
    fn a_sentinel_with_an_old_master_is_outvoted() {
        let (old, new) = (at("old", 6379), at("new", 6379));
        assert_eq!(
            most_named(&[old.clone(), new.clone(), new.clone()]),
            Some(new)
        );
        assert_eq!(most_named(std::slice::from_ref(&old)), Some(old));
        assert_eq!(most_named(&[]), None);
    }

    #[test]
    fn a_node_that_lost_the_others_is_not_whole() {
        let info = |state: &str| {
            Ok(text(&format!(
                "cluster_state:{state}\r\ncluster_slots_ok:1\r\n"
            )))
        };
        assert!(is_whole(info("ok")));
        assert!(!is_whole(info("fail")));
        assert!(is_whole(Err(CommandError::Refused("NOPERM".into()))));
        assert!(!is_whole(Err(CommandError::Lost("closed".into()))));
        assert!(!is_whole(Ok(Value::Nil)), "not a description");
    }
}
