//! HTTP: parse, call the gateway, render. Touches neither store nor relay nor Khipu.
//!
//! [`public`] is the whole URL map, grouped by caller.

mod admission;
mod assets;
mod auth;
mod body;
mod connections;
mod entrance;
mod facade;
mod idempotency;
mod listener;
mod notification;
mod operations;
mod origin;
mod peer;
mod polling;
mod problem;
mod request_id;
mod return_page;
mod status;
mod timed_body;
mod websocket;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use metrics_exporter_prometheus::PrometheusHandle;

use crate::config::{Config, Limits, Server};
use crate::gateway::Gateway;
use crate::token::StatusTokens;

pub(crate) use entrance::Entrance;
pub(crate) use listener::{Grant, serve};
pub use operations::Readiness;
pub(crate) use timed_body::Pace;

use admission::Admission;
use notification::RefusalWarnings;
use operations::{Audience, Canary};
use problem::Problem;

/// What handlers work with.
#[derive(Debug)]
pub struct Site {
    gateway: Arc<Gateway>,
    tokens: StatusTokens,
    server: Server,
    limits: Limits,
    readiness: Arc<Readiness>,
    metrics: PrometheusHandle,
    /// Places for watchers.
    watchers: Arc<Admission>,
    /// Places for connections that are open only to be told by a close code why they are refused.
    refusals: Arc<Admission>,
    canary: Canary,
    refusal_warnings: RefusalWarnings,
}

/// Connections that are told why they are refused, in all and from one address. One more is told over HTTP, which a
/// browser cannot read.
const REFUSALS: usize = 1024;
const REFUSALS_PER_ADDRESS: usize = 64;

impl Site {
    pub fn new(
        config: &Config,
        gateway: Arc<Gateway>,
        tokens: StatusTokens,
        readiness: Arc<Readiness>,
        metrics: PrometheusHandle,
    ) -> Self {
        let limits = config.limits.clone();
        Self {
            gateway,
            tokens,
            server: config.server.clone(),
            readiness,
            metrics,
            watchers: Arc::new(Admission::new(limits.watchers, limits.watchers_per_address)),
            refusals: Arc::new(Admission::new(REFUSALS, REFUSALS_PER_ADDRESS)),
            limits,
            canary: Canary::default(),
            refusal_warnings: RefusalWarnings::default(),
        }
    }
}

type Shared = State<Arc<Site>>;

/// What the world may call.
pub fn public(site: Arc<Site>) -> Router {
    let limits = &site.limits;
    let request_timeout = limits.request_timeout;

    let merchant = Router::new()
        .route("/v3/banks", get(facade::banks))
        .route("/v3/payments", post(facade::create))
        .route(
            "/v3/payments/{id}",
            get(facade::payment).delete(facade::delete),
        )
        .route("/v1/payments", get(facade::by_transaction))
        .route("/v1/payments/{id}/status-token", post(facade::status_token))
        .layer(DefaultBodyLimit::max(limits.facade_bytes));

    let khipu = Router::new()
        .route("/webhooks/khipu/{account}", post(notification::receive))
        .layer(DefaultBodyLimit::max(limits.notification_bytes));

    let payer = Router::new()
        .route("/return/{ref}", get(return_page::returned))
        .route("/return/{ref}/cancel", get(return_page::gave_up))
        .route("/js/{file}", get(assets::newest))
        .route("/js/{version}/{file}", get(assets::pinned))
        .route("/assets/{file}", get(assets::page_asset));

    let watcher = Router::new().route(
        "/v1/payments/{id}/status",
        get(status::follow).options(origin::preflight),
    );

    merchant
        .merge(khipu)
        .merge(payer)
        .merge(operations::probes(Audience::World))
        .layer(middleware::from_fn_with_state(
            request_timeout,
            give_up_after,
        ))
        // A watcher's request has limits of its own: it is meant to take long.
        .merge(watcher)
        .finish(site)
}

/// What only the operator may call.
pub fn admin(site: Arc<Site>) -> Router {
    operations::probes(Audience::Operator)
        .route("/metrics", get(operations::metrics))
        .finish(site)
}

/// Paths whose requests are answered when there is no place for others: whoever looks after this process, and Khipu, which
/// tells it once.
pub(crate) fn is_always_answered(path: &str) -> bool {
    matches!(path, "/livez" | "/readyz" | "/healthz" | "/metrics")
        || path.starts_with("/webhooks/khipu/")
}

trait Finish {
    fn finish(self, site: Arc<Site>) -> Router;
}

impl Finish for Router<Arc<Site>> {
    /// What every request meets, on either listener.
    fn finish(self, site: Arc<Site>) -> Router {
        self.fallback(no_such_url)
            .method_not_allowed_fallback(no_such_method)
            .layer(middleware::from_fn(request_id::identify))
            .with_state(site)
    }
}

async fn give_up_after(State(limit): State<Duration>, request: Request, next: Next) -> Response {
    match tokio::time::timeout(limit, next.run(request)).await {
        Ok(response) => response,
        Err(_) => Problem::unavailable("this took too long; it may have been done all the same")
            .into_response(),
    }
}

async fn no_such_url() -> Problem {
    Problem::new(
        axum::http::StatusCode::NOT_FOUND,
        "unknown_url",
        "there is nothing at this URL",
    )
}

async fn no_such_method() -> Problem {
    Problem::new(
        axum::http::StatusCode::METHOD_NOT_ALLOWED,
        "unknown_method",
        "this URL does not know that method",
    )
}
