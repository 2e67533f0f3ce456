//! The suite on a standalone Redis and on a Cluster, and what only this implementation promises.

mod erasing;
mod expiry;
mod leases;
mod listings;
mod partitions;
mod preflight;
mod publishing;
mod recovery;

mod status;

use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use async_trait::async_trait;
use chasqui_payment::{JobKind, Observation, Payment, PaymentId, PaymentState, Timestamp};
use chasqui_redis_topology::{Credentials, Partition, RedisClient, RedisSettings, Topology};
use chasqui_store::{
    JobQueue, JobResult, LeasedJob, PaymentIndex, PaymentReader, PaymentStore, PollLock, Store,
    StoreError,
};
use chasqui_store_suite::{StoreFactory, store_suite};
use redis_processes::{AppendOnly, Options, RedisCluster, RedisServer};
use tokio::runtime::Handle;
use tokio::sync::{Mutex, MutexGuard};
use tokio::task;

use super::retention::{self, Retention};
use super::{RedisStore, job_queue, keys, replies, transactions};

store_suite!(standalone_server, Standalone::default());
store_suite!(on_a_cluster, Clustered::take());

/// A Redis for each test, empty for each fresh store. Its user has the permissions of the operating guide and no others.
#[derive(Default)]
struct Standalone {
    server: OnceLock<RedisServer>,
}

/// `ACL SETUSER chasqui on >secret …`
const GUIDE: &str = include_str!("../../../../OPERATING.md");

impl Standalone {
    fn settings(&self) -> RedisSettings {
        let server = self.server.get_or_init(|| {
            let server = now(start());
            let mut lines = GUIDE.lines();
            let user = lines.find(|line| line.starts_with("ACL SETUSER chasqui on >secret "));
            let words: Vec<_> = user.expect("in the guide").split(' ').collect();
            now(server.command(&words));
            server
        });
        RedisSettings {
            credentials: Some(Credentials {
                username: Some("chasqui".to_owned()),
                password: "secret".to_owned(),
            }),
            ..standalone(server)
        }
    }
}

#[async_trait]
impl StoreFactory for Standalone {
    async fn fresh(&self) -> Arc<dyn Store> {
        let settings = self.settings();
        let server = self.server.get().expect("started with the settings");
        now(server.command(&["FLUSHALL"]));
        Arc::new(open(&settings, RETENTION).await)
    }

    async fn reopened(&self, store: Arc<dyn Store>) -> Option<Arc<dyn Store>> {
        drop(store);
        Some(Arc::new(open(&self.settings(), RETENTION).await))
    }
}

/// Starting a cluster takes longer than a test, so tests share one for as long as any of them waits for it; each has it to
/// itself, and empty for each fresh store.
struct Clustered {
    cluster: Arc<RedisCluster>,
    _lock: MutexGuard<'static, ()>,
}

static CLUSTER: Mutex<Weak<RedisCluster>> = Mutex::const_new(Weak::new());
static IN_USE: Mutex<()> = Mutex::const_new(());

impl Clustered {
    fn take() -> Self {
        let cluster = now(async {
            let mut shared = CLUSTER.lock().await;
            match shared.upgrade() {
                Some(cluster) => cluster,
                None => {
                    let cluster = Arc::new(RedisCluster::start(&options()).await);
                    *shared = Arc::downgrade(&cluster);
                    cluster
                }
            }
        });
        let lock = now(IN_USE.lock());
        Self {
            cluster,
            _lock: lock,
        }
    }
}

#[async_trait]
impl StoreFactory for Clustered {
    async fn fresh(&self) -> Arc<dyn Store> {
        for master in &self.cluster.nodes[..3] {
            now(master.command(&["FLUSHALL"]));
        }
        Arc::new(open(&on_cluster(&self.cluster), RETENTION).await)
    }

    async fn reopened(&self, store: Arc<dyn Store>) -> Option<Arc<dyn Store>> {
        drop(store);
        let settings = on_cluster(&self.cluster);
        Some(Arc::new(open(&settings, RETENTION).await))
    }
}

/// Waits on this thread: the commands to a test's processes are not Send, as a factory's futures must be.
fn now<T>(future: impl Future<Output = T>) -> T {
    task::block_in_place(|| Handle::current().block_on(future))
}

/// The store does not depend on how the server persists.
fn options() -> Options {
    Options::append_only(AppendOnly::No)
}

async fn start() -> RedisServer {
    RedisServer::start(&options()).await
}

fn standalone(server: &RedisServer) -> RedisSettings {
    RedisSettings::new(Topology::Standalone(server.address().into()))
}

fn on_cluster(cluster: &RedisCluster) -> RedisSettings {
    let nodes = cluster.nodes.iter().map(|node| node.address().into());
    RedisSettings::new(Topology::Cluster(nodes.collect()))
}

/// The defaults of `[storage]`.
const RETENTION: Retention = Retention {
    payments: Duration::from_secs(30 * 24 * 3600),
    notification_bytes: Duration::from_secs(7 * 24 * 3600),
};

async fn open(settings: &RedisSettings, retention: Retention) -> RedisStore {
    let redis = RedisClient::open(settings).await.expect("reachable");
    RedisStore::open(redis, retention).await.expect("open")
}

async fn open_standalone(server: &RedisServer) -> RedisStore {
    open(&standalone(server), RETENTION).await
}

/// `payment`, `notified`, `raw`, `timeline` or `change` of a payment.
fn key(kind: &str, name: &str) -> String {
    keys::key(Partition::of(name), kind, name)
}

/// The server's clock, which is this machine's.
async fn time(server: &RedisServer) -> Timestamp {
    let time: (i64, i64) = server.ask(&["TIME"]).await;
    Timestamp::from_unix_ms(time.0 * 1000 + time.1 / 1000)
}

const HOURS: Duration = Duration::from_secs(5 * 3600);
