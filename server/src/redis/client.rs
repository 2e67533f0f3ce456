//! One installation of Redis: a call goes to the server that holds its partition, and follows it when it moves.

use std::sync::Arc;
use std::time::Duration;

use ::redis::{Cmd, Value};
use dashmap::DashMap;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout_at};

use super::connector::Clients;
use super::error::{Failure, Trouble};
use super::node::Node;
use super::partition::Partition;
use super::quorum::Quorum;
use super::routing_table::{Owners, Routes};
use super::script::Call;
use super::settings::{Address, Settings, Topology};

/// How long one command may take; then its connection is given up.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(2);

/// How long a call may take with all its detours; then the caller hears that Redis is not available.
pub const ANSWER_WAIT: Duration = Duration::from_secs(3);

/// Before a call is tried again: a failover takes seconds, a moved slot nothing.
const TRY_AGAIN: Duration = Duration::from_millis(50);

/// Redirections that are followed at once; a cluster that sends us round and round is not settled.
const DETOURS: u32 = 5;

/// One installation of Redis. Connections are made as they are needed.
#[derive(Debug)]
pub struct Redis {
    settings: Settings,
    clients: Clients,
    routes: Routes,
    nodes: DashMap<Address, Arc<Server>>,
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
enum Promise {
    Done,
    Durable,
}

impl Redis {
    /// Finds out who holds what. No server that holds data need be there yet.
    pub async fn open(settings: &Settings) -> Result<Arc<Self>, Failure> {
        Ok(Arc::new(Self {
            clients: Clients::of_nodes(settings)?,
            routes: Routes::open(settings).await?,
            settings: settings.clone(),
            nodes: DashMap::new(),
        }))
    }

    pub fn settings(&self) -> &Settings {
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
        self.routes.doubt();
    }

    /// Runs a script where the partition lives.
    pub async fn run(&self, partition: Partition, call: &Call) -> Result<Value, Failure> {
        self.call(partition, call, Promise::Done).await
    }

    /// The same; `Ok` once as many replicas as the settings ask for have it too.
    pub async fn run_durably(&self, partition: Partition, call: &Call) -> Result<Value, Failure> {
        self.call(partition, call, Promise::Durable).await
    }

    /// Runs one call on each of many partitions, all under way at once; the results come in the order of the calls.
    pub async fn run_all(&self, calls: &[(Partition, Call)]) -> Vec<Result<Value, Failure>> {
        self.call_all(calls, Promise::Done).await
    }

    /// The same; each `Ok` once the replicas have it too.
    pub async fn run_all_durably(
        &self,
        calls: &[(Partition, Call)],
    ) -> Vec<Result<Value, Failure>> {
        self.call_all(calls, Promise::Durable).await
    }

    async fn call_all(
        &self,
        calls: &[(Partition, Call)],
        promise: Promise,
    ) -> Vec<Result<Value, Failure>> {
        let calls = calls
            .iter()
            .map(|(partition, call)| self.call(*partition, call, promise));
        futures_util::future::join_all(calls).await
    }

    /// The servers that hold partitions now, each once.
    pub fn masters(&self) -> Vec<Address> {
        let owners = self.routes.watch();
        let owners = owners.borrow().iter().flatten().cloned().collect();
        let masters: std::collections::BTreeSet<_> = owners;
        masters.into_iter().collect()
    }

    /// One command to one server, whatever it holds. `None`: the server refuses the command.
    pub async fn ask(&self, address: &Address, question: &Cmd) -> Result<Option<Value>, Failure> {
        let server = self.server(address.clone())?;
        match server.node.send(question).await {
            Ok(value) => Ok(Some(value)),
            Err(Trouble::Refused(_)) => Ok(None),
            Err(trouble) => Err(Failure(trouble.text())),
        }
    }

    /// Every call may be repeated: whoever wrote its script saw to that.
    async fn call(
        &self,
        partition: Partition,
        call: &Call,
        promise: Promise,
    ) -> Result<Value, Failure> {
        let deadline = Instant::now() + ANSWER_WAIT;
        let mut command = call.by_hash();
        let mut target = None;
        let mut is_asking = false;
        let mut detours = 0;
        loop {
            let server = match target.take().or_else(|| self.routes.owner(partition)) {
                Some(address) => self.server(address)?,
                None => {
                    self.routes.doubt();
                    again(deadline, "no server holds its part of the data").await?;
                    continue;
                }
            };
            let sent = server.send(&command, is_asking, promise);
            let trouble = match timeout_at(deadline, sent).await {
                Ok(Ok(value)) => return Ok(value),
                Ok(Err(trouble)) => trouble,
                Err(_) => return Err(Failure(Trouble::TimedOut.text())),
            };
            let was_asking = std::mem::take(&mut is_asking);
            match trouble {
                Trouble::NoScript => {
                    command = call.by_text();
                    target = Some(server.node.address.clone());
                    is_asking = was_asking;
                }
                Trouble::Moved(address) if detours < DETOURS => {
                    self.routes.doubt();
                    target = Some(address);
                    detours += 1;
                }
                Trouble::Ask(address) if detours < DETOURS => {
                    target = Some(address);
                    is_asking = true;
                    detours += 1;
                }
                Trouble::Refused(why) => return Err(Failure(why)),
                Trouble::TimedOut | Trouble::Gone(_) | Trouble::Unreplicated(_) => {
                    self.routes.doubt();
                    return Err(Failure(trouble.text()));
                }
                _ => {
                    self.routes.doubt();
                    again(deadline, &trouble.text()).await?;
                    detours = 0;
                }
            }
        }
    }

    fn server(&self, address: Address) -> Result<Arc<Server>, Failure> {
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

    fn reach(&self, address: &Address) -> Result<Server, Failure> {
        let node = |response| -> Result<_, Failure> {
            let client = self.clients.client(address)?;
            Ok(Arc::new(Node::new(address.clone(), client, response)))
        };
        let Settings {
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
        promise: Promise,
    ) -> Result<Value, Trouble> {
        match &self.quorum {
            Some(quorum) if promise == Promise::Durable => {
                quorum.send(command.clone(), is_asking).await
            }
            _ if is_asking => self.node.send_asking(command).await,
            _ => self.node.send(command).await,
        }
    }
}

/// Waits a little before the next attempt; no longer than the caller has time for.
async fn again(deadline: Instant, why: &str) -> Result<(), Failure> {
    let pause = TRY_AGAIN.mul_f64(0.5 + rand::random::<f64>());
    if Instant::now() + pause >= deadline {
        return Err(Failure(why.to_owned()));
    }
    sleep(pause).await;
    Ok(())
}
