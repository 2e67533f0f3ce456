//! [`Payments`]: what the use cases share, and the one door through which a payment changes.
//!
//! Each use case is an `impl Payments` in its own file. Every change goes through [`Payments::apply`], which commits it to the
//! store and then publishes it to the watchers.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use chasqui_khipu::KhipuClient;
use chasqui_payment::{
    AccountName, JobKind, NewJob, Observation, PaymentId, Source, StatusKind, Version,
};
use chasqui_store::{Change, Outcome, Relay, Store, StoreError};
use dashmap::DashMap;
use tokio::sync::{Notify, Semaphore};
use tokio::time::Instant;

use crate::account::{Account, Accounts};
use crate::detached::detached;
use crate::in_flight::InFlightRefreshes;
use crate::not_found_cache::NotFoundCache;
use crate::poll_schedule::PollSchedule;
use crate::push::Hub;
use crate::rate_limiter::RateLimiter;
use crate::visit_limiter::VisitLimiter;
use crate::visit_recorder::VisitRecorder;

/// How long the delivery of a confirmation by query waits for Khipu's own notification, whose bytes are preferred.
pub(crate) const DELIVERY_GRACE: Duration = Duration::from_secs(10);

/// How long after a payment becomes `verifying` it is checked, watched or not.
pub(crate) const CHECK_DELAY: Duration = Duration::from_secs(30);

/// How long after a confirmation by notification Khipu is asked whether it agrees.
pub(crate) const CROSS_CHECK_DELAY: Duration = Duration::from_secs(2);

/// The most rechecks of confirmed payments in flight or waiting. One more visit causes none.
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
    /// Whether the public URL is on this machine.
    pub(crate) is_local: bool,
    pub(crate) in_flight: InFlightRefreshes,
    pub(crate) not_found: NotFoundCache,
    /// At most [`MAX_RECHECKS`].
    pub(crate) rechecks: Arc<Semaphore>,
    pub(crate) visits: VisitLimiter,
    pub(crate) visit_recorder: VisitRecorder,
    /// By account, when its refused API key was last logged.
    pub(crate) credentials_reported: DashMap<AccountName, Option<Instant>>,
    /// One for each account.
    schedules: HashMap<AccountName, PollSchedule>,
    pub(crate) wake: JobWakeups,
}

/// Wakes the workers when a job may be due at once.
#[derive(Debug, Clone, Default)]
pub struct JobWakeups {
    pub deliveries: Arc<Notify>,
    pub checks: Arc<Notify>,
    pub events: Arc<Notify>,
}

/// The part of the configuration that the use cases need.
#[derive(Debug, Clone)]
pub struct Settings {
    pub accounts: Accounts,
    /// The installation's public URL, without a trailing slash.
    pub public_url: String,
    /// Whether that is on this machine.
    pub is_local: bool,
    /// The largest difference, both ways, between now and the `t` of a notification that confirms by itself.
    pub notification_tolerance: Duration,
    /// Calls to Khipu for one account in a second.
    pub polls_per_second: u32,
    /// Polls of one account in flight at once.
    pub polls_in_flight: usize,
    /// The most watchers on this instance, which bound the payments that are polled.
    pub watchers: usize,
}

#[derive(Debug)]
pub struct Dependencies {
    pub store: Arc<dyn Store>,
    pub relay: Arc<dyn Relay>,
    pub hub: Arc<Hub>,
    pub khipu: KhipuClient,
    pub wake: JobWakeups,
}

impl Payments {
    pub fn new(settings: Settings, dependencies: Dependencies) -> Self {
        let per_second = settings.polls_per_second;
        let schedules = settings
            .accounts
            .iter()
            .map(|account| {
                let name = account.name.clone();
                let rate_limiter =
                    RateLimiter::new(per_second, dependencies.store.clone(), name.clone());
                (name, PollSchedule::new(rate_limiter, settings.watchers))
            })
            .collect();
        Self {
            accounts: settings.accounts,
            notification_tolerance: settings.notification_tolerance,
            polls_in_flight: settings.polls_in_flight,
            store: dependencies.store,
            relay: dependencies.relay,
            hub: dependencies.hub,
            khipu: dependencies.khipu,
            public_url: settings.public_url,
            is_local: settings.is_local,
            in_flight: InFlightRefreshes::default(),
            visits: VisitLimiter::new(),
            visit_recorder: VisitRecorder::new(),
            not_found: NotFoundCache::new(),
            rechecks: Arc::new(Semaphore::new(MAX_RECHECKS)),
            credentials_reported: DashMap::new(),
            schedules,
            wake: dependencies.wake,
        }
    }

    /// Where Khipu notifies an account. A payment's reference is appended.
    pub(crate) fn notify_url(&self, account: &Account) -> String {
        format!("{}/webhooks/khipu/{}", self.public_url, account.name)
    }

    /// Accounts come from the settings only, and each has a schedule.
    pub(crate) fn schedule(&self, account: &Account) -> &PollSchedule {
        &self.schedules[&account.name]
    }

    /// The one door: commits an observation, then publishes it. Runs to its end although the caller hangs up, so that no
    /// committed change stays unpublished.
    pub(crate) async fn apply(
        self: &Arc<Self>,
        id: &PaymentId,
        mut observation: Observation,
    ) -> Result<Outcome, StoreError> {
        let (payments, id) = (Arc::clone(self), id.clone());
        let account = self.accounts.by_name(&observation.account);
        if observation.update.is_some() && account.is_some_and(|it| it.events_url.is_some()) {
            observation.jobs.push(NewJob::events(observation.at));
        }
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
                JobKind::Events => self.wake.events.notify_one(),
            }
        }
        self.publish(id, observation.source, outcome).await;
        Ok(outcome)
    }

    /// Publishes what is committed. If the relay is unavailable, watchers on other instances receive it when it is back and
    /// their payments are read again.
    async fn publish(&self, id: &PaymentId, source: Source, outcome: Outcome) {
        let Outcome { before, after } = outcome;
        if !outcome.changed() {
            // It may have been committed by a call that timed out, and not published.
            self.hub.publish_state(id, &after);
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
        let was_closed = before.is_some_and(|state| {
            matches!(
                state.version.kind(),
                StatusKind::Cancelled | StatusKind::Rejected
            )
        });
        if was_closed && after.version == Version::CONFIRMED {
            metrics::counter!("chasqui_paid_after_cancel_total").increment(1);
            tracing::warn!(payment_id = %id, "paid_after_cancel: a payment was confirmed after it was cancelled or rejected");
        }
        let change = Change {
            payment_id: id.clone(),
            state: after,
        };
        if let Err(error) = self.relay.publish(&change).await {
            tracing::warn!(payment_id = %id, %error, "a change could not be published; other instances show it when the relay is back");
        }
    }
}
