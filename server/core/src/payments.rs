//! The one door through which a payment changes, and what the use cases share.
//!
//! Each use case is an `impl Payments` in a file of its own. What any of them learns of a payment ends in
//! [`Payments::apply`]: committed to the store first, published to the watchers after.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, Semaphore};

use crate::account::{Account, Accounts};
use crate::detached::detached;
use crate::in_flight::InFlightRefreshes;
use crate::not_found_cache::NotFoundCache;
use crate::poll_schedule::PollSchedule;
use crate::push::Hub;
use crate::rate_limiter::RateLimiter;
use crate::visit_limiter::VisitLimiter;
use chasqui_khipu::{JsonObject, KhipuClient};
use chasqui_payment::{AccountName, JobKind, Observation, PaymentId, Source, StatusKind, Version};
use chasqui_store::{Change, Outcome, Relay, Store, StoreError};

/// A confirmation found by asking waits so long for Khipu's own notification, whose bytes the merchant prefers.
pub(crate) const DELIVERY_GRACE: Duration = Duration::from_secs(10);

/// How long after a payment begins to be verified a check is due that does not depend on a watcher.
pub(crate) const CHECK_DELAY: Duration = Duration::from_secs(30);

/// How long after a confirmation by notification Khipu is asked whether it agrees.
pub(crate) const CROSS_CHECK_DELAY: Duration = Duration::from_secs(2);

/// Questions about confirmed payments that were visited, in flight or waiting at once. One more visit asks nothing.
const MAX_RECHECKS: usize = 64;

#[derive(Debug)]
pub struct Payments {
    pub accounts: Accounts,
    pub(crate) notification_tolerance: Duration,
    pub(crate) polls_in_flight: usize,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) relay: Arc<dyn Relay>,
    pub(crate) hub: Arc<Hub>,
    pub(crate) khipu: KhipuClient,
    pub(crate) public_url: String,
    pub(crate) in_flight: InFlightRefreshes,
    pub(crate) not_found: NotFoundCache,
    /// Places for questions about confirmed payments that were visited.
    pub(crate) rechecks: Arc<Semaphore>,
    pub(crate) visits: VisitLimiter,
    /// One for each account, made once.
    pub(crate) schedules: HashMap<AccountName, PollSchedule>,
    pub(crate) wake: JobWakeups,
}

/// Notified when a job of a kind may be due at once, so that nobody has to poll for it.
#[derive(Debug, Clone, Default)]
pub struct JobWakeups {
    pub deliveries: Arc<Notify>,
    pub checks: Arc<Notify>,
}

/// What of an installation's configuration the use cases need.
#[derive(Debug, Clone)]
pub struct Settings {
    pub accounts: Accounts,
    /// How the world reaches this installation, without a slash at its end.
    pub public_url: String,
    /// How far a notification's `t` may be off, both ways, before Khipu is asked instead of believing it.
    pub notification_tolerance: Duration,
    /// Polls of Khipu for one account in a second.
    pub polls_per_second: u32,
    /// Polls of Khipu for one account in flight at once.
    pub polls_in_flight: usize,
    /// Watchers on this instance, which bound the payments that are polled.
    pub watchers: usize,
}

/// What the use cases work with.
#[derive(Debug)]
pub struct Dependencies {
    pub store: Arc<dyn Store>,
    pub relay: Arc<dyn Relay>,
    pub hub: Arc<Hub>,
    pub khipu: KhipuClient,
    pub wake: JobWakeups,
}

/// A payment was made: Khipu's answer, untouched.
#[derive(Debug)]
pub struct CreatedPayment {
    pub payment_id: PaymentId,
    pub fields: JsonObject,
}

impl Payments {
    pub fn new(settings: Settings, parts: Dependencies) -> Self {
        let per_second = settings.polls_per_second;
        let schedules = settings
            .accounts
            .iter()
            .map(|account| {
                let name = account.name.clone();
                let rate_limiter =
                    RateLimiter::shared(per_second, parts.store.clone(), name.clone());
                (name, PollSchedule::new(rate_limiter, settings.watchers))
            })
            .collect();
        Self {
            accounts: settings.accounts,
            notification_tolerance: settings.notification_tolerance,
            polls_in_flight: settings.polls_in_flight,
            store: parts.store,
            relay: parts.relay,
            hub: parts.hub,
            khipu: parts.khipu,
            public_url: settings.public_url,
            in_flight: InFlightRefreshes::default(),
            visits: VisitLimiter::new(),
            not_found: NotFoundCache::new(),
            rechecks: Arc::new(Semaphore::new(MAX_RECHECKS)),
            schedules,
            wake: parts.wake,
        }
    }

    /// Where Khipu notifies an account; a payment's own reference is appended.
    pub(crate) fn notify_url(&self, account: &Account) -> String {
        format!("{}/webhooks/khipu/{}", self.public_url, account.name)
    }

    /// THE door: commits an observation, then tells everybody who watches. A task of its own: a caller who hangs up in
    /// between must not leave something committed that nobody is told of.
    pub(crate) async fn apply(
        self: &Arc<Self>,
        id: &PaymentId,
        observation: Observation,
    ) -> Result<Outcome, StoreError> {
        let (payments, id) = (Arc::clone(self), id.clone());
        detached(async move { payments.commit_and_publish(&id, &observation).await }).await?
    }

    async fn commit_and_publish(
        &self,
        id: &PaymentId,
        observation: &Observation,
    ) -> Result<Outcome, StoreError> {
        let outcome = self.store.observe(id, observation).await?;
        for job in &observation.jobs {
            match job.kind {
                JobKind::Delivery => self.wake.deliveries.notify_one(),
                JobKind::Check => self.wake.checks.notify_one(),
            }
        }
        self.publish(id, observation.source, outcome).await;
        Ok(outcome)
    }

    /// Tells of what is committed. A relay that is away does not undo the commit: whoever watches on another instance
    /// hears of it when the relay is back and everything watched is read again.
    async fn publish(&self, id: &PaymentId, source: Source, outcome: Outcome) {
        let Outcome { before, after } = outcome;
        if !outcome.changed() {
            // It may have been committed on a path that could not tell, such as one that gave up waiting.
            self.hub.refresh(id, &after);
            return;
        }
        tracing::info!(
            payment_id = %id,
            from = before.map_or("unknown", |state| state.status().as_str()),
            to = after.status().as_str(),
            version = after.version.number(),
            source = source.as_str(),
            "the payment changed"
        );
        metrics::counter!("chasqui_changes_total", "status" => after.status().as_str(), "source" => source.as_str())
            .increment(1);
        let was_over = before.is_some_and(|state| {
            matches!(
                state.version.kind(),
                StatusKind::Cancelled | StatusKind::Rejected
            )
        });
        if was_over && after.version == Version::CONFIRMED {
            metrics::counter!("chasqui_paid_after_cancel_total").increment(1);
            tracing::warn!(payment_id = %id, "paid_after_cancel: a payment was confirmed after it was cancelled or rejected");
        }
        let change = Change {
            payment_id: id.clone(),
            state: after,
        };
        if let Err(error) = self.relay.publish(&change).await {
            tracing::warn!(payment_id = %id, %error, "a change could not be announced");
        }
    }
}
