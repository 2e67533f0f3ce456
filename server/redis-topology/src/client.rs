//! One installation of Redis: a call goes to the server that holds its partition, and follows it when it moves.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use ::redis::{Cmd, Value};
use dashmap::DashMap;
use futures_util::future::join_all;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout_at};

use super::connector::Connector;
use super::error::{CallError, CommandError};
use super::node::Node;
use super::partition::Partition;
use super::quorum::Quorum;
use super::routing_table::{Owners, RoutingTable};
use super::script::ScriptCall;
use super::settings::{NodeAddress, RedisSettings, Topology};

/// How long one command may take; then its connection is given up.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(2);

/// How long a call may take with all its redirections and retries; then it fails.
pub(super) const CALL_TIMEOUT: Duration = Duration::from_secs(3);

/// Before a call is tried again: a failover takes seconds, a moved slot no time.
const CALL_RETRY_PAUSE: Duration = Duration::from_millis(50);

/// Redirections that are followed at once; beyond it slots are still moving, and the call is retried after a pause.
const MAX_REDIRECTIONS: u32 = 5;

/// One installation of Redis. Connections are made as they are needed.
#[derive(Debug)]
pub struct RedisClient {
    settings: RedisSettings,
    connector: Connector,
    routing: RoutingTable,
    servers: DashMap<NodeAddress, Arc<Server>>,
}

/// A server that holds partitions, and the connections to it.
#[derive(Debug)]
struct Server {
    node: Arc<Node>,
    /// Where replicas must acknowledge writes; else all calls share one connection.
    quorum: Option<Quorum>,
}

impl RedisClient {
    /// Looks up which server holds what. Sentinels or a node of a cluster must be reachable, the data's servers need not.
    pub async fn open(settings: &RedisSettings) -> Result<Arc<Self>, CallError> {
        Ok(Arc::new(Self {
            connector: Connector::for_nodes(settings)?,
            routing: RoutingTable::open(settings).await?,
            settings: settings.clone(),
            servers: DashMap::new(),
        }))
    }

    pub fn settings(&self) -> &RedisSettings {
        &self.settings
    }

