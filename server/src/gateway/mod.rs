//! The use cases, and the one door through which a payment changes.
//!
//! Whatever is learnt of a payment, from whomever, ends in [`Gateway::apply`]: committed to the ledger first, announced
//! to the watchers after. `http` calls in from above; nothing below knows of this module. In reading order: this file
//! for the merchant's calls, [`idempotency`] for those that may come twice, [`notifications`] for Khipu's, [`watching`] for the
//! payer's, [`asking`] for what is asked of Khipu.

mod asking;
mod desk;
mod idempotency;
mod limiter;
mod notifications;
mod watching;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;

use crate::account::{Account, Accounts};
use crate::clock;
use crate::config::{Config, Limits};
use crate::khipu::wire::{CreateRequest, FieldError, ReturnHop};
use crate::khipu::{self, Answer, Fields, KhipuError};
use crate::ledger::{Ledger, LedgerError, Outcome};
use crate::payment::{
    AccountName, Claim, Errand, ErrandKind, Intent, MerchantUrls, Observation, Payment, PaymentId,
    Ref, Source, State, Status, Timestamp,
};
use crate::push::{Admission, Hub};
use crate::relay::{Change, Relay};

pub use crate::ledger::{IdempotencyKey, KeptAnswer};
pub use asking::AskError;
pub use idempotency::{Once, OnceError};
pub use notifications::{NotificationError, Received};
pub use watching::{Watch, WatchError};

use asking::Questions;
use desk::Desk;
use limiter::Limiter;

/// A confirmation found by asking waits so long for Khipu's own notification, whose bytes the merchant prefers.
const DELIVERY_GRACE: Duration = Duration::from_secs(10);

/// How long after a confirmation by notification Khipu is asked whether it agrees.
const CROSS_CHECK_DELAY: Duration = Duration::from_secs(2);

#[derive(Debug)]
pub struct Gateway {
    pub accounts: Arc<Accounts>,
    pub admission: Arc<Admission>,
    pub limits: Limits,
    ledger: Arc<dyn Ledger>,
    relay: Arc<dyn Relay>,
    hub: Arc<Hub>,
    khipu: khipu::Client,
    /// Where the world reaches us; see [`Gateway::public`].
    public_url: String,
    questions: Questions,
    /// One for each account, made once.
    desks: HashMap<AccountName, Desk>,
    wake: Wake,
}

/// Notified when an errand of a kind may be due at once, so that nobody has to poll for it.
#[derive(Debug, Clone, Default)]
pub struct Wake {
    pub deliveries: Arc<Notify>,
    pub checks: Arc<Notify>,
}

/// What a gateway is made of.
#[derive(Debug)]
pub struct Parts {
    pub ledger: Arc<dyn Ledger>,
    pub relay: Arc<dyn Relay>,
    pub hub: Arc<Hub>,
    pub khipu: khipu::Client,
    pub wake: Wake,
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
    Ledger(LedgerError),
    /// It broke off in the middle: what was asked may have been done.
    #[error("the operation broke off: {0}")]
    BrokeOff(String),
}

impl From<LedgerError> for GatewayError {
    fn from(error: LedgerError) -> Self {
        match error {
            // Whose payment it is, is nobody else's business.
            LedgerError::Foreign => Self::UnknownPayment,
            error @ LedgerError::Unavailable(_) => Self::Ledger(error),
        }
    }
}

impl Gateway {
    pub fn new(config: &Config, parts: Parts) -> Self {
        let desk = || Desk::new(Limiter::new(config.limits.questions_per_second));
        let desks = config
            .accounts
            .iter()
            .map(|account| (account.name.clone(), desk()))
            .collect();
        Self {
            accounts: Arc::new(config.accounts.clone()),
            admission: Arc::new(Admission::new(
                config.limits.watchers,
                config.limits.watchers_per_address,
            )),
            limits: config.limits.clone(),
            ledger: parts.ledger,
            relay: parts.relay,
            hub: parts.hub,
            khipu: parts.khipu,
            public_url: config.server.public(""),
            questions: Questions::new(),
            desks,
            wake: parts.wake,
        }
    }

    /// Makes a payment at Khipu on the merchant's behalf. What is needed to find it again is durable before Khipu is
    /// asked, so that a crash at any point leaves nothing that cannot be adopted.
    ///
    /// A task of its own: a merchant who hangs up meanwhile may come back for the payment.
    pub async fn create(
        self: &Arc<Self>,
        account: &Arc<Account>,
        fields: Fields,
        hop: bool,
    ) -> Result<Created, GatewayError> {
        let (gateway, account) = (Arc::clone(self), Arc::clone(account));
        let task =
            tokio::spawn(async move { gateway.create_and_record(&account, fields, hop).await });
        task.await
            .unwrap_or_else(|error| Err(GatewayError::BrokeOff(error.to_string())))
    }

