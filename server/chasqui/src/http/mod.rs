//! HTTP: parses requests, calls the gateway, renders answers. Uses neither store nor relay nor Khipu's client.
//!
//! [`public`] is the URL map, grouped by caller.

mod app_state;
mod assets;
mod auth;
mod body;
mod connection_limiter;
mod connections;
mod facade;
mod health_cache;
mod idempotency;
mod listener;
mod notification;
mod operations;
mod origin;
mod peer;
mod polling;
mod problem;
mod readiness;
mod refusal_warnings;
mod request_id;
mod return_page;
mod router_slot;
mod status;
mod timed_body;
mod websocket;

use std::sync::Arc;
use std::time::Duration;

pub(crate) use app_state::AppState;
use axum::Router;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
pub(crate) use listener::{ListenerLimits, serve};
use operations::Audience;
use problem::ApiProblem;
pub(crate) use readiness::Readiness;
pub(crate) use router_slot::RouterSlot;
pub(crate) use timed_body::BodyPace;

/// The routes of `server.listen`.
pub(crate) fn public(state: Arc<AppState>) -> Router {
    let limits = &state.limits;
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
        get(status::status).options(origin::preflight),
    );

    merchant
        .merge(khipu)
        .merge(payer)
        .merge(operations::probes(Audience::World))
        .layer(middleware::from_fn_with_state(request_timeout, time_out))
        // Without the time-out: a watcher's request is long, and has its own limits.
        .merge(watcher)
        .finish(state)
}

/// The routes of `server.admin_listen`.
pub(crate) fn admin(state: Arc<AppState>) -> Router {
    operations::probes(Audience::Operator)
        .route("/metrics", get(operations::metrics))
        .finish(state)
}

/// Paths that are answered beyond `limits.connections`: probes, metrics and Khipu's notifications.
pub(crate) fn is_always_answered(path: &str) -> bool {
    matches!(path, "/livez" | "/readyz" | "/healthz" | "/metrics")
        || path.starts_with("/webhooks/khipu/")
}

trait Finish {
    fn finish(self, state: Arc<AppState>) -> Router;
}

impl Finish for Router<Arc<AppState>> {
    /// Adds what every route has, on either listener.
    fn finish(self, state: Arc<AppState>) -> Router {
        self.fallback(no_such_url)
            .method_not_allowed_fallback(no_such_method)
            .layer(middleware::from_fn(request_id::identify))
            .with_state(state)
    }
}

async fn time_out(State(limit): State<Duration>, request: Request, next: Next) -> Response {
    match tokio::time::timeout(limit, next.run(request)).await {
        Ok(response) => response,
        Err(_) => {
            ApiProblem::unavailable("the request took too long; it may have been carried out")
                .into_response()
        }
    }
}

async fn no_such_url() -> ApiProblem {
    ApiProblem::new(
        axum::http::StatusCode::NOT_FOUND,
        "unknown_url",
        "there is nothing at this URL",
    )
}

async fn no_such_method() -> ApiProblem {
    ApiProblem::new(
        axum::http::StatusCode::METHOD_NOT_ALLOWED,
        "unknown_method",
        "this URL does not support that method",
    )
}
