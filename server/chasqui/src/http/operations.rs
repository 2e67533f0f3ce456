//! Probes and metrics for the operator: liveness, readiness, health.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use chasqui_core::HealthError;

use super::app_state::{AppState, SharedState};

/// Who reads the health.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Audience {
    /// Sees which part fails, but not the error, which may name files and hosts.
    World,
    Operator,
}

/// The probes that both listeners serve.
pub(super) fn probes(audience: Audience) -> Router<Arc<AppState>> {
    Router::new()
        .route("/livez", get(alive))
        .route("/readyz", get(ready))
        .route("/healthz", get(move |state| health(state, audience)))
}

/// The process answers.
#[utoipa::path(
    get,
    path = "/livez",
    tag = "Probes",
    responses((status = 200, description = "The process answers", content_type = "text/plain")),
    security(())
)]
pub(super) async fn alive() -> &'static str {
    "alive\n"
}

#[utoipa::path(
    get,
    path = "/readyz",
    tag = "Probes",
    responses((status = 200, description = "It accepts traffic", content_type = "text/plain"), (status = 503, description = "starting, draining or stuck", content_type = "text/plain")),
    security(())
)]
async fn ready(State(state): SharedState) -> (StatusCode, String) {
    match state.readiness.why_not() {
        None => (StatusCode::OK, "ready\n".to_owned()),
        Some(reason) => (StatusCode::SERVICE_UNAVAILABLE, format!("{reason}\n")),
    }
}

/// The health of each part, for monitors: 503 when a part fails that payers or merchants notice.
#[utoipa::path(
    get,
    path = "/healthz",
    tag = "Probes",
    responses((status = 200, description = "Every part works", content_type = "application/json"), (status = 503, description = "A part fails", content_type = "application/json")),
    security(())
)]
async fn health(State(state): SharedState, audience: Audience) -> Response {
    let health = state.health.check(&state.payments).await;
    let instance = state.readiness.why_not();
    let healthy = instance.is_none() && health.store.is_ok() && health.relay.is_ok();
    let body = serde_json::json!({
        "status": if healthy { "ok" } else { "degraded" },
        "parts": {
            "instance": availability(instance),
            "store": part_text(&health.store, audience),
            "relay": part_text(&health.relay, audience),
        },
        "version": env!("CARGO_PKG_VERSION"),
    });
    let status = if healthy {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    (
        status,
        [(header::CACHE_CONTROL, "no-store")],
        axum::Json(body),
    )
        .into_response()
}

fn part_text(part: &Result<(), HealthError>, audience: Audience) -> String {
    availability(part.as_ref().err().map(|error| match (error, audience) {
        (HealthError::TimedOut, _) => "no answer in time",
        (HealthError::Failed(reason), Audience::Operator) => reason.as_str(),
        (HealthError::Failed(_), Audience::World) => "failing",
    }))
}

fn availability(why_not: Option<&str>) -> String {
    match why_not {
        None => "ok".to_owned(),
        Some(reason) => format!("not available: {reason}"),
    }
}

pub(super) async fn metrics(State(state): SharedState) -> Response {
    (
        [(header::CONTENT_TYPE, "text/plain; version=0.0.4")],
        state.metrics.render(),
    )
        .into_response()
}
