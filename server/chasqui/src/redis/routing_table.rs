//! Which server holds which partition, kept true while masters fail and slots move.
//!
//! A standalone server holds all of them for ever. Sentinels and clusters are asked at intervals, and at once when a call
//! found something else than it expected. What they say may be old: whoever is sent to the wrong place says so and asks
//! for another look.

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

/// Between two looks when nobody asks for one.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Between two looks however many ask for one.
const SHORTEST_PAUSE: Duration = Duration::from_millis(100);

/// How long one sentinel or node may take to say what it knows.
const ANSWER_WITHIN: Duration = Duration::from_secs(1);

/// By partition; `None` where nobody serves it.
pub type Owners = Arc<Vec<Option<NodeAddress>>>;

#[derive(Debug)]
pub(super) struct RoutingTable {
    owners: watch::Receiver<Owners>,
    look_again: Arc<Notify>,
    _looking: Option<AbortOnDropHandle<()>>,
}

impl RoutingTable {
    /// Looks once, and then goes on looking for as long as this lives.
    pub(super) async fn open(settings: &RedisSettings) -> Result<Self, CallError> {
        let look_again = Arc::new(Notify::new());
        let mut guide = match &settings.topology {
            Topology::Standalone(address) => {
                let (_, owners) = watch::channel(all_at(address));
                return Ok(Self {
                    owners,
                    look_again,
                    _looking: None,
                });
            }
            Topology::Sentinel { sentinels, master } => TopologySource::Sentinels {
                sentinels: known(&Connector::for_sentinels(settings)?, sentinels)?,
                master: master.clone(),
            },
            Topology::Cluster(seeds) => {
                let clients = Connector::for_nodes(settings)?;
                TopologySource::Cluster {
                    nodes: known(&clients, seeds)?,
                    seeds: seeds.clone(),
                    clients,
                }
            }
        };
        let found = guide.look().await?;
        let (sender, owners) = watch::channel(Arc::new(found));
        let asked = Arc::clone(&look_again);
        let looking = tokio::spawn(async move {
            loop {
                let _ = timeout(LOOK_EVERY, asked.notified()).await;
                match guide.look().await {
                    Ok(found) => {
                        sender.send_if_modified(|owners| {
                            let changed = **owners != found;
                            if changed {
                                tracing::info!("redis: the partitions have other masters now");
                                *owners = Arc::new(found);
                            }
                            changed
                        });
                    }
                    Err(error) => tracing::debug!(%error, "redis: nobody says who the masters are"),
                }
                tokio::time::sleep(SHORTEST_PAUSE).await;
            }
        });
        Ok(Self {
            owners,
            look_again,
            _looking: Some(AbortOnDropHandle::new(looking)),
        })
    }

    pub(super) fn owner(&self, partition: Partition) -> Option<NodeAddress> {
        self.owners.borrow()[partition.index()].clone()
    }

    /// As they are now, and told when they change.
    pub(super) fn watch(&self) -> watch::Receiver<Owners> {
        self.owners.clone()
    }

    /// Something was not where it should be.
    pub(super) fn refresh(&self) {
        self.look_again.notify_one();
    }
}

fn all_at(address: &NodeAddress) -> Owners {
    Arc::new(vec![Some(address.clone()); usize::from(PARTITIONS)])
}

fn known(clients: &Connector, addresses: &[NodeAddress]) -> Result<Vec<Node>, CallError> {
    addresses
        .iter()
        .map(|address| node(clients, address.clone()))
        .collect()
}

fn node(clients: &Connector, address: NodeAddress) -> Result<Node, CallError> {
    let client = clients.client(&address)?;
    Ok(Node::new(address, client, ANSWER_WITHIN))
}

/// Who knows the way.
enum TopologySource {
    Sentinels {
        sentinels: Vec<Node>,
        master: String,
    },
    Cluster {
        nodes: Vec<Node>,
        seeds: Vec<NodeAddress>,
        clients: Connector,
    },
}

impl TopologySource {
    async fn look(&mut self) -> Result<Vec<Option<NodeAddress>>, CallError> {
        match self {
            Self::Sentinels { sentinels, master } => {
                let address = query_sentinels(sentinels, master).await?;
                Ok(vec![Some(address); usize::from(PARTITIONS)])
            }
            Self::Cluster {
                nodes,
                seeds,
                clients,
            } => {
                let (owners, members) = query_nodes(nodes).await?;
                // Those that were there at first are kept: they may be the only ones with a name that lasts.
                nodes.retain(|node| {
                    members.contains(&node.address) || seeds.contains(&node.address)
                });
                for member in members {
                    if !nodes.iter().any(|node| node.address == member) {
                        nodes.push(node(clients, member)?);
                    }
                }
                Ok(owners)
            }
        }
    }
}

