//! Polls Khipu about watched payments, and makes the queries that wait for the account's rate limit.
//!
//! [`crate::poll_schedule`] decides when, [`crate::refresh`] asks.

use std::sync::Arc;
use std::time::Duration;

use chasqui_payment::{JobPriority, PaymentId, StatusKind};
use chasqui_store::{LONGEST_POLL_LOCK, StoreError};
use tokio::sync::Semaphore;

use crate::account::Account;
use crate::clock;
use crate::detached::spawn_detached;
use crate::error::RefreshError;
use crate::in_flight::RefreshResult;
use crate::payments::Payments;
use crate::poll_schedule::{DuePoll, PollPace, PollResult, URGENT_MIN_INTERVAL};
use crate::rate_limiter::{CallClass, CallSlot, QueueFull};
use crate::store_call::within;

/// How long the store may take to lock a poll. Then Khipu is asked without the lock, so that watchers see its answers
/// although the store is unavailable.
const LOCK_TIMEOUT: Duration = Duration::from_secs(1);

/// The pause between two attempts to lock a poll.
const LOCK_RETRY_PAUSE: Duration = Duration::from_millis(300);

/// How a query of a check ended.
#[derive(Debug)]
pub(crate) enum PollOutcome {
    Polled(RefreshResult),
    /// Another caller polled the payment, perhaps before the event that this check is about.
    JustPolled,
    /// Too many callers wait. Khipu was not called.
    Busy {
        retry_after: Duration,
    },
}

impl Payments {
    /// Polls what is watched on this instance, for ever.
    pub async fn poll_watched(self: Arc<Self>) {
        let accounts = self
            .accounts
            .iter()
            .map(|account| Arc::clone(&self).poll_account(Arc::clone(account)));
        futures_util::future::join_all(accounts).await;
    }

    async fn poll_account(self: Arc<Self>, account: Arc<Account>) {
        let schedule = self.schedule(&account);
        let permits = Arc::new(Semaphore::new(self.polls_in_flight));
        // The semaphore is never closed.
        while let Ok(permit) = Arc::clone(&permits).acquire_owned().await {
            let (poll, slot) = schedule.next(|id| self.hub.is_watched(id)).await;
            let (payments, account) = (Arc::clone(&self), Arc::clone(&account));
            spawn_detached("poll", async move {
                payments.poll(&account, poll, slot).await;
                drop(permit);
            });
        }
    }

    async fn poll(self: &Arc<Self>, account: &Arc<Account>, poll: DuePoll, slot: CallSlot) {
        let id = &poll.id;
        let refreshed = if self.try_lock_poll(id, poll.min_interval).await {
            slot.spend();
            Some(self.refresh(account, id).await)
        } else {
            drop(slot);
            None
        };
        let result = match &refreshed {
            Some(Ok(_)) => PollResult::Answered,
            Some(Err(error)) => {
                tracing::debug!(payment_id = %id, %error, "a poll failed");
                PollResult::Failed
            }
            None => {
                metrics::counter!("chasqui_polls_skipped_total").increment(1);
                PollResult::Skipped
            }
        };
        let pace = match &refreshed {
            Some(Err(RefreshError::Store(_))) => PollPace::Normal,
            Some(Err(RefreshError::Khipu(error))) => {
                self.publish_stored(id, error.is_not_found()).await
            }
            _ => self.publish_stored(id, false).await,
        };
        self.schedule(account).record(&poll, result, pace);
    }

    /// Shows watchers the stored status, in case it was committed late or could not be published. Returns the pace of further
    /// polls.
    async fn publish_stored(&self, id: &PaymentId, not_found: bool) -> PollPace {
        match self.store.payment(id).await {
            Ok(Some(payment)) => {
                self.hub.publish_payment(&payment, clock::now());
                match payment.state.version.kind() {
                    StatusKind::Confirmed | StatusKind::Reversed => PollPace::Stop,
                    StatusKind::Expired | StatusKind::Cancelled | StatusKind::Rejected => {
                        PollPace::Slow
                    }
                    _ => PollPace::Normal,
                }
            }
            Ok(None) if not_found => PollPace::Stop,
            Ok(None) | Err(_) => PollPace::Normal,
        }
    }

    /// Asks Khipu about a payment for a check, once the account has a slot for its priority.
    pub(crate) async fn try_poll(
        self: &Arc<Self>,
        account: &Arc<Account>,
        id: &PaymentId,
        priority: JobPriority,
    ) -> PollOutcome {
        let rate_limiter = &self.schedule(account).rate_limiter;
        let slot = match rate_limiter.try_acquire(priority.into()).await {
            Ok(slot) => slot,
            Err(QueueFull { retry_after }) => return PollOutcome::Busy { retry_after },
        };
        if !self.try_lock_poll(id, URGENT_MIN_INTERVAL).await {
            return PollOutcome::JustPolled;
        }
        slot.spend();
        PollOutcome::Polled(self.refresh_now(account, id).await)
    }

    /// Waits until Khipu may be called for a request that waits for the response.
    pub(crate) async fn acquire_for_visit(
        &self,
        account: &Account,
        id: &PaymentId,
    ) -> Result<(), RefreshError> {
        let rate_limiter = &self.schedule(account).rate_limiter;
        loop {
            let slot = rate_limiter.try_acquire(CallClass::Visit).await;
            let slot =
                slot.map_err(|QueueFull { retry_after }| RefreshError::Busy { retry_after })?;
            if self.try_lock_poll(id, URGENT_MIN_INTERVAL).await {
                slot.spend();
                return Ok(());
            }
            // The payment has just been polled, perhaps before the event that this visit is about.
            drop(slot);
            tokio::time::sleep(LOCK_RETRY_PAUSE).await;
        }
    }

    /// Asks in the background whether a visited payment is still confirmed, once in [`LONGEST_POLL_LOCK`] and only if no
    /// other call waits.
    pub(crate) fn recheck_confirmed(self: &Arc<Self>, account: &Arc<Account>, id: &PaymentId) {
        let Ok(permit) = Arc::clone(&self.rechecks).try_acquire_owned() else {
            return;
        };
        let (payments, account, id) = (Arc::clone(self), Arc::clone(account), id.clone());
        spawn_detached("recheck", async move {
            payments.recheck(&account, &id).await;
            drop(permit);
        });
    }

    async fn recheck(self: &Arc<Self>, account: &Arc<Account>, id: &PaymentId) {
        // The slot first: a visit without a slot must not use up the ten minutes.
        let rate_limiter = &self.schedule(account).rate_limiter;
        let Ok(slot) = rate_limiter.try_acquire(CallClass::Recheck).await else {
            return;
        };
        let locked = self.lock_poll(id, LONGEST_POLL_LOCK).await;
        if !locked.unwrap_or(false) {
            return;
        }
        slot.spend();
        if let Err(error) = self.refresh_now(account, id).await {
            tracing::debug!(payment_id = %id, %error, "the recheck of a confirmed payment failed");
        }
    }

    /// Whether this instance asks about the payment: none has within `min_interval`. Without the store every instance does.
    async fn try_lock_poll(&self, id: &PaymentId, min_interval: Duration) -> bool {
        let locked = self.lock_poll(id, min_interval).await;
        locked.unwrap_or_else(|error| {
            tracing::debug!(payment_id = %id, %error, "khipu is asked without a poll lock");
            true
        })
    }

    async fn lock_poll(&self, id: &PaymentId, min_interval: Duration) -> Result<bool, StoreError> {
        let locked = self.store.try_lock_poll(id, clock::now(), min_interval);
        within(LOCK_TIMEOUT, locked).await
    }
}
