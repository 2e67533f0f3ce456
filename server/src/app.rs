//! The composition root: the only file that knows every part; [`storage`] beside it knows which store and relay there are.

pub(crate) mod storage;

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use rand::RngExt;
use tokio::net::TcpListener;
use tokio::pin;
use tokio::sync::Notify;
use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

use crate::account::Secret;
use crate::config::{Config, Storage};
use crate::gateway::{Gateway, JobWakeups, Parts};
use crate::http::{self, Canary, Entrance, Readiness, Site};
use crate::jobs::{CheckHandler, DeliveryHandler, JobHandler, JobWorker, WorkerLimits};
use crate::push::{Hub, Intervals};
use crate::relay::RelayListener;
use crate::store::{Store, StoreError};
use crate::token::StatusTokens;
use crate::{clock, khipu, telemetry};
use storage::Opened;

/// What the two listeners are bound to; port 0 is decided by then.
#[derive(Debug)]
pub struct Listeners {
    pub public: TcpListener,
    /// Metrics and probes.
    pub admin: TcpListener,
}

#[derive(Debug, thiserror::Error)]
pub enum AppError {
    #[error("{address} cannot be listened on: {error}")]
    Listen {
        address: SocketAddr,
        error: io::Error,
    },
    #[error("storage.url cannot be opened: {0}")]
    Store(StoreError),
    #[error("storage.url: {0}")]
    Redis(String),
    /// One line each.
    #[error("storage.url names a redis that must not keep payments as it is:\n{0}")]
    Unfit(String),
    #[error("the signing key beside the database ({path}) cannot be read or made: {error}")]
    SigningKey { path: PathBuf, error: io::Error },
    #[error("the http client cannot be set up: {0}")]
    HttpClient(#[from] reqwest::Error),
    #[error("deliveries and checks cannot be set up: {0}")]
    Jobs(String),
    #[error("a part that must run for ever ended: {0}")]
    Broken(String),
}

impl Listeners {
    pub async fn bind(config: &Config) -> Result<Self, AppError> {
        Ok(Self {
            public: bind(config.server.listen).await?,
            admin: bind(config.server.admin_listen).await?,
        })
    }
}

async fn bind(address: SocketAddr) -> Result<TcpListener, AppError> {
    TcpListener::bind(address)
        .await
        .map_err(|error| AppError::Listen { address, error })
}

/// Runs a gateway until `shutdown`, then drains: watchers are sent away over the drain window, requests under way finish,
/// and what is on the agenda stays there for whoever comes next.
pub fn run(
    config: Config,
    listeners: Listeners,
    shutdown: impl Future<Output = ()>,
) -> impl Future<Output = Result<(), AppError>> {
    let storage = config.storage.clone();
    // Boxed: it is large, done with at once, and would be held as long as everything else.
    let opening = Box::pin(async move { storage::open(&storage).await });
    run_on(opening, config, listeners, shutdown)
}

async fn run_on(
    opening: impl Future<Output = Result<Opened, AppError>>,
    config: Config,
    listeners: Listeners,
    shutdown: impl Future<Output = ()>,
) -> Result<(), AppError> {
    let metrics = telemetry::metrics();
    pin!(shutdown);

    let stop = CancellationToken::new();
    // Cancels it also when this future is dropped.
    let stop_serving = stop.clone().drop_guard();
    let stopped = || stop.clone().cancelled_owned();
    let mut doors = Doors::open(&config, listeners, stopped);
    let opened = tokio::select! {
        opened = opening => opened?,
        () = &mut shutdown => return Ok(()),
    };
    let store = Arc::clone(&opened.store);
    let signing_keys = signing_keys(&config)?;
    let limits = &config.limits;

    let intervals = Intervals {
        heartbeat: limits.heartbeat_interval,
        ping: limits.ping_interval,
        lifetime: limits.connection_lifetime,
    };
    let hub = Arc::new(Hub::new(limits.watchers_per_payment, intervals));
    let relay = opened.relay(Arc::clone(&hub) as Arc<dyn RelayListener>);
    let khipu = khipu::Client::new(&config.khipu, limits.khipu_answer_bytes)?;
    let wake = JobWakeups::default();
    let parts = Parts {
        store: Arc::clone(&store),
        relay,
        hub: Arc::clone(&hub),
        khipu,
        wake: wake.clone(),
    };
    let gateway = Arc::new(Gateway::new(&config, parts));
    let readiness = Arc::new(Readiness::default());
    let site = Arc::new(Site {
        gateway: Arc::clone(&gateway),
        tokens: StatusTokens::new(&signing_keys, config.server.status_token_ttl).ok_or_else(
            || AppError::SigningKey {
                path: PathBuf::new(),
                error: io::Error::other("there is no signing key"),
            },
        )?,
        server: config.server.clone(),
        readiness: Arc::clone(&readiness),
        canary: Canary::default(),
        refusal_warnings: Default::default(),
        metrics,
    });

    let mut loops = start_loops(&hub, &gateway, &readiness);
    let delivery = delivery_handler(&gateway, &store)?;
    let deliveries = worker(
        &store,
        delivery,
        DeliveryHandler::WORKER_LIMITS,
        wake.deliveries,
    )?;
    let check = CheckHandler::new(Arc::clone(&gateway), store.clone());
    let limits = check.worker_limits();
    let checks = worker(&store, check, limits, wake.checks)?;
    let mut deliveries = tokio::spawn(deliveries.run(stop.clone()));
    let mut checks = tokio::spawn(checks.run(stop.clone()));

    doors.public.open(http::public(Arc::clone(&site)));
    doors.admin.open(http::admin(site));
    readiness.set_ready();
    tracing::info!(public_url = %config.server.public_url, "ready");

    let broken = tokio::select! {
        () = &mut shutdown => None,
        ended = loops.join_next() => Some(why(ended.unwrap_or(Ok(())))),
        ended = &mut deliveries => Some(why(ended)),
        ended = &mut checks => Some(why(ended)),
        reason = opened.failed() => Some(reason),
    };
    match &broken {
        None => tracing::info!(watchers = hub.watchers(), "stopping"),
        // Whatever it held is durable. A process that starts anew does the work; one that goes on without it does not.
        Some(reason) => tracing::error!(reason, "a part that must run for ever ended; stopping"),
    }
    readiness.set_draining();
    let window = config.server.drain_window;
    let deadline = tokio::time::Instant::now() + window;
    hub.drain(window).await;
    drop(stop_serving);
    let finished = async {
        while doors.serving.join_next().await.is_some() {}
        for task in [deliveries, checks] {
            if !task.is_finished() {
                let _ = task.await;
            }
        }
    };
    if tokio::time::timeout_at(
        deadline.max(tokio::time::Instant::now() + LAST_REQUESTS),
        finished,
    )
    .await
    .is_err()
    {
        tracing::warn!("some requests or deliveries were cut off; deliveries will be tried again");
    }
    loops.abort_all();
    tracing::info!("stopped");
    broken.map_or(Ok(()), |reason| Err(AppError::Broken(reason)))
}

/// The two listeners at work, from before there is anything behind them.
struct Doors {
    public: Arc<Entrance>,
    admin: Arc<Entrance>,
    serving: JoinSet<()>,
}

impl Doors {
    fn open<S>(config: &Config, listeners: Listeners, stopped: impl Fn() -> S) -> Self
    where
        S: Future<Output = ()> + Send + 'static,
    {
        let limits = &config.limits;
        let grant = http::Grant {
            connections: limits.connections,
            reserved_connections: limits.reserved_connections,
            connections_per_address: limits.connections_per_address,
            trusted_proxies: config.server.trusted_proxies.clone(),
            head_timeout: limits.handshake_timeout,
            body_pace: http::Pace {
                timeout: limits.body_timeout,
                bytes_per_second: limits.body_bytes_per_second,
            },
            is_always_answered: http::is_always_answered,
        };
        let mut serving = JoinSet::new();
        let mut open = |listener| {
            let entrance = Entrance::starting();
            let (grant, stop) = (grant.clone(), stopped());
            serving.spawn(http::serve(listener, Arc::clone(&entrance), grant, stop));
            entrance
        };
        let (public, admin) = (open(listeners.public), open(listeners.admin));
        Self {
            public,
            admin,
            serving,
        }
    }
}

/// What goes on for ever; none of these ends by itself.
fn start_loops(hub: &Arc<Hub>, gateway: &Arc<Gateway>, readiness: &Arc<Readiness>) -> JoinSet<()> {
    let mut loops = JoinSet::new();
    let (hub, readiness) = (Arc::clone(hub), Arc::clone(readiness));
    loops.spawn(async move { hub.turn_wheel(|| readiness.turned(clock::now())).await });
    loops.spawn(Arc::clone(gateway).follow_watched());
    loops.spawn(Arc::clone(gateway).catch_up());
    loops
}

fn why(ended: Result<(), JoinError>) -> String {
    ended
        .err()
        .map_or_else(|| "it returned".to_owned(), |error| error.to_string())
}

/// What requests under way are granted even when the drain window is used up.
const LAST_REQUESTS: Duration = Duration::from_secs(1);

fn delivery_handler(
    gateway: &Arc<Gateway>,
    store: &Arc<dyn Store>,
) -> Result<DeliveryHandler, AppError> {
    let asking = Arc::clone(gateway);
    let build_notification = Arc::new(move |id, account| {
        let gateway = Arc::clone(&asking);
        async move { gateway.rebuild_notification(&account, &id).await }.boxed()
    });
    let (accounts, limits) = (&gateway.accounts, Default::default());
    DeliveryHandler::new(store.clone(), accounts, build_notification, limits)
        .map_err(|error| AppError::Jobs(error.to_string()))
}

fn worker<H: JobHandler>(
    store: &Arc<dyn Store>,
    handler: H,
    limits: WorkerLimits,
    wake: Arc<Notify>,
) -> Result<JobWorker<H>, AppError> {
    JobWorker::new(store.clone(), handler, limits, wake)
        .map_err(|error| AppError::Jobs(error.to_string()))
}

/// The configured keys; or one that is made once and kept beside the database, so that tokens outlive a restart.
pub fn signing_keys(config: &Config) -> Result<Vec<Secret>, AppError> {
    if !config.server.signing_keys.is_empty() {
        return Ok(config.server.signing_keys.clone());
    }
    match &config.storage {
        Storage::Memory => Ok(vec![fresh_key()]),
        // The configuration was refused without them.
        Storage::Redis(_) => Err(AppError::SigningKey {
            path: PathBuf::new(),
            error: io::Error::other("server.signing_keys must be set"),
        }),
        Storage::File(database) => {
            let path = beside(database);
            let key = kept_key(&path).map_err(|error| AppError::SigningKey { path, error })?;
            Ok(vec![key])
        }
    }
}

fn beside(database: &Path) -> PathBuf {
    let mut path = database.as_os_str().to_owned();
    path.push(".key");
    path.into()
}

fn kept_key(path: &Path) -> io::Result<Secret> {
    use std::io::Write;
    match std::fs::read_to_string(path) {
        Ok(text) if text.trim().len() >= 32 => return Ok(Secret::new(text.trim())),
        Ok(_) => {
            return Err(io::Error::other(
                "it is too short to be a key; remove it and a new one is made",
            ));
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let key = fresh_key();
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    writeln!(file, "{}", key.expose())?;
    file.sync_all()?;
    // The name must last as long as what it names.
    let directory = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    std::fs::File::open(directory)?.sync_all()?;
    Ok(key)
}

fn fresh_key() -> Secret {
    let mut random = rand::rng();
    Secret::new(
        (0..64)
            .map(|_| char::from(b"0123456789abcdef"[random.random_range(0..16)]))
            .collect::<String>(),
    )
}

#[cfg(test)]
mod tests {
    use super::storage::Engine;
    use super::*;
    use crate::store::sqlite::Location;

    #[tokio::test]
    async fn a_panic_in_the_stores_writer_ends_the_process() {
        let config = Config::from_toml(
            r#"
            [server]
            listen = "127.0.0.1:0"
            admin_listen = "127.0.0.1:0"
            [storage]
            url = "sqlite::memory:"
            [khipu]
            base_url = "http://127.0.0.1:9"
            [[accounts]]
            name = "shop"
            receiver_id = 990939
            khipu_api_key = "not-a-real-key"
            khipu_secrets = ["not-a-real-secret"]
            "#,
        )
        .expect("valid");
        let listeners = Listeners::bind(&config).await.expect("free ports");
        let opened = storage::sqlite(&Location::Memory).expect("opened");
        let Engine::Sqlite(store) = &opened.engine else {
            panic!("it is SQLite");
        };
        let store = Arc::clone(store);
        let running = run_on(
            async { Ok(opened) },
            config,
            listeners,
            std::future::pending(),
        );
        let (ended, ()) = tokio::join!(
            tokio::time::timeout(Duration::from_secs(30), running),
            store.panic_in_the_writer()
        );
        let error = ended.expect("in time").expect_err("it is broken");
        assert!(
            error.to_string().contains("store-writer panicked"),
            "{error}"
        );
    }
}
