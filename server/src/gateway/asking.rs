//! What is asked of Khipu: one question however many want to know, and again and again while somebody is watching.
//!
//! [`super::desk`] says when.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use dashmap::DashMap;
use dashmap::mapref::entry::Entry;
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::{DELIVERY_GRACE, Gateway, GatewayError, delivery};
use crate::account::Account;
use crate::clock;
use crate::khipu::KhipuError;
use crate::khipu::wire::PaymentAnswer;
use crate::ledger::LedgerError;
use crate::payment::{
    AccountName, Claim, Observation, Payment, PaymentId, Source, State, Status, Terms,
};

/// However long Khipu asks us to leave it alone, watchers are not left without an answer for longer.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// Why a question has no answer. Shared by everybody who asked it.
#[derive(Debug, Clone, thiserror::Error)]
pub enum AskError {
    #[error(transparent)]
    Khipu(KhipuError),
    #[error("the ledger is not available: {0}")]
    Ledger(String),
    #[error("the payment belongs to another account")]
    Foreign,
}

impl From<AskError> for GatewayError {
    fn from(error: AskError) -> Self {
        match error {
            AskError::Khipu(error) if error.is_not_found() => Self::UnknownPayment,
            AskError::Khipu(error) => Self::Khipu(error),
            AskError::Ledger(reason) => Self::Ledger(LedgerError::Unavailable(reason)),
            AskError::Foreign => Self::UnknownPayment,
        }
    }
}

impl From<LedgerError> for AskError {
    fn from(error: LedgerError) -> Self {
        match error {
            LedgerError::Foreign => Self::Foreign,
            LedgerError::Unavailable(reason) => Self::Ledger(reason),
        }
    }
}

type Answered = Result<Arc<PaymentAnswer>, AskError>;

/// A question under way, and on whose behalf: one account's answer is not another's to hear.
pub(super) type Questions = DashMap<(AccountName, PaymentId), Shared<BoxFuture<'static, Answered>>>;

impl Gateway {
    /// Asks Khipu what it knows of a payment and applies the answer. Whoever asks while the question is under way gets
    /// the same answer. A payment that is not known here is adopted.
    pub async fn ask(self: &Arc<Self>, account: &Arc<Account>, id: &PaymentId) -> Answered {
        let key = (account.name.clone(), id.clone());
        let question = match self.questions.entry(key.clone()) {
            Entry::Occupied(question) => question.get().clone(),
            Entry::Vacant(vacant) => {
                let (gateway, account) = (Arc::clone(self), Arc::clone(account));
                // A task of its own: should everybody who asked go away, the answer is applied all the same.
                let task = tokio::spawn(async move {
                    let under_way = UnderWay { gateway, key };
                    under_way
                        .gateway
                        .ask_and_apply(&account, &under_way.key.1)
                        .await
                });
                let question = async move {
                    task.await.unwrap_or_else(|error| {
                        Err(AskError::Ledger(format!("the question failed: {error}")))
                    })
                };
                vacant.insert(question.boxed().shared()).clone()
            }
        };
        question.await
    }

    async fn ask_and_apply(self: &Arc<Self>, account: &Arc<Account>, id: &PaymentId) -> Answered {
        let answer = match self.khipu.payment(account, id).await {
            Ok(answer) if answer.payment_id == *id => answer,
            Ok(_) => {
                return Err(AskError::Khipu(KhipuError::Malformed(
                    "it speaks of another payment".into(),
                )));
            }
            Err(error) => {
                let retry_after = match &error {
                    KhipuError::Refused {
                        status: 429,
                        retry_after,
                        ..
                    } => retry_after.or(Some(Duration::from_secs(1))),
                    KhipuError::Failed { retry_after, .. } => *retry_after,
                    _ => None,
                };
                if let (Some(desk), Some(pause)) = (self.desks.get(&account.name), retry_after) {
                    desk.limiter
                        .pause_until(Instant::now() + pause.min(LONGEST_PAUSE));
                }
                return Err(AskError::Khipu(error));
            }
        };
        let answer = Arc::new(answer);
        self.apply_answer(account, id, &answer).await?;
        Ok(answer)
    }

    async fn apply_answer(
        self: &Arc<Self>,
        account: &Arc<Account>,
        id: &PaymentId,
        answer: &PaymentAnswer,
    ) -> Result<(), AskError> {
        let known = match self.ledger.payment(id).await {
            Ok(known) => known,
            Err(error) => {
                // Nobody here need wait for the ledger to hear what Khipu says; it is only not announced elsewhere.
                if let Some(claim) = answer.claim(clock::now()) {
                    self.publish_uncommitted(id, &claim);
                }
                return Err(error.into());
            }
        };
        let payment = match known {
            Some(payment) if payment.account != account.name => return Err(AskError::Foreign),
            Some(payment) if payment.terms.is_some() => payment,
            known => self.adopt(account, id, answer, known).await?,
        };
        let Some(claim) = answer.claim(clock::now()) else {
            return Ok(());
        };
        self.compare(&payment, &claim);
        if claim.status <= payment.state.status {
            return Ok(());
        }
        if claim.status == Status::Confirmed && !agrees(&payment.terms, &answer.terms()) {
            metrics::counter!("chasqui_mismatches_total", "source" => Source::Khipu.as_str())
                .increment(1);
            tracing::error!(payment_id = %id, "khipu's answer disagrees with the payment in amount or currency; it is not confirmed");
            return Ok(());
        }
        let now = clock::now();
        let errands = match claim.status {
            Status::Confirmed => vec![delivery(now.plus(DELIVERY_GRACE))],
            _ => Vec::new(),
        };
        let observation = Observation {
            account: account.name.clone(),
            source: Source::Khipu,
            at: now,
            claim: Some(claim),
            notification: None,
            errands,
        };
        if let Err(error) = self.apply(id, observation).await {
            self.publish_uncommitted(id, &claim);
            return Err(error.into());
        }
        Ok(())
    }

