//! The payer's side: watching a payment, and the return from the bank.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use chasqui_payment::{
    Intent, JobPriority, NewJob, Observation, Payment, PaymentId, PaymentReference, PaymentState,
    Reported, Source, StatusKind, StatusUpdate, Version,
};
use chasqui_store::{StoreError, Visit};

use crate::account::Account;
use crate::clock;
use crate::detached::detached;
use crate::error::PaymentsError;
use crate::payments::{CHECK_DELAY, Payments};
use crate::push::{Registration, StatusMessage, WatchRefusal, Watcher};
use crate::refresh::PendingResponse;

/// How long a payer who returns to a closed payment (rejected, expired and the like) waits for Khipu's answer.
const RETURN_TIMEOUT: Duration = Duration::from_millis(1500);

/// How often a return is recorded again because the status changed in between.
const RETURN_ATTEMPTS: usize = 3;

/// Watches a payment until it is dropped.
#[derive(Debug)]
pub struct WatchHandle {
    registration: Registration,
    payments: Arc<Payments>,
}

#[derive(Debug, thiserror::Error)]
pub enum WatchError {
    #[error("the payment cannot be watched here: {0:?}")]
    Refused(WatchRefusal),
    #[error("the relay is not available")]
    Relay,
    #[error(transparent)]
    Payments(#[from] PaymentsError),
}

impl WatchHandle {
    pub fn watcher(&self) -> &Arc<Watcher> {
        &self.registration.watcher
    }

    pub fn payment_id(&self) -> &PaymentId {
        &self.registration.payment_id
    }

    /// A page reports that it showed this version to its payer.
    pub fn seen(&self, version: Version) {
        self.payments
            .record_visit(self.payment_id(), Visit::Seen(version));
    }
}

impl Drop for WatchHandle {
    fn drop(&mut self) {
        let id = &self.registration.payment_id;
        self.payments.relay.unsubscribe(id);
    }
}

impl Payments {
    /// Watches a payment. On return the newest status is in the watcher's slot, and every later one will be: the watcher
    /// registers, subscribes, and only then reads, so that no change can be missed.
    pub async fn watch(
        self: &Arc<Self>,
        account: &Arc<Account>,
        id: &PaymentId,
    ) -> Result<WatchHandle, WatchError> {
        let registration = self.hub.register(id).map_err(WatchError::Refused)?;
        self.relay.subscribe(id).await.map_err(|error| {
            tracing::warn!(%error, "the relay could not subscribe a watcher; the client must try again");
            WatchError::Relay
        })?;
        let watch = WatchHandle {
            registration,
            payments: Arc::clone(self),
        };
        let payment = self.require_payment(account, id).await?;
        if let Some(terms) = &payment.terms {
            self.hub.remember_price(id, terms.price());
        }
        watch
            .watcher()
            .offer(&StatusMessage::of(&payment, clock::now()));
        if payment.state.is_final() {
            self.schedule_visit(account, &payment);
        } else {
            self.schedule(account).watch(id);
        }
        Ok(watch)
    }

    /// The stored status. Khipu is polled in the background.
    pub async fn status(
        self: &Arc<Self>,
        account: &Arc<Account>,
        id: &PaymentId,
    ) -> Result<StatusMessage, WatchError> {
        let payment = self.require_payment(account, id).await?;
        self.schedule_visit(account, &payment);
        Ok(StatusMessage::of(&payment, clock::now()))
    }

    /// Polls a payment because of a visit. Khipu is asked about a confirmed one once in ten minutes, to learn of a reversal.
    fn schedule_visit(self: &Arc<Self>, account: &Arc<Account>, payment: &Payment) {
        match payment.state.version.kind() {
            StatusKind::Confirmed => self.recheck_confirmed(account, &payment.id),
            StatusKind::Reversed => {}
            _ => self.schedule(account).request(&payment.id),
        }
    }

    /// Starts heartbeats and pings for a watcher that holds a connection.
    pub fn keep_alive(&self, watch: &WatchHandle) {
        self.hub.keep_alive(watch.watcher());
    }

    /// The intent with this reference, and its payment if that was created and stored.
    pub async fn find_by_reference(
        &self,
        reference: &PaymentReference,
    ) -> Result<Option<(Intent, Option<Payment>)>, PaymentsError> {
        let Some(intent) = self.store.intent(reference).await? else {
            return Ok(None);
        };
        let account = self.accounts.by_name(&intent.account);
        let payment = match (&intent.payment_id, account) {
            (Some(id), Some(account)) => match self.own_payment(account, id).await {
                Err(PaymentsError::UnknownPayment) => None,
                read => read?,
            },
            _ => None,
        };
        Ok(Some((intent, payment)))
    }

