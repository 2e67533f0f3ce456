//! The payer's side: watching a payment, and coming back from the bank.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::account::Account;
use crate::clock;
use crate::detached::detached;
use crate::error::PaymentsError;
use crate::in_flight::RefreshResult;
use crate::payments::{CHECK_DELAY, Payments};
use crate::push::{Registration, StatusMessage, WatchRefusal, Watcher};
use chasqui_payment::{
    Intent, JobPriority, NewJob, Observation, Payment, PaymentId, PaymentReference, PaymentState,
    Reported, Source, StatusKind, StatusUpdate,
};
use chasqui_store::Relay;
use chasqui_store::StoreError;

/// How long a payer who comes back after an end (rejected, expired and the like) waits for Khipu's newest word.
const RETURN_TIMEOUT: Duration = Duration::from_millis(1500);

/// How often a return is recorded again when the status moved meanwhile. Each time it meets a newer word; the last stands.
const RETURN_ATTEMPTS: usize = 3;

/// Somebody follows a payment, until this is dropped.
#[derive(Debug)]
pub struct WatchHandle {
    registration: Registration,
    relay: Arc<dyn Relay>,
}

#[derive(Debug, thiserror::Error)]
pub enum WatchError {
    #[error("there is no room: {0:?}")]
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
        self.registration.payment_id()
    }
}

impl Drop for WatchHandle {
    fn drop(&mut self) {
        self.relay.unsubscribe(self.registration.payment_id());
    }
}

impl Payments {
    /// Begins to watch. When it returns, the newest status is in the watcher's slot and every later one will land there:
    /// registered, subscribed, and only then read, so that there is no gap for a change to fall into.
    pub async fn watch(
        self: &Arc<Self>,
        account: &Arc<Account>,
        id: &PaymentId,
    ) -> Result<WatchHandle, WatchError> {
        let registration = self.hub.register(id).map_err(WatchError::Refused)?;
        self.relay.subscribe(id).await.map_err(|error| {
            tracing::warn!(%error, "a watcher could not be subscribed");
            WatchError::Relay
        })?;
        let watch = WatchHandle {
            registration,
            relay: Arc::clone(&self.relay),
        };
        let payment = self.require_payment(account, id).await?;
        if let Some(terms) = &payment.terms {
            self.hub.remember_price(id, terms.price());
        }
        watch
            .watcher()
            .offer(&StatusMessage::of(&payment, clock::now()));
        if payment.state.is_final() {
            self.visited(account, &payment);
        } else {
            self.schedule(account).watch(id);
        }
        Ok(watch)
    }

    /// The status now, for a single look. Khipu is asked too, in the background.
    pub async fn status(
        self: &Arc<Self>,
        account: &Arc<Account>,
        id: &PaymentId,
    ) -> Result<StatusMessage, WatchError> {
        let payment = self.require_payment(account, id).await?;
        self.visited(account, &payment);
        Ok(StatusMessage::of(&payment, clock::now()))
    }

    /// A visit by a watcher, a payer or a merchant has Khipu asked soon; of what is confirmed once in ten minutes, to learn of
    /// reversals.
    fn visited(self: &Arc<Self>, account: &Arc<Account>, payment: &Payment) {
        match payment.state.version.kind() {
            StatusKind::Confirmed => self.recheck_confirmed(account, &payment.id),
            StatusKind::Reversed => {}
            _ => self.schedule(account).request(&payment.id),
        }
    }

    /// Begins the keeping alive of a watcher that holds a connection.
    pub fn keep_alive(&self, watch: &WatchHandle) {
        self.hub.keep_alive(watch.watcher());
    }

    /// The intent behind a reference, and its payment if it came to one and is kept here.
    pub async fn find_returning(
        &self,
        reference: &PaymentReference,
    ) -> Result<Option<(Intent, Option<Payment>)>, PaymentsError> {
        let Some(intent) = self.store.intent(reference).await? else {
            return Ok(None);
        };
        let account = self.accounts.named(&intent.account);
        let payment = match (&intent.payment_id, account) {
            (Some(id), Some(account)) => match self.own_payment(account, id).await {
                Err(PaymentsError::UnknownPayment) => None,
                read => read?,
            },
            _ => None,
        };
        Ok(Some((intent, payment)))
    }

