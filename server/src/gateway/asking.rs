//! What is asked of Khipu, one question however many want to know, and what follows from its answer.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use dashmap::DashMap;
use dashmap::mapref::entry::Entry;
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};
use tokio::time::Instant;

use super::desk::Desk;
use super::{DELIVERY_GRACE, Gateway, GatewayError};
use crate::account::Account;
use crate::clock;
use crate::khipu::KhipuError;
use crate::khipu::wire::PaymentAnswer;
use crate::ledger::LedgerError;
use crate::payment::{
    AccountName, Claim, Errand, FIRST_WHILE_AWAITED, Observation, Payment, PaymentId, Priority,
    Source, State, Status, Terms, Timestamp,
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

pub(super) type Answered = Result<Arc<PaymentAnswer>, AskError>;

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
                let under_way = UnderWay {
                    gateway: Arc::clone(self),
                    key,
                };
                let (gateway, account, id) = (Arc::clone(self), Arc::clone(account), id.clone());
                let question = async move {
                    let _until_answered = under_way;
                    gateway.ask_anew(&account, &id).await
                };
                vacant.insert(detached(question).boxed().shared()).clone()
            }
        };
        question.await
    }

    /// Asks, and never takes the answer to a question that was put before: for whoever knows that something has just
    /// happened.
    pub async fn ask_anew(self: &Arc<Self>, account: &Arc<Account>, id: &PaymentId) -> Answered {
        let (gateway, account, id) = (Arc::clone(self), Arc::clone(account), id.clone());
        detached(async move { gateway.ask_and_apply(&account, &id).await }).await
    }

    async fn ask_and_apply(self: &Arc<Self>, account: &Arc<Account>, id: &PaymentId) -> Answered {
        let asked_at = clock::now();
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
                if let Some(pause) = retry_after {
                    self.desk(account)
                        .limiter
                        .pause_until(Instant::now() + pause.min(LONGEST_PAUSE));
                }
                return Err(AskError::Khipu(error));
            }
        };
        let answer = Arc::new(answer);
        let applied = self.apply_answer(account, id, &answer, asked_at).await;
        if let (Err(AskError::Ledger(_)), Some(claim)) = (&applied, answer.claim(clock::now())) {
            self.go_on_uncommitted(account, id, &claim);
        }
        applied.map(|()| answer)
    }

    /// Degraded mode: watchers here need not wait for the ledger to hear what Khipu says; it is only not announced
    /// elsewhere. Nor is it forgotten when they have seen it and left: the merchant is to hear of it.
    fn go_on_uncommitted(&self, account: &Account, id: &PaymentId, claim: &Claim) {
        self.publish_uncommitted(id, claim);
        if claim.status > Status::Pending {
            self.desk(account).remember_uncommitted(id);
        }
    }

    async fn apply_answer(
        self: &Arc<Self>,
        account: &Arc<Account>,
        id: &PaymentId,
        answer: &PaymentAnswer,
        asked_at: Timestamp,
    ) -> Result<(), AskError> {
        let known = self.ledger.payment(id).await?;
        let payment = match known {
            Some(payment) if payment.account != account.name => return Err(AskError::Foreign),
            Some(payment) if payment.terms.is_some() => payment,
            known => self.adopt(account, id, answer, known).await?,
        };
        let Some(claim) = answer.claim(clock::now()) else {
            return Ok(());
        };
        if claim.status <= payment.state.status {
            compare(&payment, &claim, asked_at);
            return Ok(());
        }
        if claim.status == Status::Confirmed
            && !agrees(payment.terms.as_ref(), answer.terms().as_ref())
        {
            metrics::counter!("chasqui_mismatches_total", "source" => Source::Khipu.as_str())
                .increment(1);
            tracing::error!(payment_id = %id, "khipu's answer disagrees with the payment in amount or currency; it is not confirmed");
            return Ok(());
        }
        let now = clock::now();
        let errands = match claim.status {
            Status::Confirmed => vec![Errand::delivery(now.plus(DELIVERY_GRACE))],
            // From now on a confirmation is to be expected, whoever watches.
            Status::Verifying => vec![Errand::check(
                now.plus(FIRST_WHILE_AWAITED),
                Priority::Silent,
            )],
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
        self.apply(id, observation).await?;
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
        if answer
            .receiver_id
            .is_some_and(|receiver| receiver != account.receiver_id)
        {
            tracing::error!(payment_id = %id, account = %account.name, "a payment of another receiver is not adopted; is receiver_id right?");
            return Err(AskError::Foreign);
        }
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

    /// The notification that Khipu would have sent for a confirmed payment, from Khipu's own answer.
    pub async fn rebuild_notification(
        self: &Arc<Self>,
        account: &Arc<Account>,
        id: &PaymentId,
    ) -> Result<Bytes, String> {
        let answer = self
            .ask_anew(account, id)
            .await
            .map_err(|error| error.to_string())?;
        match answer.claim(clock::now()) {
            Some(claim) if claim.status == Status::Confirmed => Ok(answer.as_notification()),
            // Reversed since, perhaps: nobody is to be told that it was paid.
            _ => Err("khipu no longer says that it is paid".into()),
        }
    }

    /// When this account's payments are asked about.
    ///
    /// Accounts come from the configuration alone, and each was given a desk.
    pub(super) fn desk(&self, account: &Account) -> &Desk {
        &self.desks[&account.name]
    }
}

/// Runs to its end even if everybody who waits for it goes away.
async fn detached(question: impl Future<Output = Answered> + Send + 'static) -> Answered {
    let task = tokio::spawn(question);
    task.await
        .unwrap_or_else(|error| Err(AskError::Ledger(format!("the question failed: {error}"))))
}

/// A notification said confirmed and Khipu's own answer does not: never lowered, but somebody must look. An answer to a
/// question that was put before the confirmation says nothing about it.
fn compare(payment: &Payment, claim: &Claim, asked_at: Timestamp) {
    let State { status, at, .. } = payment.state;
    if status == Status::Confirmed && claim.status < Status::Confirmed && at < asked_at {
        metrics::counter!("chasqui_confirmation_disputed_total").increment(1);
        tracing::error!(
            payment_id = %payment.id,
            khipu_says = claim.status.as_str(),
            "confirmation_disputed: the payment stands at confirmed but khipu's answer does not say so"
        );
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
fn agrees(ours: Option<&Terms>, khipus: Option<&Terms>) -> bool {
    let (Some(ours), Some(khipus)) = (ours, khipus) else {
        return false;
    };
    ours.currency == khipus.currency && ours.amount.agrees_with(khipus.amount, ours.currency)
}
