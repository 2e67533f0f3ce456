//! What is asked of Khipu, one question however many want to know, and what follows from its answer.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::account::Account;
use crate::clock;
use crate::detached::detached;
use crate::error::RefreshError;
use crate::in_flight::RefreshResult;
use crate::payments::{CHECK_DELAY, DELIVERY_GRACE, Payments};
use crate::poll_schedule::PollSchedule;
use chasqui_khipu::KhipuError;
use chasqui_khipu::wire::{PaymentResponse, UnknownWord};
use chasqui_payment::{
    JobPriority, NewJob, Observation, Payment, PaymentId, PaymentState, Price, Reported, Source,
    StatusKind, StatusUpdate, Timestamp, Version,
};

/// However long Khipu asks us to leave it alone, watchers are not left without an answer for longer.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// How long the store may take to say what it holds before Khipu is asked. Then the question is put all the same: watchers
/// are shown Khipu's answer also when the store is away.
const READ_TIMEOUT: Duration = Duration::from_secs(1);

/// What becomes of an answer that says "pending".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pending {
    Counts,
    IsLeftOut,
}

impl Payments {
    /// Asks Khipu what it knows of a payment and applies the answer. Whoever asks while the question is under way gets
    /// the same answer. A payment that is not known here is adopted.
    pub async fn refresh(
        self: &Arc<Self>,
        account: &Arc<Account>,
        id: &PaymentId,
    ) -> RefreshResult {
        let key = (account.name.clone(), id.clone());
        let (payments, account, id) = (Arc::clone(self), Arc::clone(account), id.clone());
        let question = async move { payments.refresh_now(&account, &id).await };
        self.in_flight.coalesce(key, question).await
    }

    /// Asks about a payment that is not known here, because of a visit: at the account's pace, and not again for a while
    /// if Khipu does not know it either.
    pub(crate) async fn refresh_unknown(
        self: &Arc<Self>,
        account: &Arc<Account>,
        id: &PaymentId,
    ) -> RefreshResult {
        if self.not_found.contains(&account.name, id) {
            return Err(RefreshError::NotFound);
        }
        let key = (account.name.clone(), id.clone());
        let (payments, account, id) = (Arc::clone(self), Arc::clone(account), id.clone());
        let question = async move {
            payments.acquire_for_visit(&account, &id).await?;
            let answer = payments.refresh_now(&account, &id).await;
            if let Err(RefreshError::Khipu(error)) = &answer
                && error.is_not_found()
            {
                payments.not_found.remember(&account.name, &id);
            }
            answer
        };
        self.in_flight.coalesce(key, question).await
    }

    /// Asks, and never takes the answer to a question that was put before: for whoever knows that something has just
    /// happened.
    pub async fn refresh_now(
        self: &Arc<Self>,
        account: &Arc<Account>,
        id: &PaymentId,
    ) -> RefreshResult {
        self.refresh_detached(account, id, Pending::Counts).await
    }

    /// As [`refresh_now`](Self::refresh_now), but an answer that says "pending" changes nothing here: the caller knows more.
    pub(crate) async fn refresh_without_pending(
        self: &Arc<Self>,
        account: &Arc<Account>,
        id: &PaymentId,
    ) -> RefreshResult {
        self.refresh_detached(account, id, Pending::IsLeftOut).await
    }

    async fn refresh_detached(
        self: &Arc<Self>,
        account: &Arc<Account>,
        id: &PaymentId,
        pending: Pending,
    ) -> RefreshResult {
        let (payments, account, id) = (Arc::clone(self), Arc::clone(account), id.clone());
        detached(async move { payments.query_and_apply(&account, &id, pending).await }).await?
    }

    async fn query_and_apply(
        self: &Arc<Self>,
        account: &Arc<Account>,
        id: &PaymentId,
        pending: Pending,
    ) -> RefreshResult {
        // Read before the question is put: an answer counts only if the store still holds this when it comes.
        let held = self.held(account, id).await;
        if matches!(held, Err(RefreshError::WrongAccount)) {
            return Err(RefreshError::WrongAccount);
        }
        let asked_at = clock::now();
        let answer = Arc::new(self.query(account, id).await?);
        let applied = match held {
            Ok(held) => {
                self.apply_answer(account, id, &answer, held, asked_at, pending)
                    .await
            }
            Err(error) => Err(error),
        };
        if let Err(RefreshError::Store(_)) = &applied {
            self.go_on_uncommitted(account, id, &answer);
        }
        applied.map(|()| answer)
    }

