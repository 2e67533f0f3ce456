//! The operator's side: is the process alive, should it get traffic, how is it doing.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU8, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::time::Instant;

use super::{AppState, SharedState};
use chasqui_core::clock;
use chasqui_core::{Health, HealthError, Payments};
use chasqui_payment::Timestamp;

/// A loop that has not turned for so long is stuck.
const STUCK_AFTER: Duration = Duration::from_secs(5);

/// Whether this instance wants traffic. A shared store's outage is no reason not to: it would take every instance out of
/// the balancer at once.
#[derive(Debug, Default)]
pub struct Readiness {
    state: AtomicU8,
    last_turn: AtomicI64,
}

const READY: u8 = 1;
const DRAINING: u8 = 2;

impl Readiness {
    pub fn set_ready(&self) {
        self.turned(clock::now());
        self.state.store(READY, Ordering::Release);
    }

    pub fn set_draining(&self) {
        self.state.store(DRAINING, Ordering::Release);
    }

    /// The runtime's own loop came round.
    pub fn turned(&self, now: Timestamp) {
        self.last_turn.store(now.unix_ms(), Ordering::Relaxed);
    }

    fn why_not(&self) -> Option<&'static str> {
        let last_turn = Timestamp::from_unix_ms(self.last_turn.load(Ordering::Relaxed));
        match self.state.load(Ordering::Acquire) {
            DRAINING => Some("draining"),
            READY if clock::now().since(last_turn) > STUCK_AFTER => Some("stuck"),
            READY => None,
            _ => Some("starting"),
        }
    }
}

/// One look at every part, shared by everybody who asks within a second: it writes, and the probes are public.
#[derive(Debug, Default)]
pub(super) struct HealthCache(tokio::sync::Mutex<Option<(Instant, Health)>>);

const HEALTH_LASTS: Duration = Duration::from_secs(1);

impl HealthCache {
    async fn check(&self, payments: &Payments) -> Health {
        let mut last = self.0.lock().await;
        if let Some((at, health)) = &*last
            && at.elapsed() < HEALTH_LASTS
        {
            return health.clone();
        }
        let health = payments.health().await;
        for (part, trouble) in [("store", &health.store), ("relay", &health.relay)] {
            if let Err(trouble) = trouble {
                tracing::warn!(part, ?trouble, "not healthy");
            }
        }
        *last = Some((Instant::now(), health.clone()));
        health
    }
}

/// Who asks how it is going.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Audience {
    /// Is told which part does not work, but not its words, which may name files and hosts.
    World,
    Operator,
}

/// On both listeners.
pub(super) fn probes(audience: Audience) -> Router<Arc<AppState>> {
    Router::new()
        .route("/livez", get(alive))
        .route("/readyz", get(ready))
        .route("/healthz", get(move |state| health(state, audience)))
}

/// The process answers.
pub(super) async fn alive() -> &'static str {
    "alive\n"
}

async fn ready(State(state): SharedState) -> (StatusCode, String) {
    match state.readiness.why_not() {
        None => (StatusCode::OK, "ready\n".to_owned()),
        Some(reason) => (StatusCode::SERVICE_UNAVAILABLE, format!("{reason}\n")),
    }
}

/// By part, for monitors: 503 when something that payers or merchants notice does not work.
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
    availability(
        part.as_ref()
            .err()
            .map(|trouble| match (trouble, audience) {
                (HealthError::TimedOut, _) => "no answer in time",
                (HealthError::Failed(reason), Audience::Operator) => reason.as_str(),
                (HealthError::Failed(_), Audience::World) => "failing",
            }),
    )
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