    /// Takes in a payment that is not known here, or of which only a notification is: made just before a crash, in a
    /// store that was lost, or at Khipu directly.
    async fn adopt(
        &self,
        account: &Arc<Account>,
        id: &PaymentId,
        answer: &PaymentAnswer,
        known: Option<Payment>,
    ) -> Result<Payment, AskError> {
        let ours = self.notify_url(account);
        let reference = answer.reference(&ours);
        let intent = match &reference {
            Some(reference) => self
                .ledger
                .intent(reference)
                .await?
                .filter(|intent| intent.account == account.name),
            None => None,
        };
        let urls = match (&intent, &reference) {
            (Some(intent), _) => intent.urls.clone(),
            // Made here, but the intent is gone: what Khipu holds are our own URLs, which lead nowhere.
            (None, Some(_)) => crate::payment::MerchantUrls::default(),
            (None, None) => {
                let mut urls = answer.urls();
                urls.notify_url = urls.notify_url.filter(|url| !url.starts_with(&ours));
                urls
            }
        };
        let now = clock::now();
        let payment = Payment {
            id: id.clone(),
            account: account.name.clone(),
            terms: answer.terms(),
            urls,
            reference: intent.map(|intent| intent.reference),
            payment_url: answer.payment_url.clone(),
            expires_at: answer.expires_at,
            created_at: now,
            state: known.map_or(State::pending(now), |known| known.state),
        };
        let outcome = self.ledger.create(&payment).await?;
        tracing::info!(payment_id = %id, "a payment that was not known here was adopted");
        metrics::counter!("chasqui_payments_adopted_total").increment(1);
        Ok(Payment {
            state: outcome.after,
            ..payment
        })
    }

    /// A notification said confirmed and Khipu's own answer does not: never lowered, but somebody must look.
    fn compare(&self, payment: &Payment, claim: &Claim) {
        if payment.state.status == Status::Confirmed && claim.status < Status::Confirmed {
            metrics::counter!("chasqui_confirmation_disputed_total").increment(1);
            tracing::error!(
                payment_id = %payment.id,
                khipu_says = claim.status.as_str(),
                "confirmation_disputed: the payment stands at confirmed but khipu's answer does not say so"
            );
        }
    }

    /// The notification that Khipu would have sent for a confirmed payment, from Khipu's own answer.
    pub async fn rebuild_notification(
        self: &Arc<Self>,
        account: &Arc<Account>,
        id: &PaymentId,
    ) -> Result<Bytes, String> {
        let answer = self
            .ask(account, id)
            .await
            .map_err(|error| error.to_string())?;
        match answer.claim(clock::now()) {
            Some(claim) if claim.status == Status::Confirmed => Ok(answer.as_notification()),
            // Reversed since, perhaps: nobody is to be told that it was paid.
            _ => Err("khipu no longer says that it is paid".into()),
        }
    }

    /// Asks as soon as it is this payment's turn, and keeps asking while it is watched.
    pub(super) fn follow(&self, account: &Account, id: &PaymentId) {
        if let Some(desk) = self.desks.get(&account.name) {
            desk.want(id);
        }
    }

    /// Asks Khipu about everything that somebody here wants to know, for ever.
    pub async fn follow_watched(self: Arc<Self>) {
        let mut accounts = JoinSet::new();
        for account in self.accounts.iter() {
            accounts.spawn(Arc::clone(&self).follow_account(Arc::clone(account)));
        }
        accounts.join_all().await;
    }

    async fn follow_account(self: Arc<Self>, account: Arc<Account>) {
        let Some(desk) = self.desks.get(&account.name) else {
            return;
        };
        let slots = Arc::new(Semaphore::new(self.limits.questions_in_flight));
        // The semaphore is never closed.
        while let Ok(slot) = Arc::clone(&slots).acquire_owned().await {
            let id = desk.next(|id| self.hub.is_watched(id)).await;
            let (gateway, account) = (Arc::clone(&self), Arc::clone(&account));
            tokio::spawn(async move {
                gateway.ask_for_watchers(&account, &id).await;
                drop(slot);
            });
        }
    }

    async fn ask_for_watchers(self: &Arc<Self>, account: &Arc<Account>, id: &PaymentId) {
        let unknown = match self.ask(account, id).await {
            Ok(_) => false,
            Err(AskError::Khipu(error)) if error.is_not_found() => true,
            Err(error) => {
                tracing::debug!(payment_id = %id, %error, "khipu could not be asked");
                false
            }
        };
        let settled = match self.ledger.read(std::slice::from_ref(id)).await {
            Ok(states) => states[0].is_some_and(|state| state.status.is_final()),
            Err(_) => false,
        };
        if let Some(desk) = self.desks.get(&account.name) {
            desk.settle(id, unknown || settled);
        }
    }
}

/// Takes the question off the list when it has been answered, whatever became of it.
struct UnderWay {
    gateway: Arc<Gateway>,
    key: (AccountName, PaymentId),
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.gateway.questions.remove(&self.key);
    }
}

/// Amount at the currency's precision and currency; both sides must say them.
fn agrees(ours: &Option<Terms>, khipus: &Option<Terms>) -> bool {
    match (ours, khipus) {
        (Some(ours), Some(khipus)) => {
            ours.currency == khipus.currency
                && ours.amount.agrees_with(khipus.amount, ours.currency)
        }
        _ => false,
    }
}
