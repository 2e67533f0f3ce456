//! The composition root: builds every part and runs it. `storage` chooses the store and the relay.

mod check;
mod error;
mod key_check;
mod signing_keys;
mod storage;

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use chasqui_core::jobs::{
    CheckHandler, DeliveryHandler, EventHandler, JobHandler, JobWorker, WorkerLimits,
};
use chasqui_core::push::{Hub, Intervals};
use chasqui_core::{Dependencies, JobWakeups, Payments, Settings, clock};
use chasqui_khipu::KhipuClient;
use chasqui_store::{RelayListener, Store};
pub use check::check;
pub use error::AppError;
use futures_util::FutureExt;
pub use signing_keys::status_tokens;
use storage::Opened;
use tokio::net::TcpListener;
use tokio::pin;
use tokio::sync::Notify;
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::http::{self, AppState, Readiness, RouterSlot};
use crate::telemetry;

/// The two bound listeners; port 0 has become a real port.
#[derive(Debug)]
pub struct Listeners {
    pub public: TcpListener,
    /// Metrics and probes.
    pub admin: TcpListener,
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

/// Runs a gateway until `shutdown`, then drains it: watchers are closed over the drain window and requests in flight
/// finish. Jobs stay in the store for the next process.
pub fn run(
    config: Config,
    listeners: Listeners,
    shutdown: impl Future<Output = ()>,
) -> impl Future<Output = Result<(), AppError>> {
    let storage = config.storage.clone();
    // Boxed: it is large, short, and would otherwise stay in this future for the whole run.
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
    // Also where this future is dropped.
    let _stop_on_drop = stop.clone().drop_guard();
    let mut servers = Servers::open(&config, listeners, &stop);
    let mut opened = tokio::select! {
        opened = opening => opened?,
        () = &mut shutdown => return Ok(()),
    };
    let store = Arc::clone(&opened.store);
    let tokens = status_tokens(&config)?;
    let limits = &config.limits;

    let intervals = Intervals {
        heartbeat: limits.heartbeat_interval,
        ping: limits.ping_interval,
        lifetime: limits.connection_lifetime,
    };
    let hub = Arc::new(Hub::new(limits.watchers_per_payment, intervals));
    let relay = opened.relay(Arc::clone(&hub) as Arc<dyn RelayListener>);
    let (url, timeout) = (config.khipu.base_url.as_str(), config.khipu.timeout);
    let khipu = KhipuClient::new(url, timeout, limits.khipu_answer_bytes)?;
    let wake = JobWakeups::default();
    let parts = Dependencies {
        store: Arc::clone(&store),
        relay,
        hub: Arc::clone(&hub),
        khipu: khipu.clone(),
        wake: wake.clone(),
    };
    let payments = Arc::new(Payments::new(payments_settings(&config), parts));
    let readiness = Arc::new(Readiness::default());
    let (use_cases, ready) = (Arc::clone(&payments), Arc::clone(&readiness));
    let state = Arc::new(AppState::new(&config, use_cases, tokens, ready, metrics));

    let mut loops = start_loops(&hub, &payments, &readiness);
    let delivery = delivery_handler(&payments, &store)?;
    let limits = DeliveryHandler::worker_limits();
    let deliveries = worker(&store, delivery, limits, wake.deliveries)?;
    let check = CheckHandler::new(Arc::clone(&payments), store.clone());
    let limits = check.worker_limits();
    let checks = worker(&store, check, limits, wake.checks)?;
    let mut workers = JoinSet::new();
    workers.spawn(deliveries.run(stop.clone()));
    workers.spawn(checks.run(stop.clone()));
    if let Some(events) = event_handler(&payments, &store)? {
        let limits = DeliveryHandler::worker_limits();
        workers.spawn(worker(&store, events, limits, wake.events)?.run(stop.clone()));
    }

    servers.public.install(http::public(Arc::clone(&state)));
    servers.admin.install(http::admin(state));
    readiness.set_ready();
    tracing::info!(public_url = %config.server.public_url, "ready");
    let _key_checks = key_check::warn_of_refused_keys(&khipu, &config.accounts);

    let broken = tokio::select! {
        () = &mut shutdown => None,
        ended = loops.join_next() => Some(end_reason(ended.unwrap_or(Ok(())))),
        ended = workers.join_next() => Some(end_reason(ended.unwrap_or(Ok(())))),
        reason = &mut opened.failed => Some(reason),
    };
    match &broken {
        None => tracing::info!(watchers = hub.watchers(), "stopping"),
        // Its work is durable: a restarted process does it, and one that carries on without the task does not.
        Some(reason) => tracing::error!(reason, "a background task ended; stopping"),
    }
    readiness.set_draining();
    let window = config.server.drain_window;
    let deadline = Instant::now() + window;
    hub.drain(window).await;
    stop.cancel();
    let finished = async {
        while servers.serving.join_next().await.is_some() {}
        while workers.join_next().await.is_some() {}
    };
    let deadline = deadline.max(Instant::now() + FINAL_GRACE);
    if timeout_at(deadline, finished).await.is_err() {
        tracing::warn!("requests or jobs did not end in time and were cut off; jobs run again");
    }
    loops.abort_all();
    tracing::info!("stopped");
    broken.map_or(Ok(()), |reason| Err(AppError::Broken(reason)))
}

/// The two listeners in service. They answer probes while the store opens.
struct Servers {
    public: Arc<RouterSlot>,
    admin: Arc<RouterSlot>,
    serving: JoinSet<()>,
}

impl Servers {
    fn open(config: &Config, listeners: Listeners, stop: &CancellationToken) -> Self {
        let limits = &config.limits;
        let listener_limits = http::ListenerLimits {
            connections: limits.connections,
            reserved_connections: limits.reserved_connections,
            connections_per_address: limits.connections_per_address,
            trusted_proxies: config.server.trusted_proxies.clone(),
            head_timeout: limits.handshake_timeout,
            body_pace: http::BodyPace {
                timeout: limits.body_timeout,
                bytes_per_second: limits.body_bytes_per_second,
            },
            is_always_answered: http::is_always_answered,
        };
        let mut serving = JoinSet::new();
        let mut spawn = |listener| {
            let router = RouterSlot::starting();
            let (limits, stop) = (listener_limits.clone(), stop.clone());
            serving.spawn(http::serve(listener, Arc::clone(&router), limits, stop));
            router
        };
        let (public, admin) = (spawn(listeners.public), spawn(listeners.admin));
        Self {
            public,
            admin,
            serving,
        }
    }
}

fn payments_settings(config: &Config) -> Settings {
    let limits = &config.limits;
    Settings {
        accounts: config.accounts.clone(),
        public_url: config.server.public(""),
        is_local: config.server.is_local(),
        notification_tolerance: limits.notification_tolerance,
        polls_per_second: limits.polls_per_second,
        polls_in_flight: limits.polls_in_flight,
        watchers: limits.watchers,
    }
}

/// Starts the loops that run as long as the process.
fn start_loops(
    hub: &Arc<Hub>,
    payments: &Arc<Payments>,
    readiness: &Arc<Readiness>,
) -> JoinSet<()> {
    let mut loops = JoinSet::new();
    let (hub, readiness) = (Arc::clone(hub), Arc::clone(readiness));
    loops.spawn(async move { hub.run_timer_wheel(|| readiness.ticked(clock::now())).await });
    loops.spawn(Arc::clone(payments).poll_watched());
    loops.spawn(Arc::clone(payments).resync());
    loops
}

fn end_reason(ended: Result<(), JoinError>) -> String {
    ended
        .err()
        .map_or_else(|| "it returned".to_owned(), |error| error.to_string())
}

/// The least time for requests in flight to finish, when the drain window is used up.
const FINAL_GRACE: Duration = Duration::from_secs(1);

fn delivery_handler(
    payments: &Arc<Payments>,
    store: &Arc<dyn Store>,
) -> Result<DeliveryHandler, AppError> {
    let use_cases = Arc::clone(payments);
    let build_notification = Arc::new(move |id, account| {
        let payments = Arc::clone(&use_cases);
        async move { payments.rebuild_notification(&account, &id).await }.boxed()
    });
    let (accounts, limits) = (&payments.accounts, Default::default());
    DeliveryHandler::new(store.clone(), accounts, build_notification, limits)
        .map_err(|error| AppError::Jobs(error.to_string()))
}

fn event_handler(
    payments: &Payments,
    store: &Arc<dyn Store>,
) -> Result<Option<EventHandler>, AppError> {
    let (accounts, limits) = (&payments.accounts, Default::default());
    EventHandler::new(store.clone(), store.clone(), accounts, &limits)
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

#[cfg(test)]
mod tests {
    use chasqui_store_sqlite::DatabaseLocation;

    use super::*;

    #[tokio::test]
    async fn a_store_that_will_not_work_again_ends_the_process() {
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
        let mut opened = storage::sqlite(&DatabaseLocation::Memory).expect("opened");
        opened.failed = Box::pin(async { "the thread store-writer panicked".to_owned() });
        let running = run_on(
            async { Ok(opened) },
            config,
            listeners,
            std::future::pending(),
        );
        let ended = tokio::time::timeout(Duration::from_secs(30), running).await;
        let error = ended.expect("in time").expect_err("it is broken");
        assert!(
            error.to_string().contains("store-writer panicked"),
            "{error}"
        );
    }
}
