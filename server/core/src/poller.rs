//! Asking Khipu again and again while somebody wants to know, and not more often than once a round, whichever instances
//! the watchers are on.
//!
//! [`crate::poll_schedule`] says when, [`crate::refresh`] how.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;

use crate::account::Account;
use crate::clock;
use crate::error::RefreshError;
use crate::in_flight::RefreshResult;
use crate::payments::Payments;
use crate::poll_schedule::{DuePoll, PollPace, PollResult, SHORTEST_INTERVAL};
use crate::rate_limiter::{CallClass, QueueFull};
use chasqui_payment::{JobPriority, PaymentId, StatusKind};
use chasqui_store::LONGEST_POLL_LOCK;

/// How long the store may take to say whose turn it is. Then the question is put all the same: watchers are shown Khipu's
/// answer also when the store is away.
const LOCK_TIMEOUT: Duration = Duration::from_secs(1);

/// Between two tries to be the one who asks about a payment.
const LOCK_RETRY_PAUSE: Duration = Duration::from_millis(300);

/// What became of a question that waited for its turn.
#[derive(Debug)]
pub enum PollOutcome {
    Polled(RefreshResult),
    /// By somebody else, perhaps too early to know what this question is about.
    JustPolled,
    /// Nothing was asked, because too many questions wait.
    Busy {
        retry_in: Duration,
    },
}

impl Payments {
    /// Asks Khipu about everything that somebody here wants to know, for ever.
    pub async fn poll_watched(self: Arc<Self>) {
        let accounts = self
            .accounts
            .iter()
            .map(|account| Arc::clone(&self).poll_account(Arc::clone(account)));
        futures_util::future::join_all(accounts).await;
    }

    async fn poll_account(self: Arc<Self>, account: Arc<Account>) {
        let schedule = self.schedule(&account);
        let slots = Arc::new(Semaphore::new(self.polls_in_flight));
        // The semaphore is never closed.
        while let Ok(slot) = Arc::clone(&slots).acquire_owned().await {
            let poll = schedule.next(|id| self.hub.is_watched(id)).await;
            let (payments, account) = (Arc::clone(&self), Arc::clone(&account));
            tokio::spawn(async move {
                payments.poll(&account, poll).await;
                drop(slot);
            });
        }
    }

    async fn poll(self: &Arc<Self>, account: &Arc<Account>, mut poll: DuePoll) {
        let id = poll.id.clone();
        // A slot that is not spent is given back.
        let slot = poll.slot.take();
        let asked = match self.try_lock_poll(&id, poll.min_interval).await {
            true => {
                if let Some(slot) = slot {
                    slot.spend();
                }
                Some(self.refresh(account, &id).await)
            }
            false => {
                drop(slot);
                None
            }
        };
        let result = match &asked {
            Some(Ok(_)) => PollResult::Answered,
            Some(Err(error)) => {
                tracing::debug!(payment_id = %id, %error, "khipu could not be asked");
                PollResult::Failed
            }
            None => {
                metrics::counter!("chasqui_polls_skipped_total").increment(1);
                PollResult::Skipped
            }
        };
        let outlook = match &asked {
            // Just now the store did not answer.
            Some(Err(RefreshError::Store(_))) => PollPace::Usual,
            Some(Err(RefreshError::Khipu(error))) => {
                self.look_again(&id, error.is_not_found()).await
            }
            _ => self.look_again(&id, false).await,
        };
        self.schedule(account).record(&poll, result, outlook);
    }

    /// Shows watchers what is committed, and tells what there is still to ask.
    async fn look_again(&self, id: &PaymentId, not_found: bool) -> PollPace {
        match self.store.payment(id).await {
            Ok(Some(payment)) => {
                // A change that was committed late, or on a path that could not announce it, is told at the latest now.
                self.hub.show(&payment, clock::now());
                match payment.state.version.kind() {
                    StatusKind::Confirmed | StatusKind::Reversed => PollPace::Over,
                    StatusKind::Expired | StatusKind::Cancelled | StatusKind::Rejected => {
                        PollPace::Slow
                    }
                    _ => PollPace::Usual,
                }
            }
            // Nothing here and nothing at Khipu. One that was made here and that Khipu does not find just now is asked
            // about again.
            Ok(None) if not_found => PollPace::Over,
            Ok(None) | Err(_) => PollPace::Usual,
        }
    }

