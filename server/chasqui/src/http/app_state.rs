//! What handlers share.

use std::sync::Arc;

use axum::extract::State;
use chasqui_core::Payments;
use metrics_exporter_prometheus::PrometheusHandle;

use super::connection_limiter::ConnectionLimiter;
use super::health_cache::HealthCache;
use super::key_limiter::KeyLimiter;
use super::readiness::Readiness;
use super::refusal_warnings::RefusalWarnings;
use crate::config::{Config, Limits, ServerConfig};
use crate::token::StatusTokens;

#[derive(Debug)]
pub(crate) struct AppState {
    pub(super) payments: Arc<Payments>,
    pub(super) tokens: StatusTokens,
    pub(super) server: ServerConfig,
    pub(super) limits: Limits,
    pub(super) readiness: Arc<Readiness>,
    pub(super) metrics: PrometheusHandle,
    /// Limits watchers.
    pub(super) watchers: Arc<ConnectionLimiter>,
    /// Limits connections that stay open only to receive a close code.
    pub(super) refusals: Arc<ConnectionLimiter>,
    /// Limits a merchant's requests.
    pub(super) key_limiter: KeyLimiter,
    pub(super) health: HealthCache,
    pub(super) refusal_warnings: RefusalWarnings,
}

/// Connections that are refused by a close code, in all and from one address. One more is refused over HTTP, where a
/// browser cannot read the reason.
const REFUSALS: usize = 1024;
const REFUSALS_PER_ADDRESS: usize = 64;

impl AppState {
    pub(crate) fn new(
        config: &Config,
        payments: Arc<Payments>,
        tokens: StatusTokens,
        readiness: Arc<Readiness>,
        metrics: PrometheusHandle,
    ) -> Self {
        let limits = config.limits.clone();
        Self {
            payments,
            tokens,
            server: config.server.clone(),
            readiness,
            metrics,
            watchers: Arc::new(ConnectionLimiter::new(
                limits.watchers,
                limits.watchers_per_address,
            )),
            refusals: Arc::new(ConnectionLimiter::new(REFUSALS, REFUSALS_PER_ADDRESS)),
            key_limiter: KeyLimiter::new(limits.requests_per_second),
            limits,
            health: HealthCache::default(),
            refusal_warnings: RefusalWarnings::default(),
        }
    }
}

pub(super) type SharedState = State<Arc<AppState>>;