    /// `PUBLISH`, or `SPUBLISH` on a cluster: how a script reaches the subscribers of a channel in its partition.
    pub fn publish_command(&self) -> &'static str {
        match self.settings.topology {
            Topology::Cluster(_) => "SPUBLISH",
            _ => "PUBLISH",
        }
    }

    /// The holder of each partition, now and whenever it changes.
    pub fn owners(&self) -> watch::Receiver<Owners> {
        self.routing.watch()
    }

    /// Looks the owners up again at once: a server failed or holds something else than expected.
    pub fn refresh_owners(&self) {
        self.routing.refresh();
    }

    /// The servers that hold partitions now, each once.
    pub fn masters(&self) -> Vec<NodeAddress> {
        let owners = self.routing.watch();
        let masters: BTreeSet<_> = owners.borrow().iter().flatten().cloned().collect();
        masters.into_iter().collect()
    }

    /// One command to one server, independent of partitions. `None`: the server refuses the command.
    pub async fn send_to(
        &self,
        address: &NodeAddress,
        command: &Cmd,
    ) -> Result<Option<Value>, CallError> {
        let server = self.server(address.clone())?;
        match server.node.send(command).await {
            Ok(value) => Ok(Some(value)),
            Err(CommandError::Refused(_)) => Ok(None),
            Err(error) => Err(CallError(error.to_string())),
        }
    }

    /// Runs a script on the partition's server, perhaps more than once: every script must be safe to repeat.
    pub async fn run(&self, partition: Partition, call: &ScriptCall) -> Result<Value, CallError> {
        let deadline = Instant::now() + CALL_TIMEOUT;
        let mut command = call.by_hash();
        let mut target = None;
        let mut is_asking = false;
        let mut redirections = 0;
        loop {
            let server = match target.take().or_else(|| self.routing.owner(partition)) {
                Some(address) => self.server(address)?,
                None => {
                    self.routing.refresh();
                    pause(deadline, "no redis server holds this part of the data").await?;
                    continue;
                }
            };
            let sent = server.send(&command, is_asking, call.script.is_durable);
            let error = match timeout_at(deadline, sent).await {
                Ok(Ok(value)) => return Ok(value),
                Ok(Err(error)) => error,
                Err(_) => return Err(CallError(CommandError::TimedOut.to_string())),
            };
            let was_asking = std::mem::take(&mut is_asking);
            match error {
                CommandError::NoScript => {
                    command = call.by_text();
                    target = Some(server.node.address.clone());
                    is_asking = was_asking;
                }
                CommandError::Moved(address) if redirections < MAX_REDIRECTIONS => {
                    self.routing.refresh();
                    target = Some(address);
                    redirections += 1;
                }
                CommandError::Ask(address) if redirections < MAX_REDIRECTIONS => {
                    target = Some(address);
                    is_asking = true;
                    redirections += 1;
                }
                CommandError::Refused(reason) => return Err(CallError(reason)),
                CommandError::TimedOut | CommandError::Gone(_) | CommandError::Unreplicated(_) => {
                    self.routing.refresh();
                    return Err(CallError(error.to_string()));
                }
                _ => {
                    self.routing.refresh();
                    pause(deadline, &error.to_string()).await?;
                    redirections = 0;
                }
            }
        }
    }

    /// Runs one call on each of many partitions, all at once; the results come in the order of the calls.
    pub async fn run_all(
        &self,
        calls: &[(Partition, ScriptCall)],
    ) -> Vec<Result<Value, CallError>> {
        let runs = calls
            .iter()
            .map(|(partition, call)| self.run(*partition, call));
        join_all(runs).await
    }

    fn server(&self, address: NodeAddress) -> Result<Arc<Server>, CallError> {
        if let Some(server) = self.servers.get(&address) {
            return Ok(Arc::clone(&server));
        }
        // Servers that no longer hold anything are dropped when another comes.
        let owners = self.routing.watch();
        self.servers
            .retain(|known, _| owners.borrow().iter().flatten().any(|owner| owner == known));
        let server = Arc::new(self.connect(&address)?);
        Ok(Arc::clone(&self.servers.entry(address).or_insert(server)))
    }

    fn connect(&self, address: &NodeAddress) -> Result<Server, CallError> {
        let node = |response| -> Result<_, CallError> {
            let client = self.connector.client(address)?;
            Ok(Arc::new(Node::new(address.clone(), client, response)))
        };
        let wait_timeout = self.settings.wait_timeout;
        let quorum = match self.settings.wait_replicas {
            0 => None,
            replicas => {
                let node = node(RESPONSE_TIMEOUT + wait_timeout)?;
                Some(Quorum::new(node, replicas, wait_timeout))
            }
        };
        Ok(Server {
            node: node(RESPONSE_TIMEOUT)?,
            quorum,
        })
    }
}

impl Server {
    async fn send(
        &self,
        command: &Cmd,
        is_asking: bool,
        is_durable: bool,
    ) -> Result<Value, CommandError> {
        match &self.quorum {
            Some(quorum) if is_durable => quorum.send(command.clone(), is_asking).await,
            _ if is_asking => self.node.send_asking(command).await,
            _ => self.node.send(command).await,
        }
    }
}

/// Pauses before the next attempt, or fails with `reason` where the deadline is nearer.
async fn pause(deadline: Instant, reason: &str) -> Result<(), CallError> {
    let pause = CALL_RETRY_PAUSE.mul_f64(0.5 + rand::random::<f64>());
    if Instant::now() + pause >= deadline {
        return Err(CallError(reason.to_owned()));
    }
    sleep(pause).await;
    Ok(())
}
