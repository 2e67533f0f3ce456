//! HTTP: parses requests, calls the gateway, renders answers. Uses neither store nor relay nor Khipu's client.
//!
//! [`public`] is the URL map, grouped by caller.

mod api_schemas;
mod app_state;
mod assets;
mod auth;
mod body;
mod connection_limiter;
mod connections;
mod deliveries;
mod facade;
mod health_cache;
mod idempotency;
mod key_limiter;
mod listener;
mod listing;
mod notification;
mod openapi;
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
mod status_token;
mod timed_body;
mod timeline;
mod websocket;

use std::sync::Arc;
use std::time::Duration;

pub(crate) use app_state::AppState;
use auth::MerchantAuth;
use axum::Router;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::Uri;
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};
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
        .merge(facade::routes())
        .route("/v1/payments", get(listing::payments))
        .route("/v1/payments/{id}/status-token", post(status_token::mint))
        .route("/v1/payments/{id}/timeline", get(timeline::timeline))
        .route("/v1/payments/{id}/personal-data", delete(timeline::erase))
        .route("/v1/payments/{id}/redeliver", post(deliveries::redeliver))
        .route("/v1/deliveries", get(deliveries::list))
        .route("/v1/deliveries/redeliver", post(deliveries::redeliver_dead))
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

    let description = openapi::description(&state.server.public(""));

    merchant
        .merge(khipu)
        .merge(payer)
        .merge(operations::probes(Audience::World))
        .route("/openapi.json", get(async || body::json(description)))
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
        self.fallback(not_found)
            .method_not_allowed_fallback(wrong_method)
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

/// A URL that does not exist, or not with this method. A merchant's API does not tell that to a caller without a key.
async fn not_found(uri: Uri, auth: Result<MerchantAuth, ApiProblem>) -> ApiProblem {
    refused_first(&uri, auth).unwrap_or_else(ApiProblem::unknown_url)
}

async fn wrong_method(uri: Uri, auth: Result<MerchantAuth, ApiProblem>) -> ApiProblem {
    refused_first(&uri, auth).unwrap_or_else(ApiProblem::unknown_method)
}

fn refused_first(uri: &Uri, auth: Result<MerchantAuth, ApiProblem>) -> Option<ApiProblem> {
    let is_merchants = ["/v1/", "/v3/"]
        .iter()
        .any(|api| uri.path().starts_with(api));
    auth.err().filter(|_| is_merchants)
}