    /// Adopts the payment of an intent, which could not be stored when it was created.
    pub async fn adopt_intent(self: &Arc<Self>, intent: &Intent) -> Option<Payment> {
        let (id, account) = (
            intent.payment_id.as_ref()?,
            self.accounts.by_name(&intent.account)?,
        );
        match self.require_payment(account, id).await {
            Ok(payment) => Some(payment),
            Err(error) => {
                tracing::warn!(payment_id = %id, %error, "a payer returned to a payment that cannot be adopted yet");
                None
            }
        }
    }

    /// Records a visit in the payment's timeline, in the background and within limits.
    pub fn record_visit(&self, id: &PaymentId, visit: Visit) {
        self.visit_recorder.record(&self.store, id, visit);
    }

    /// Whether a payer's visit is recorded, or only redirected.
    pub fn admit_visit(&self, id: &PaymentId, address: IpAddr) -> bool {
        self.visits.admit(id, address)
    }

    /// The payer returned from the bank, which by Khipu's guide means "in the verification process". Khipu is asked about a
    /// closed payment first, so that a payer who resumed and paid does not see a false failure. Returns the current state. Runs
    /// to its end although the browser hangs up.
    pub async fn payer_returned(
        self: &Arc<Self>,
        payment: &Payment,
    ) -> Result<PaymentState, PaymentsError> {
        self.record_visit(&payment.id, Visit::Returned);
        let (payments, payment) = (Arc::clone(self), payment.clone());
        detached(async move { payments.handle_return(&payment).await }).await?
    }

    async fn handle_return(
        self: &Arc<Self>,
        payment: &Payment,
    ) -> Result<PaymentState, PaymentsError> {
        let id = &payment.id;
        let Some(account) = self.accounts.by_name(&payment.account) else {
            return Ok(payment.state);
        };
        let mut state = payment.state;
        if state.must_be_asked_on_return() {
            let refresh = async {
                self.acquire_for_visit(account, id).await?;
                self.refresh_detached(account, id, PendingResponse::Ignored)
                    .await
            };
            let refreshed = tokio::time::timeout(RETURN_TIMEOUT, refresh).await;
            let reported = match &refreshed {
                Ok(Ok(response)) => response.reported(clock::now()),
                Ok(Err(_)) | Err(_) => None,
            };
            if let Some(stored) = self.store.states(std::slice::from_ref(id)).await?[0] {
                state = stored;
            }
            if reported.is_some_and(|reported| reported != Reported::Pending) {
                self.schedule_visit(account, payment);
                return Ok(state);
            }
        }
        let recorded = self.record_return(payment, state).await;
        // Although it could not be recorded, this instance's watchers see Khipu's answer.
        if !state.is_final() {
            self.schedule(account).poll_now(id);
        }
        Ok(recorded?)
    }

    async fn record_return(
        self: &Arc<Self>,
        payment: &Payment,
        mut state: PaymentState,
    ) -> Result<PaymentState, StoreError> {
        for _ in 0..RETURN_ATTEMPTS {
            let Some(update) = state.returned() else {
                break;
            };
            let now = clock::now();
            let observation = Observation {
                account: payment.account.clone(),
                source: Source::Payer,
                at: now,
                update: Some(update),
                notification: None,
                // For when the page is closed and Khipu's notification is lost.
                jobs: vec![NewJob::check(now.plus(CHECK_DELAY), JobPriority::Silent)],
            };
            state = self.apply(&payment.id, observation).await?.after;
            if state.version == update.version {
                break;
            }
        }
        Ok(state)
    }

    /// The payer gave up at the bank, perhaps only for now. The status stays, and Khipu is polled.
    pub fn payer_cancelled(self: &Arc<Self>, payment: &Payment) {
        if let Some(account) = self.accounts.by_name(&payment.account)
            && !payment.state.is_final()
        {
            self.schedule(account).poll_now(&payment.id);
        }
    }

    /// Degraded mode: shows this instance's watchers a final status that could not be committed.
    pub(crate) fn publish_uncommitted(&self, id: &PaymentId, update: &StatusUpdate) {
        let now = clock::now();
        let state = PaymentState::created(now).updated(update, now);
        self.hub.publish(id, &StatusMessage::new(id, &state, None));
    }
}
