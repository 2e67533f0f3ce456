//! Which server holds which partition, kept true while masters fail and slots move.
//!
//! A standalone server holds all of them for ever. Sentinels and clusters are asked at intervals, and at once when a call
//! found something else than it expected. What they say may be old: whoever is sent to the wrong place says so and asks
//! for another look.

use std::sync::Arc;
use std::time::Duration;

use ::redis::{Value, cmd};
use rand::seq::SliceRandom;
use tokio::sync::{Notify, watch};
use tokio::task::AbortHandle;
use tokio::time::timeout;

use super::client::Clients;
use super::node::Node;
use super::partition::{PARTITIONS, Partition};
use super::{Address, Failure, Settings, Topology};

/// Between two looks when nobody asks for one.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Between two looks however many ask for one.
const SHORTEST_PAUSE: Duration = Duration::from_millis(100);

/// How long one sentinel or node may take to say what it knows.
const ANSWER_WITHIN: Duration = Duration::from_secs(1);

/// By partition; `None` where nobody serves it.
pub(crate) type Owners = Arc<Vec<Option<Address>>>;

#[derive(Debug)]
pub(crate) struct Routes {
    owners: watch::Receiver<Owners>,
    look_again: Arc<Notify>,
    looking: Option<AbortHandle>,
}

impl Routes {
    /// Looks once, and then goes on looking for as long as this lives.
    pub(super) async fn open(settings: &Settings) -> Result<Self, Failure> {
        let look_again = Arc::new(Notify::new());
        let mut guide = match &settings.topology {
            Topology::Standalone(address) => {
                let (_, owners) = watch::channel(all_at(address));
                return Ok(Self {
                    owners,
                    look_again,
                    looking: None,
                });
            }
            Topology::Sentinel { sentinels, master } => Guide::Sentinels {
                sentinels: known(&Clients::of_sentinels(settings)?, sentinels)?,
                master: master.clone(),
            },
            Topology::Cluster(seeds) => {
                let clients = Clients::of_nodes(settings)?;
                Guide::Cluster {
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
            looking: Some(looking.abort_handle()),
        })
    }

    pub(crate) fn owner(&self, partition: Partition) -> Option<Address> {
        self.owners.borrow()[partition.index()].clone()
    }

    /// As they are now, and told when they change.
    pub(crate) fn watch(&self) -> watch::Receiver<Owners> {
        self.owners.clone()
    }

    /// Something was not where it should be.
    pub(crate) fn doubt(&self) {
        self.look_again.notify_one();
    }
}

impl Drop for Routes {
    fn drop(&mut self) {
        if let Some(looking) = &self.looking {
            looking.abort();
        }
    }
}

fn all_at(address: &Address) -> Owners {
    Arc::new(vec![Some(address.clone()); usize::from(PARTITIONS)])
}

fn known(clients: &Clients, addresses: &[Address]) -> Result<Vec<Node>, Failure> {
    addresses
        .iter()
        .map(|address| node(clients, address.clone()))
        .collect()
}

fn node(clients: &Clients, address: Address) -> Result<Node, Failure> {
    let client = clients.client(&address)?;
    Ok(Node::new(address, client, ANSWER_WITHIN))
}

/// Who knows the way.
enum Guide {
    Sentinels {
        /// The one that answered last comes first.
        sentinels: Vec<Node>,
        master: String,
    },
    Cluster {
        nodes: Vec<Node>,
        seeds: Vec<Address>,
        clients: Clients,
    },
}

impl Guide {
    async fn look(&mut self) -> Result<Vec<Option<Address>>, Failure> {
        match self {
            Self::Sentinels { sentinels, master } => {
                let address = ask_sentinels(sentinels, master).await?;
                Ok(vec![Some(address); usize::from(PARTITIONS)])
            }
            Self::Cluster {
                nodes,
                seeds,
                clients,
            } => {
                let (owners, members) = ask_nodes(nodes).await?;
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

async fn ask_sentinels(sentinels: &mut [Node], master: &str) -> Result<Address, Failure> {
    let mut question = cmd("SENTINEL");
    question.arg("GET-MASTER-ADDR-BY-NAME").arg(master);
    let mut why = format!("no sentinel knows a master named {master:?}");
    for i in 0..sentinels.len() {
        match timeout(ANSWER_WITHIN, sentinels[i].send(&question)).await {
            Ok(Ok(answer)) => {
                let named: Option<(String, u16)> =
                    ::redis::from_redis_value(answer).unwrap_or_default();
                if let Some((host, port)) = named {
                    sentinels[..=i].rotate_right(1);
                    return Ok(Address { host, port });
                }
            }
            Ok(Err(trouble)) => why = trouble.text(),
            Err(_) => why = format!("{} does not answer", sentinels[i].address),
        }
    }
    Err(Failure(why))
}

type Map = (Vec<Option<Address>>, Vec<Address>);

/// Any of them, chosen anew each time: one that is cut off from the others would never notice.
async fn ask_nodes(nodes: &mut [Node]) -> Result<Map, Failure> {
    let mut question = cmd("CLUSTER");
    question.arg("SLOTS");
    nodes.shuffle(&mut rand::rng());
    let mut why = "no node of the cluster is known".to_owned();
    for node in nodes {
        match timeout(ANSWER_WITHIN, node.send(&question)).await {
            Ok(Ok(answer)) => match read_slots(&answer, &node.address) {
                Some(map) => return Ok(map),
                None => why = format!("{} does not describe its cluster", node.address),
            },
            Ok(Err(trouble)) => why = trouble.text(),
            Err(_) => why = format!("{} does not answer", node.address),
        }
    }
    Err(Failure(why))
}

/// `CLUSTER SLOTS`: a list of (first slot, last slot, master, replicas…), each node as (host, port, …).
fn read_slots(answer: &Value, asked: &Address) -> Option<Map> {
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
        let nodes: Vec<Address> = nodes
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

fn read_node(node: &Value, asked: &Address) -> Option<Address> {
    let Value::Array(parts) = node else {
        return None;
    };
    let [host, Value::Int(port), ..] = &parts[..] else {
        return None;
    };
    let host: Option<String> = ::redis::from_redis_value(host.clone()).ok()?;
    Some(Address {
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

    fn at(host: &str, port: u16) -> Address {
        Address {
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
}
