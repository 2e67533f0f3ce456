//! The payer's side: watching a payment, and coming back from the bank.

use std::sync::Arc;

use super::{Gateway, GatewayError};
use crate::account::Account;
use crate::clock;
use crate::payment::{
    Claim, Errand, FIRST_WHILE_AWAITED, Intent, Observation, Payment, PaymentId, Priority, Ref,
    Source, State, Status,
};
use crate::push::{Message, Refusal, Registration, Watcher};
use crate::relay::Relay;

/// Somebody follows a payment, until this is dropped.
#[derive(Debug)]
pub struct Watch {
    registration: Registration,
    relay: Arc<dyn Relay>,
}

#[derive(Debug, thiserror::Error)]
pub enum WatchError {
    #[error("there is no room: {0:?}")]
    Refused(Refusal),
    #[error("the relay is not available")]
    Relay,
    #[error(transparent)]
    Gateway(#[from] GatewayError),
}

impl Watch {
    pub fn watcher(&self) -> &Arc<Watcher> {
        &self.registration.watcher
    }

    pub fn payment_id(&self) -> &PaymentId {
        self.registration.payment_id()
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.relay.unsubscribe(self.registration.payment_id());
    }
}

impl Gateway {
    /// Begins to watch. When it returns, the newest status is in the watcher's slot and every later one will land there:
    /// registered, subscribed, and only then read, so that there is no gap for a change to fall into.
    pub async fn watch(
        self: &Arc<Self>,
        account: &Arc<Account>,
        id: &PaymentId,
    ) -> Result<Watch, WatchError> {
        let registration = self.hub.register(id).map_err(WatchError::Refused)?;
        self.relay.subscribe(id).await.map_err(|error| {
            tracing::warn!(%error, "a watcher could not be subscribed");
            WatchError::Relay
        })?;
        let watch = Watch {
            registration,
            relay: Arc::clone(&self.relay),
        };
        let state = self.require_payment(account, id).await?;
        watch.watcher().offer(&Message::new(id, &state));
        if !state.status.is_final() {
            self.desk(account).follow(id);
        }
        Ok(watch)
    }

    /// The status now, for somebody who asks once. On an open payment Khipu is asked too, in the background.
    pub async fn status(
        self: &Arc<Self>,
        account: &Arc<Account>,
        id: &PaymentId,
    ) -> Result<Message, WatchError> {
        let state = self.require_payment(account, id).await?;
        if !state.status.is_final() {
            self.desk(account).want(id);
        }
        Ok(Message::new(id, &state))
    }

    /// Begins the keeping alive of a watcher that holds a connection.
    pub fn keep_alive(&self, watch: &Watch) {
        self.hub.keep_alive(watch.watcher());
    }

    /// The intent behind a reference, and its payment if it came to one.
    pub async fn returning(
        &self,
        reference: &Ref,
    ) -> Result<Option<(Intent, Option<Payment>)>, GatewayError> {
        let Some(intent) = self.ledger.intent(reference).await? else {
            return Ok(None);
        };
        let payment = match &intent.payment_id {
            Some(id) => self.ledger.payment(id).await?,
            None => None,
        };
        Ok(Some((intent, payment)))
    }

    /// The payer came back from the bank: by Khipu's guide that means "in the verification process". Khipu is asked at
    /// once, but the payer does not wait for its answer. Returns the state now.
    pub async fn payer_returned(
        self: &Arc<Self>,
        payment: &Payment,
    ) -> Result<State, GatewayError> {
        // Before anything is written: should the ledger be away, those who watch here are shown Khipu's answer.
        self.ask_soon(payment);
        let now = clock::now();
        // Should the page be closed and Khipu's notification be lost, somebody still asks.
        let errands = match payment.state.status.is_final() {
            true => Vec::new(),
            false => vec![Errand::check(
                now.plus(FIRST_WHILE_AWAITED),
                Priority::Silent,
            )],
        };
        let observation = Observation {
            account: payment.account.clone(),
            source: Source::Payer,
            at: now,
            claim: Some(Claim::of(Status::Verifying)),
            notification: None,
            errands,
        };
        Ok(self.apply(&payment.id, observation).await?.after)
    }

    /// The payer gave up at the bank, perhaps only for now. That says nothing about the payment, but Khipu may know more.
    pub fn payer_gave_up(self: &Arc<Self>, payment: &Payment) {
        self.ask_soon(payment);
    }

    fn ask_soon(self: &Arc<Self>, payment: &Payment) {
        if let Some(account) = self.accounts.named(&payment.account)
            && !payment.state.status.is_final()
        {
            self.desk(account).urge(&payment.id);
        }
    }

    /// Degraded mode: Khipu's own answer reaches this instance's watchers although it could not be committed.
    pub(super) fn publish_uncommitted(&self, id: &PaymentId, claim: &Claim) {
        let state = State::pending(clock::now()).merged(claim, clock::now());
        self.hub.publish(id, &Message::new(id, &state));
    }
}