/// All of them at once; whom most of those that answer name is the master. One that was cut off from the others still
/// names the master of old.
async fn query_sentinels(sentinels: &[Node], master: &str) -> Result<NodeAddress, CallError> {
    let mut question = cmd("SENTINEL");
    question.arg("GET-MASTER-ADDR-BY-NAME").arg(master);
    let answers = sentinels
        .iter()
        .map(|sentinel| timeout(ANSWER_WITHIN, sentinel.send(&question)));
    let mut why = format!("no sentinel knows a master named {master:?}");
    let mut named: Vec<NodeAddress> = Vec::new();
    for (sentinel, answer) in sentinels.iter().zip(join_all(answers).await) {
        match answer {
            Ok(Ok(answer)) => {
                let place: Option<(String, u16)> =
                    ::redis::from_redis_value(answer).unwrap_or_default();
                named.extend(place.map(|(host, port)| NodeAddress { host, port }));
            }
            Ok(Err(trouble)) => why = trouble.text(),
            Err(_) => why = format!("{} does not answer", sentinel.address),
        }
    }
    most_named(&named).ok_or(CallError(why))
}

fn most_named(named: &[NodeAddress]) -> Option<NodeAddress> {
    named
        .iter()
        .max_by_key(|one| named.iter().filter(|other| other == one).count())
        .cloned()
}

type SlotMap = (Vec<Option<NodeAddress>>, Vec<NodeAddress>);

/// Any of them, chosen anew each time, whose view of the cluster is whole: one that is cut off from the others goes on
/// telling of the masters of old. Where nobody's is, as with a shard down, the first view is better than none.
async fn query_nodes(nodes: &mut [Node]) -> Result<SlotMap, CallError> {
    let mut questions = Pipeline::with_capacity(2);
    questions.cmd("CLUSTER").arg("SLOTS");
    questions.cmd("CLUSTER").arg("INFO");
    nodes.shuffle(&mut rand::rng());
    let mut why = "no node of the cluster is known".to_owned();
    let mut partial = None;
    for node in nodes {
        let answers = match timeout(ANSWER_WITHIN, node.send_together(&mut questions)).await {
            Ok(Ok(answers)) => answers,
            Ok(Err(trouble)) => {
                why = trouble.text();
                continue;
            }
            Err(_) => {
                why = format!("{} does not answer", node.address);
                continue;
            }
        };
        let [slots, info] = &answers[..] else {
            continue;
        };
        let map = slots
            .as_ref()
            .ok()
            .and_then(|slots| read_slots(slots, &node.address));
        match map {
            Some(map) if is_whole(info) => return Ok(map),
            Some(map) => partial = partial.or(Some(map)),
            None => why = format!("{} does not describe its cluster", node.address),
        }
    }
    partial.ok_or(CallError(why))
}

/// What a node that does not say is taken for.
fn is_whole(info: &Result<Value, CommandError>) -> bool {
    let text: Option<String> = info
        .as_ref()
        .ok()
        .and_then(|info| ::redis::from_redis_value(info.clone()).ok());
    text.is_none_or(|text| !text.contains("cluster_state:fail"))
}

/// `CLUSTER SLOTS`: a list of (first slot, last slot, master, replicas…), each node as (host, port, …).
fn read_slots(answer: &Value, asked: &NodeAddress) -> Option<SlotMap> {
    let Value::Array(ranges) = answer else {
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
            .map(|node| read_node(node, asked))
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

fn read_node(node: &Value, asked: &NodeAddress) -> Option<NodeAddress> {
    let Value::Array(parts) = node else {
        return None;
    };
    let [host, Value::Int(port), ..] = &parts[..] else {
        return None;
    };
    let host: Option<String> = ::redis::from_redis_value(host.clone()).ok()?;
    Some(NodeAddress {
        // A node that does not know its own name means: where you asked me.
        host: host
            .filter(|host| !host.is_empty() && host != "?")
            .unwrap_or_else(|| asked.host.clone()),
        port: u16::try_from(*port).ok()?,
    })
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
    fn a_cluster_says_who_has_which_slots() {
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
        let (owners, members) = read_slots(&answer, &at("asked", 1)).expect("a map");
        for partition in Partition::all() {
            let expected = match partition.slot() {
                0..=8191 => Some(at("10.0.0.1", 7000)),
                8192..=16000 => Some(at("asked", 7002)),
                _ => None,
            };
            assert_eq!(owners[partition.index()], expected, "{partition}");
        }
        assert_eq!(
            members,
            [
                at("10.0.0.1", 7000),
                at("10.0.0.2", 7001),
                at("asked", 7002)
            ]
        );
        assert!(read_slots(&Value::Array(vec![]), &at("asked", 1)).is_none());
        assert!(read_slots(&Value::Okay, &at("asked", 1)).is_none());
    }

    #[test]
    fn one_sentinel_that_lives_in_the_past_is_outvoted() {
        let (old, new) = (at("old", 6379), at("new", 6379));
        assert_eq!(
            most_named(&[old.clone(), new.clone(), new.clone()]),
            Some(new)
        );
        assert_eq!(most_named(std::slice::from_ref(&old)), Some(old));
        assert_eq!(most_named(&[]), None);
    }

    #[test]
    fn a_node_that_lost_the_others_is_not_believed_while_another_is_well() {
        let said = |state: &str| {
            Ok(text(&format!(
                "cluster_state:{state}\r\ncluster_slots_ok:1\r\n"
            )))
        };
        assert!(is_whole(&said("ok")));
        assert!(!is_whole(&said("fail")));
        assert!(is_whole(&Err(CommandError::Refused("NOPERM".into()))));
    }
}
