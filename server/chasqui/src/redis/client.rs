//! One installation of Redis: a call goes to the server that holds its partition, and follows it when it moves.

use std::sync::Arc;
use std::time::Duration;

use ::redis::{Cmd, Value};
use dashmap::DashMap;
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

/// How long a call may take with all its detours; then the caller hears that Redis is not available.
pub const CALL_TIMEOUT: Duration = Duration::from_secs(3);

/// Before a call is tried again: a failover takes seconds, a moved slot nothing.
const RETRY_PAUSE: Duration = Duration::from_millis(50);

/// Redirections that are followed at once; a cluster that sends us round and round is not settled.
const MAX_REDIRECTIONS: u32 = 5;

/// One installation of Redis. Connections are made as they are needed.
#[derive(Debug)]
pub struct RedisClient {
    settings: RedisSettings,
    clients: Connector,
    routes: RoutingTable,
    nodes: DashMap<NodeAddress, Arc<Server>>,
}

/// A server that holds partitions, and the ways to it.
#[derive(Debug)]
struct Server {
    node: Arc<Node>,
    /// Where replicas are asked; else writes go the same way as everything.
    quorum: Option<Quorum>,
}

/// Whether a call's effect must have reached the replicas.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Durability {
    Done,
    Durable,
}

impl RedisClient {
    /// Finds out who holds what. No server that holds data need be there yet.
    pub async fn open(settings: &RedisSettings) -> Result<Arc<Self>, CallError> {
        Ok(Arc::new(Self {
            clients: Connector::for_nodes(settings)?,
            routes: RoutingTable::open(settings).await?,
            settings: settings.clone(),
            nodes: DashMap::new(),
        }))
    }

    pub fn settings(&self) -> &RedisSettings {
        &self.settings
    }