    /// The payment of an intent, which could not be kept when it was made: adopted from Khipu.
    pub async fn adopt_returning(self: &Arc<Self>, intent: &Intent) -> Option<Payment> {
        let (id, account) = (
            intent.payment_id.as_ref()?,
            self.accounts.named(&intent.account)?,
        );
        match self.require_payment(account, id).await {
            Ok(payment) => Some(payment),
            Err(error) => {
                tracing::warn!(payment_id = %id, %error, "a payer came back to a payment that cannot be adopted yet");
                None
            }
        }
    }

    /// Whether a payer's visit is recorded and has Khipu asked, or is only sent on.
    pub fn counts_as_visit(&self, id: &PaymentId, address: IpAddr) -> bool {
        self.visits.count(id, address)
    }

    /// The payer came back from the bank: by Khipu's guide that means "in the verification process". Where Khipu's newest
    /// word is an end, Khipu is asked first, for a moment: a payer who resumed and paid must not look at a false failure.
    /// Returns the state now.
    ///
    /// A task of its own: a browser that repeats the request must not take the payer's return with it.
    pub async fn payer_returned(
        self: &Arc<Self>,
        payment: &Payment,
    ) -> Result<PaymentState, PaymentsError> {
        let (payments, payment) = (Arc::clone(self), payment.clone());
        detached(async move { payments.handle_return(&payment).await }).await?
    }

    async fn handle_return(
        self: &Arc<Self>,
        payment: &Payment,
    ) -> Result<PaymentState, PaymentsError> {
        let id = &payment.id;
        let Some(account) = self.accounts.named(&payment.account) else {
            return Ok(payment.state);
        };
        let mut state = payment.state;
        if state.must_be_asked_on_return() {
            let refresh = self.refresh_for_payer(account, id);
            let asked = tokio::time::timeout(RETURN_TIMEOUT, refresh).await;
            let reported = match &asked {
                Ok(Ok(answer)) => answer.reported(clock::now()),
                Ok(Err(_)) | Err(_) => None,
            };
            if let Some(read) = self.store.states(std::slice::from_ref(id)).await?[0] {
                state = read;
            }
            if reported.is_some_and(|reported| reported != Reported::Pending) {
                self.visited(account, payment);
                return Ok(state);
            }
        }
        let recorded = self.record_return(payment, state).await;
        // Also when it could not be recorded: those who watch here are shown Khipu's answer.
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
                // Should the page be closed and Khipu's notification be lost, the store still has Khipu asked.
                jobs: vec![NewJob::check(now.plus(CHECK_DELAY), JobPriority::Silent)],
            };
            state = self.apply(&payment.id, observation).await?.after;
            if state.version == update.version {
                break;
            }
        }
        Ok(state)
    }

    /// Asks when it is the account's turn; waits while the payment was asked about a moment ago.
    async fn refresh_for_payer(
        self: &Arc<Self>,
        account: &Arc<Account>,
        id: &PaymentId,
    ) -> RefreshResult {
        self.acquire_for_visit(account, id).await?;
        self.refresh_without_pending(account, id).await
    }

    /// The payer gave up at the bank, perhaps only for now. That says nothing about the payment, but Khipu may know more.
    pub fn payer_cancelled(self: &Arc<Self>, payment: &Payment) {
        if let Some(account) = self.accounts.named(&payment.account)
            && !payment.state.is_final()
        {
            self.schedule(account).poll_now(&payment.id);
        }
    }

    /// Degraded mode: a final status of Khipu's reaches this instance's watchers although it could not be committed.
    pub(crate) fn publish_uncommitted(&self, id: &PaymentId, update: &StatusUpdate) {
        let now = clock::now();
        let state = PaymentState::created(now).updated(update, now);
        self.hub.publish(id, &StatusMessage::new(id, &state, None));
    }
}