    async fn create_and_record(
        &self,
        account: &Account,
        fields: Fields,
        hop: bool,
    ) -> Result<Created, GatewayError> {
        let request = CreateRequest::parse(fields).map_err(GatewayError::Fields)?;
        let intent = Intent {
            reference: Ref::from_random(rand::random()),
            account: account.name.clone(),
            urls: request.urls.clone(),
            created_at: clock::now(),
            payment_id: None,
        };
        self.ledger.intend(&intent).await?;

        let (terms, expires_at) = (request.terms.clone(), request.expires_at);
        let notify_url = format!("{}?ref={}", self.notify_url(account), intent.reference);
        let hop = (hop && account.return_hop).then(|| {
            let return_url = format!("{}/return/{}", self.public_url, intent.reference);
            ReturnHop {
                cancel_url: format!("{return_url}/cancel"),
                return_url,
            }
        });
        let answer = self
            .khipu
            .create(account, request.for_khipu(&notify_url, hop.as_ref()))
            .await?;

        let payment = Payment {
            id: answer.payment_id.clone(),
            account: account.name.clone(),
            terms: Some(terms),
            urls: intent.urls,
            reference: Some(intent.reference),
            payment_url: answer.payment_url,
            expires_at,
            created_at: intent.created_at,
            state: State::pending(intent.created_at),
        };
        // Should this fail, the payment exists at Khipu and is adopted as soon as anybody asks for it or Khipu notifies:
        // the merchant must not be told that it does not exist, for it would make another.
        if let Err(error) = self.ledger.create(&payment).await {
            tracing::error!(payment_id = %payment.id, %error, "a payment was made but could not be recorded; it will be adopted");
        }
        metrics::counter!("chasqui_payments_created_total", "account" => account.name.to_string())
            .increment(1);
        Ok(Created {
            payment_id: answer.payment_id,
            fields: answer.fields,
        })
    }

    /// Khipu's own answer, with the merchant's URLs in the places of ours; what it says is an observation too.
    pub async fn payment(
        self: &Arc<Self>,
        account: &Arc<Account>,
        id: &PaymentId,
    ) -> Result<Fields, GatewayError> {
        if self.is_foreign(account, id).await? {
            return Err(GatewayError::UnknownPayment);
        }
        let answer = self.ask(account, id).await?;
        let urls = match self.ledger.payment(id).await? {
            Some(payment) => payment.urls,
            None => MerchantUrls::default(),
        };
        Ok(answer.as_ref().clone().with_urls(&urls))
    }

    /// Deletes an unpaid payment at Khipu.
    pub async fn delete(
        self: &Arc<Self>,
        account: &Account,
        id: &PaymentId,
    ) -> Result<Answer, GatewayError> {
        if self.is_foreign(account, id).await? {
            return Err(GatewayError::UnknownPayment);
        }
        let answer = self.khipu.delete(account, id).await?;
        self.apply(
            id,
            Observation {
                account: account.name.clone(),
                source: Source::Merchant,
                at: clock::now(),
                claim: Some(Claim::of(Status::Cancelled)),
                notification: None,
                errands: Vec::new(),
            },
        )
        .await?;
        Ok(answer)
    }

    pub async fn banks(&self, account: &Account) -> Result<Answer, GatewayError> {
        Ok(self.khipu.banks(account).await?)
    }

    /// Whether the payment is known to be this account's; where it is unknown, Khipu is asked.
    pub async fn require_payment(
        self: &Arc<Self>,
        account: &Arc<Account>,
        id: &PaymentId,
    ) -> Result<State, GatewayError> {
        match self.ledger.payment(id).await? {
            Some(payment) if payment.account != account.name => Err(GatewayError::UnknownPayment),
            Some(payment) if payment.terms.is_some() => Ok(payment.state),
            _ => {
                self.ask(account, id).await?;
                let payment = self
                    .ledger
                    .payment(id)
                    .await?
                    .ok_or(GatewayError::UnknownPayment)?;
                Ok(payment.state)
            }
        }
    }

    /// Whether this instance can do its work: the ledger can be written to.
    pub async fn ready(&self) -> Result<(), LedgerError> {
        self.ledger.ready().await
    }

    async fn is_foreign(&self, account: &Account, id: &PaymentId) -> Result<bool, GatewayError> {
        Ok(self
            .ledger
            .payment(id)
            .await?
            .is_some_and(|payment| payment.account != account.name))
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
    ) -> Result<Outcome, LedgerError> {
        let (gateway, id) = (Arc::clone(self), id.clone());
        let task =
            tokio::spawn(async move { gateway.commit_and_announce(&id, &observation).await });
        task.await.unwrap_or_else(|error| {
            Err(LedgerError::Unavailable(format!(
                "the operation failed: {error}"
            )))
        })
    }

    async fn commit_and_announce(
        &self,
        id: &PaymentId,
        observation: &Observation,
    ) -> Result<Outcome, LedgerError> {
        let outcome = self.ledger.observe(id, observation).await?;
        for errand in &observation.errands {
            match errand.kind {
                ErrandKind::Delivery => self.wake.deliveries.notify_one(),
                ErrandKind::Check => self.wake.checks.notify_one(),
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
            return;
        }
        tracing::info!(
            payment_id = %id,
            from = before.map_or("unknown", |state| state.status.as_str()),
            to = after.status.as_str(),
            source = source.as_str(),
            "the payment changed"
        );
        metrics::counter!("chasqui_changes_total", "status" => after.status.as_str(), "source" => source.as_str())
            .increment(1);
        let was_over = before
            .is_some_and(|state| matches!(state.status, Status::Cancelled | Status::Rejected));
        if was_over && after.status == Status::Confirmed {
            metrics::counter!("chasqui_paid_after_cancel_total").increment(1);
            tracing::warn!(payment_id = %id, "paid_after_cancel: a payment was confirmed after it was cancelled or rejected");
        }
        let change = Change {
            payment_id: id.clone(),
            state: after,
        };
        if let Err(error) = self.relay.announce(&change).await {
            tracing::warn!(payment_id = %id, %error, "a change could not be announced");
        }
    }
}

/// What follows from a confirmation: the merchant is told, once. `due_at` is when at the latest.
fn delivery(due_at: Timestamp) -> Errand {
    Errand {
        kind: ErrandKind::Delivery,
        due_at,
    }
}

fn check(due_at: Timestamp) -> Errand {
    Errand {
        kind: ErrandKind::Check,
        due_at,
    }
}