    /// `PUBLISH`, or `SPUBLISH` on a cluster: what a script tells its partition's subscribers by.
    pub fn publish_command(&self) -> &'static str {
        match self.settings.topology {
            Topology::Cluster(_) => "SPUBLISH",
            _ => "PUBLISH",
        }
    }

    /// Who holds each partition now, and told when that changes.
    pub fn owners(&self) -> watch::Receiver<Owners> {
        self.routes.watch()
    }

    /// Has the owners looked up again at once: something was not where it should be.
    pub fn refresh_owners(&self) {
        self.routes.refresh();
    }

    /// Runs a script where the partition lives.
    pub async fn run(&self, partition: Partition, call: &ScriptCall) -> Result<Value, CallError> {
        self.call(partition, call, Durability::Done).await
    }

    /// The same; `Ok` once as many replicas as the settings ask for have it too.
    pub async fn run_durably(
        &self,
        partition: Partition,
        call: &ScriptCall,
    ) -> Result<Value, CallError> {
        self.call(partition, call, Durability::Durable).await
    }

    /// Runs one call on each of many partitions, all under way at once; the results come in the order of the calls.
    pub async fn run_all(
        &self,
        calls: &[(Partition, ScriptCall)],
    ) -> Vec<Result<Value, CallError>> {
        self.call_all(calls, Durability::Done).await
    }

    /// The same; each `Ok` once the replicas have it too.
    pub async fn run_all_durably(
        &self,
        calls: &[(Partition, ScriptCall)],
    ) -> Vec<Result<Value, CallError>> {
        self.call_all(calls, Durability::Durable).await
    }

    async fn call_all(
        &self,
        calls: &[(Partition, ScriptCall)],
        promise: Durability,
    ) -> Vec<Result<Value, CallError>> {
        let calls = calls
            .iter()
            .map(|(partition, call)| self.call(*partition, call, promise));
        futures_util::future::join_all(calls).await
    }

    /// The servers that hold partitions now, each once.
    pub fn masters(&self) -> Vec<NodeAddress> {
        let owners = self.routes.watch();
        let owners = owners.borrow().iter().flatten().cloned().collect();
        let masters: std::collections::BTreeSet<_> = owners;
        masters.into_iter().collect()
    }

    /// One command to one server, whatever it holds. `None`: the server refuses the command.
    pub async fn ask(
        &self,
        address: &NodeAddress,
        question: &Cmd,
    ) -> Result<Option<Value>, CallError> {
        let server = self.server(address.clone())?;
        match server.node.send(question).await {
            Ok(value) => Ok(Some(value)),
            Err(CommandError::Refused(_)) => Ok(None),
            Err(trouble) => Err(CallError(trouble.text())),
        }
    }

    /// Every call may be repeated: whoever wrote its script saw to that.
    async fn call(
        &self,
        partition: Partition,
        call: &ScriptCall,
        promise: Durability,
    ) -> Result<Value, CallError> {
        let deadline = Instant::now() + CALL_TIMEOUT;
        let mut command = call.by_hash();
        let mut target = None;
        let mut is_asking = false;
        let mut redirections = 0;
        loop {
            let server = match target.take().or_else(|| self.routes.owner(partition)) {
                Some(address) => self.server(address)?,
                None => {
                    self.routes.refresh();
                    again(deadline, "no server holds its part of the data").await?;
                    continue;
                }
            };
            let sent = server.send(&command, is_asking, promise);
            let trouble = match timeout_at(deadline, sent).await {
                Ok(Ok(value)) => return Ok(value),
                Ok(Err(trouble)) => trouble,
                Err(_) => return Err(CallError(CommandError::TimedOut.text())),
            };
            let was_asking = std::mem::take(&mut is_asking);
            match trouble {
                CommandError::NoScript => {
                    command = call.by_text();
                    target = Some(server.node.address.clone());
                    is_asking = was_asking;
                }
                CommandError::Moved(address) if redirections < MAX_REDIRECTIONS => {
                    self.routes.refresh();
                    target = Some(address);
                    redirections += 1;
                }
                CommandError::Ask(address) if redirections < MAX_REDIRECTIONS => {
                    target = Some(address);
                    is_asking = true;
                    redirections += 1;
                }
                CommandError::Refused(why) => return Err(CallError(why)),
                CommandError::TimedOut | CommandError::Gone(_) | CommandError::Unreplicated(_) => {
                    self.routes.refresh();
                    return Err(CallError(trouble.text()));
                }
                _ => {
                    self.routes.refresh();
                    again(deadline, &trouble.text()).await?;
                    redirections = 0;
                }
            }
        }
    }

    fn server(&self, address: NodeAddress) -> Result<Arc<Server>, CallError> {
        if let Some(server) = self.nodes.get(&address) {
            return Ok(Arc::clone(&server));
        }
        // Servers that hold nothing any more are forgotten when another comes.
        let owners = self.routes.watch();
        self.nodes
            .retain(|known, _| owners.borrow().iter().flatten().any(|owner| owner == known));
        let server = Arc::new(self.reach(&address)?);
        Ok(Arc::clone(&self.nodes.entry(address).or_insert(server)))
    }

    fn reach(&self, address: &NodeAddress) -> Result<Server, CallError> {
        let node = |response| -> Result<_, CallError> {
            let client = self.clients.client(address)?;
            Ok(Arc::new(Node::new(address.clone(), client, response)))
        };
        let RedisSettings {
            wait_replicas,
            wait_timeout,
            ..
        } = self.settings;
        let quorum = match wait_replicas {
            0 => None,
            replicas => Some(Quorum::new(
                node(RESPONSE_TIMEOUT + wait_timeout)?,
                replicas,
                wait_timeout,
            )),
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
        promise: Durability,
    ) -> Result<Value, CommandError> {
        match &self.quorum {
            Some(quorum) if promise == Durability::Durable => {
                quorum.send(command.clone(), is_asking).await
            }
            _ if is_asking => self.node.send_asking(command).await,
            _ => self.node.send(command).await,
        }
    }
}

/// Waits a little before the next attempt; no longer than the caller has time for.
async fn again(deadline: Instant, why: &str) -> Result<(), CallError> {
    let pause = RETRY_PAUSE.mul_f64(0.5 + rand::random::<f64>());
    if Instant::now() + pause >= deadline {
        return Err(CallError(why.to_owned()));
    }
    sleep(pause).await;
    Ok(())
}
