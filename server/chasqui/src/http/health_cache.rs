//! The last health check, for probes that come often.

use std::time::Duration;

use chasqui_core::{Health, Payments};
use tokio::time::Instant;

/// The last health check, shared for a second: a check writes to the store, and the probe is public.
#[derive(Debug, Default)]
pub(super) struct HealthCache(tokio::sync::Mutex<Option<(Instant, Health)>>);

const HEALTH_MAX_AGE: Duration = Duration::from_secs(1);

impl HealthCache {
    pub(super) async fn check(&self, payments: &Payments) -> Health {
        let mut last = self.0.lock().await;
        if let Some((at, health)) = &*last
            && at.elapsed() < HEALTH_MAX_AGE
        {
            return health.clone();
        }
        let health = payments.health().await;
        for (part, result) in [("store", &health.store), ("relay", &health.relay)] {
            if let Err(error) = result {
                tracing::warn!(
                    part,
                    ?error,
                    "a health check failed; /healthz says 503 until this part answers"
                );
            }
        }
        *last = Some((Instant::now(), health.clone()));
        health
    }
}