    /// Asks anew when it is the turn of a check of this priority.
    pub async fn poll_once(
        self: &Arc<Self>,
        account: &Arc<Account>,
        id: &PaymentId,
        priority: JobPriority,
    ) -> PollOutcome {
        let rate_limiter = &self.schedule(account).rate_limiter;
        let slot = match rate_limiter.try_acquire(priority.into()).await {
            Ok(slot) => slot,
            Err(QueueFull { retry_in }) => return PollOutcome::Busy { retry_in },
        };
        if !self.try_lock_poll(id, SHORTEST_INTERVAL).await {
            return PollOutcome::JustPolled;
        }
        slot.spend();
        PollOutcome::Polled(self.refresh_now(account, id).await)
    }

    /// Returns when it is the turn of a request that waits for Khipu's answer about a payment.
    pub(crate) async fn acquire_for_visit(
        &self,
        account: &Account,
        id: &PaymentId,
    ) -> Result<(), RefreshError> {
        loop {
            let rate_limiter = &self.schedule(account).rate_limiter;
            let slot = rate_limiter.try_acquire(CallClass::Visit).await;
            let slot = slot.map_err(|QueueFull { retry_in }| RefreshError::Busy {
                retry_after: retry_in,
            })?;
            if self.try_lock_poll(id, SHORTEST_INTERVAL).await {
                slot.spend();
                return Ok(());
            }
            // Khipu was asked about the payment a moment ago, perhaps too early.
            drop(slot);
            tokio::time::sleep(LOCK_RETRY_PAUSE).await;
        }
    }

    /// A confirmed payment was visited: Khipu is asked whether it still is, if nobody has for [`LONGEST_POLL_LOCK`] and if nobody
    /// else waits. The visitor does not.
    pub(crate) fn recheck_confirmed(self: &Arc<Self>, account: &Arc<Account>, id: &PaymentId) {
        let Ok(place) = Arc::clone(&self.rechecks).try_acquire_owned() else {
            return;
        };
        let (payments, account, id) = (Arc::clone(self), Arc::clone(account), id.clone());
        tokio::spawn(async move {
            payments.recheck(&account, &id).await;
            drop(place);
        });
    }

    async fn recheck(self: &Arc<Self>, account: &Arc<Account>, id: &PaymentId) {
        // The slot first: a visit for which there is no room must not use up the ten minutes.
        let rate_limiter = &self.schedule(account).rate_limiter;
        let Ok(slot) = rate_limiter.try_acquire(CallClass::Confirmed).await else {
            return;
        };
        let acquire = self
            .store
            .try_lock_poll(id, clock::now(), LONGEST_POLL_LOCK);
        let acquire = tokio::time::timeout(LOCK_TIMEOUT, acquire).await;
        if !matches!(acquire, Ok(Ok(true))) {
            return;
        }
        slot.spend();
        if let Err(error) = self.refresh_now(account, id).await {
            tracing::debug!(payment_id = %id, %error, "khipu could not be asked about a confirmed payment");
        }
    }

    /// Whether nobody has asked about the payment within `min_interval`, on whichever instance; then it is for us to ask.
    pub(crate) async fn try_lock_poll(&self, id: &PaymentId, min_interval: Duration) -> bool {
        let acquire = self.store.try_lock_poll(id, clock::now(), min_interval);
        match tokio::time::timeout(LOCK_TIMEOUT, acquire).await {
            Ok(Ok(taken)) => taken,
            Ok(Err(error)) => {
                tracing::debug!(payment_id = %id, %error, "khipu is asked without knowing whose turn it is");
                true
            }
            Err(_) => true,
        }
    }
}