    /// What the store holds of the payment. `WrongAccount` where another account is known to own it: a record without terms is
    /// no more than that account's notification.
    async fn held(
        &self,
        account: &Account,
        id: &PaymentId,
    ) -> Result<Option<Payment>, RefreshError> {
        let read = tokio::time::timeout(READ_TIMEOUT, self.store.payment(id)).await;
        let held = read.map_err(|_| RefreshError::Store("it keeps silent".to_owned()))??;
        match held {
            Some(payment) if payment.account != account.name => match payment.terms {
                Some(_) => Err(RefreshError::WrongAccount),
                None => Ok(None),
            },
            held => Ok(held),
        }
    }

    /// One GET. Where Khipu asks for a pause, all questions of the account are held back.
    async fn query(
        &self,
        account: &Account,
        id: &PaymentId,
    ) -> Result<PaymentResponse, RefreshError> {
        let answer = self.khipu.payment(&account.khipu_api_key, id).await;
        if let Some(UnknownWord { field, word }) =
            answer.as_ref().ok().and_then(PaymentResponse::unknown_word)
        {
            metrics::counter!("chasqui_khipu_unknown_words_total", "field" => field).increment(1);
            tracing::warn!(payment_id = %id, field, word, "khipu answered with a word that is not known here");
        }
        let error = match answer {
            Ok(answer) if answer.payment_id == *id => return Ok(answer),
            Ok(_) => KhipuError::Malformed("it speaks of another payment".into()),
            Err(error) => error,
        };
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
            let rate_limiter = &self.schedule(account).rate_limiter;
            rate_limiter.pause(pause.min(LONGEST_PAUSE)).await;
        }
        Err(RefreshError::Khipu(error))
    }

    /// Degraded mode: watchers here need not wait for the store to hear that Khipu is done with a payment; it is only not
    /// announced elsewhere. Nor is it forgotten when they have seen it and left: the merchant is to hear of it. Nothing
    /// but a final status is shown so, and only if it agrees with what was read of the payment when it began to be watched.
    fn go_on_uncommitted(&self, account: &Account, id: &PaymentId, answer: &PaymentResponse) {
        let Some(update) = answer
            .reported(clock::now())
            .and_then(Reported::final_update)
        else {
            return;
        };
        self.schedule(account).remember_uncommitted(id);
        let Some(price) = self.hub.price(id) else {
            return;
        };
        match disagreement(Some(price), answer, account) {
            Some(field) if update.version == Version::CONFIRMED => report_mismatch(id, field),
            _ => self.publish_uncommitted(id, &update),
        }
    }

    async fn apply_answer(
        self: &Arc<Self>,
        account: &Arc<Account>,
        id: &PaymentId,
        answer: &PaymentResponse,
        held: Option<Payment>,
        asked_at: Timestamp,
        pending: Pending,
    ) -> Result<(), RefreshError> {
        let mut payment = match held {
            Some(payment) if payment.terms.is_some() => payment,
            held => self.adopt(account, id, answer, held).await?,
        };
        // Until when it can be paid is Khipu's to say where the merchant did not; Khipu's answer to its creation has no date.
        if payment.expires_at.is_none() && answer.expires_at.is_some() {
            payment.expires_at = answer.expires_at;
            self.store.create(&payment).await?;
        }
        let Some(reported) = answer.reported(asked_at) else {
            return Ok(());
        };
        if reported == Reported::Pending && pending == Pending::IsLeftOut {
            return Ok(());
        }
        let Some(update) = payment.state.answered(reported, asked_at) else {
            compare(&payment, reported, asked_at);
            return Ok(());
        };
        let price = payment.terms.as_ref().map(|terms| terms.price());
        if update.version == Version::CONFIRMED
            && let Some(field) = disagreement(price, answer, account)
        {
            report_mismatch(id, field);
            return Ok(());
        }
        let now = clock::now();
        let observation = Observation {
            account: account.name.clone(),
            source: Source::Khipu,
            at: now,
            update: Some(update),
            notification: None,
            jobs: follow_up(&update, now),
        };
        let outcome = self.apply(id, observation).await?;
        if update.replaces.is_some() && outcome.after.version != update.version {
            // The store has moved on since the question was put. Which of the two words is the newer only Khipu knows.
            metrics::counter!("chasqui_answers_overtaken_total").increment(1);
            self.schedule(account).request(id);
        }
        Ok(())
    }

    /// Takes in a payment that is not known here, or of which only a notification is: made just before a crash, in a
    /// store that was lost, or at Khipu directly.
    async fn adopt(
        &self,
        account: &Arc<Account>,
        id: &PaymentId,
        answer: &PaymentResponse,
        known: Option<Payment>,
    ) -> Result<Payment, RefreshError> {
        if answer
            .receiver_id
            .is_some_and(|receiver| receiver != account.receiver_id)
        {
            tracing::error!(payment_id = %id, account = %account.name, "a payment of another receiver is not adopted; is receiver_id right?");
            return Err(RefreshError::WrongAccount);
        }
        let ours = self.notify_url(account);
        let reference = answer.reference(&ours);
        let intent = match &reference {
            Some(reference) => self
                .store
                .intent(reference)
                .await?
                .filter(|intent| intent.account == account.name),
            None => None,
        };
        let urls = match (&intent, &reference) {
            (Some(intent), _) => intent.urls.clone(),
            // Made here, but the intent is gone: what Khipu holds are our own URLs, which lead nowhere.
            (None, Some(_)) => chasqui_payment::MerchantUrls::default(),
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
            state: known.map_or(PaymentState::created(now), |known| known.state),
        };
        let outcome = self.store.create(&payment).await?;
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
            .refresh_now(account, id)
            .await
            .map_err(|error| error.to_string())?;
        match answer.reported(clock::now()) {
            Some(Reported::Confirmed { .. }) => Ok(answer.as_notification()),
            // Reversed since, perhaps: nobody is to be told that it was paid.
            _ => Err("khipu no longer says that it is paid".into()),
        }
    }

    /// When this account's payments are asked about.
    ///
    /// Accounts come from the configuration alone, and each was given a desk.
    pub(crate) fn schedule(&self, account: &Account) -> &PollSchedule {
        &self.schedules[&account.name]
    }
}

