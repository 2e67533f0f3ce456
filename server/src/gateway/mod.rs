//! The use cases, and the one door through which a payment changes.
//!
//! Whatever is learnt of a payment, from whomever, ends in [`Gateway::apply`]: committed to the store first, announced
//! to the watchers after. `http` calls in from above; nothing below knows of this module. In reading order: this file
//! for the merchant's calls, [`idempotency`] for those that may come twice, [`notifications`] for Khipu's, [`watching`] for the
//! payer's, [`asking`] for what is asked of Khipu, [`following`] for what is asked again and again, [`catching_up`] for
//! what was missed while the relay was away.

mod asking;
mod catching_up;
mod desk;
#[cfg(test)]
pub(crate) mod fixture;
mod following;
mod health;
mod idempotency;
mod limiter;
mod merchant;
mod notifications;
#[cfg(test)]
mod pressure_test;
mod unknown;
mod visits;
mod watching;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, Semaphore};

use crate::account::{Account, Accounts};
use crate::config::{Config, Limits};
use crate::khipu::wire::FieldError;
use crate::khipu::{self, Fields, KhipuError};
use crate::payment::{AccountName, JobKind, Kind, Observation, PaymentId, Source, Version};
use crate::push::{Admission, Hub};
use crate::relay::{Change, Relay};
use crate::store::{Outcome, Store, StoreError};

pub use crate::store::{IdempotencyKey, StoredResponse};
pub use asking::AskError;
pub use following::InTurn;
pub use health::{Health, Trouble};
pub use idempotency::{Once, OnceError};
pub(crate) use limiter::CHECKS_WAITING;
pub use notifications::{NotificationError, Received};
pub use watching::{Watch, WatchError};

use asking::Questions;
use desk::Desk;
use limiter::Limiter;
use unknown::Unknown;
use visits::Visits;

/// A confirmation found by asking waits so long for Khipu's own notification, whose bytes the merchant prefers.
const DELIVERY_GRACE: Duration = Duration::from_secs(10);

/// How long after a payment begins to be verified a check is due that does not depend on a watcher.
const CHECK_DELAY: Duration = Duration::from_secs(30);

/// How long after a confirmation by notification Khipu is asked whether it agrees.
pub(crate) const CROSS_CHECK_DELAY: Duration = Duration::from_secs(2);

/// Connections that are being told why they are refused, in all and from one address. One more is told over HTTP, which a
/// browser cannot read.
const REFUSALS: usize = 1024;
const REFUSALS_PER_ADDRESS: usize = 64;

#[derive(Debug)]
pub struct Gateway {
    pub accounts: Arc<Accounts>,
    pub admission: Arc<Admission>,
    /// For connections that are kept only to be told why they are refused.
    pub refusals: Arc<Admission>,
    pub limits: Limits,
    store: Arc<dyn Store>,
    relay: Arc<dyn Relay>,
    hub: Arc<Hub>,
    khipu: khipu::Client,
    /// Where the world reaches us; see [`Gateway::public`].
    public_url: String,
    questions: Questions,
    unknown: Unknown,
    /// Places for questions about confirmed payments that were visited.
    revisits: Arc<Semaphore>,
    visits: Visits,
    /// One for each account, made once.
    desks: HashMap<AccountName, Desk>,
    wake: JobWakeups,
}

/// Notified when a job of a kind may be due at once, so that nobody has to poll for it.
#[derive(Debug, Clone, Default)]
pub struct JobWakeups {
    pub deliveries: Arc<Notify>,
    pub checks: Arc<Notify>,
}

/// What a gateway is made of.
#[derive(Debug)]
pub struct Parts {
    pub store: Arc<dyn Store>,
    pub relay: Arc<dyn Relay>,
    pub hub: Arc<Hub>,
    pub khipu: khipu::Client,
    pub wake: JobWakeups,
}

/// A payment was made: Khipu's answer, untouched.
#[derive(Debug)]
pub struct Created {
    pub payment_id: PaymentId,
    pub fields: Fields,
}

#[derive(Debug, Clone, thiserror::Error)]
pub enum GatewayError {
    #[error("the request has fields that cannot be accepted")]
    Fields(Vec<FieldError>),
    #[error("there is no such payment")]
    UnknownPayment,
    #[error(transparent)]
    Khipu(#[from] KhipuError),
    #[error(transparent)]
    Store(StoreError),
    /// Too many questions wait for Khipu's answer.
    #[error("too many questions to khipu wait; come back in {retry_after:?}")]
    Busy { retry_after: Duration },
    /// It broke off in the middle: what was asked may have been done.
    #[error("the operation broke off: {0}")]
    BrokeOff(String),
}

impl From<StoreError> for GatewayError {
    fn from(error: StoreError) -> Self {
        match error {
            // Whose payment it is, is nobody else's business.
            StoreError::WrongAccount => Self::UnknownPayment,
            error @ StoreError::Unavailable(_) => Self::Store(error),
        }
    }
}

impl Gateway {
    pub fn new(config: &Config, parts: Parts) -> Self {
        let desks = config
            .accounts
            .iter()
            .map(|account| {
                let name = &account.name;
                let per_second = config.limits.questions_per_second;
                let limiter = Limiter::shared(per_second, parts.store.clone(), name.clone());
                (name.clone(), Desk::new(limiter, config.limits.watchers))
            })
            .collect();
        Self {
            accounts: Arc::new(config.accounts.clone()),
            admission: Arc::new(Admission::new(
                config.limits.watchers,
                config.limits.watchers_per_address,
            )),
            refusals: Arc::new(Admission::new(REFUSALS, REFUSALS_PER_ADDRESS)),
            limits: config.limits.clone(),
            store: parts.store,
            relay: parts.relay,
            hub: parts.hub,
            khipu: parts.khipu,
            public_url: config.server.public(""),
            questions: Questions::new(),
            visits: Visits::new(),
            unknown: Unknown::new(),
            revisits: Arc::new(Semaphore::new(following::REVISITS)),
            desks,
            wake: parts.wake,
        }
    }

    /// Where Khipu notifies an account; a payment's own reference is appended.
    fn notify_url(&self, account: &Account) -> String {
        format!("{}/webhooks/khipu/{}", self.public_url, account.name)
    }

    /// THE door: commits an observation, then tells everybody who watches. A task of its own: a caller who hangs up in
    /// between must not leave something committed that nobody is told of.
    async fn apply(
        self: &Arc<Self>,
        id: &PaymentId,
        observation: Observation,
    ) -> Result<Outcome, StoreError> {
        let (gateway, id) = (Arc::clone(self), id.clone());
        let task =
            tokio::spawn(async move { gateway.commit_and_announce(&id, &observation).await });
        task.await.unwrap_or_else(|error| {
            Err(StoreError::Unavailable(format!(
                "the operation failed: {error}"
            )))
        })
    }

    async fn commit_and_announce(
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
        self.announce(id, observation.source, outcome).await;
        Ok(outcome)
    }

    /// Tells of what is committed. A relay that is away does not undo the commit: whoever watches on another instance
    /// hears of it when the relay is back and everything watched is read again.
    async fn announce(&self, id: &PaymentId, source: Source, outcome: Outcome) {
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
        let was_over = before
            .is_some_and(|state| matches!(state.version.kind(), Kind::Cancelled | Kind::Rejected));
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