/// What an update calls for: the merchant is told of a confirmation, and what is being verified is asked about soon, watched
/// or not.
fn follow_up(update: &StatusUpdate, now: Timestamp) -> Vec<NewJob> {
    match update.version.kind() {
        StatusKind::Confirmed => vec![NewJob::delivery(now.plus(DELIVERY_GRACE))],
        StatusKind::Verifying => vec![NewJob::check(now.plus(CHECK_DELAY), JobPriority::Silent)],
        _ => Vec::new(),
    }
}

/// A notification said confirmed and Khipu's own answer does not: never lowered, but the operator must look. An answer to a
/// question that was put before the confirmation says nothing about it.
fn compare(payment: &Payment, reported: Reported, asked_at: Timestamp) {
    let PaymentState { version, at, .. } = payment.state;
    if version == Version::CONFIRMED && reported.final_update().is_none() && at < asked_at {
        metrics::counter!("chasqui_confirmation_disputed_total").increment(1);
        tracing::error!(
            payment_id = %payment.id,
            khipu_says = reported.kind().status().as_str(),
            "confirmation_disputed: the payment stands at confirmed but khipu's answer does not say so"
        );
    }
}

fn report_mismatch(id: &PaymentId, field: &'static str) {
    metrics::counter!("chasqui_mismatches_total", "source" => Source::Khipu.as_str(), "field" => field).increment(1);
    tracing::error!(payment_id = %id, field, "khipu's answer disagrees with the payment; it is not confirmed");
}

/// The first field in which Khipu's answer differs from what was agreed: amount at the currency's precision, currency, and
/// the receiver where the answer names one.
fn disagreement(
    agreed: Option<Price>,
    answer: &PaymentResponse,
    account: &Account,
) -> Option<&'static str> {
    let (Some(agreed), Some(answered)) = (agreed, answer.terms().map(|terms| terms.price())) else {
        return Some("amount");
    };
    let another_receiver = |receiver: u64| receiver != account.receiver_id;
    if agreed.currency != answered.currency {
        Some("currency")
    } else if !agreed.amount.agrees_with(answered.amount, agreed.currency) {
        Some("amount")
    } else if answer.receiver_id.is_some_and(another_receiver) {
        Some("receiver_id")
    } else {
        None
    }
}
