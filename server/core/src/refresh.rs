//! Asks Khipu about a payment and applies the response.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use chasqui_khipu::KhipuError;
use chasqui_khipu::wire::{PaymentResponse, UnknownValue};
use chasqui_payment::{
    JobPriority, MerchantUrls, NewJob, Observation, Payment, PaymentId, PaymentState, Price,
    Reported, Source, StatusKind, Timestamp, Version,
};

use crate::account::Account;
use crate::clock;
use crate::detached::detached;
use crate::error::RefreshError;
use crate::in_flight::RefreshResult;
use crate::notifications::may_be_delivered;
use crate::payments::{CHECK_DELAY, DELIVERY_GRACE, Payments};
use crate::store_call::within;

/// How long the store may take to be read before the query. Then Khipu is asked all the same, so that watchers see its
/// answers although the store is unavailable.
const READ_TIMEOUT: Duration = Duration::from_secs(1);

/// The effect of a response that says "pending".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PendingResponse {
    Applied,
    Ignored,
}

impl Payments {
    /// Asks Khipu about a payment, and adopts one that is not stored. Callers that come while the query is in flight share it.
    pub(crate) async fn refresh(
        self: &Arc<Self>,
        account: &Arc<Account>,
        id: &PaymentId,
    ) -> RefreshResult {
        let key = (account.name.clone(), id.clone());
        let (payments, account, id) = (Arc::clone(self), Arc::clone(account), id.clone());
        let refresh = async move { payments.refresh_now(&account, &id).await };
        self.in_flight.coalesce(key, refresh).await
    }

    /// Asks Khipu about a payment that is not stored, at the account's pace. A "not found" is remembered for a while.
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
        let refresh = async move {
            payments.acquire_for_visit(&account, &id).await?;
            let refreshed = payments.refresh_now(&account, &id).await;
            if let Err(RefreshError::Khipu(error)) = &refreshed
                && error.is_not_found()
            {
                payments.not_found.insert(&account.name, &id);
            }
            refreshed
        };
        self.in_flight.coalesce(key, refresh).await
    }

    /// As [`refresh`](Self::refresh), but never shares a query in flight, which may precede what the caller knows of.
    pub(crate) async fn refresh_now(
        self: &Arc<Self>,
        account: &Arc<Account>,
        id: &PaymentId,
    ) -> RefreshResult {
        self.refresh_detached(account, id, PendingResponse::Applied)
            .await
    }

    /// As [`refresh_now`](Self::refresh_now), but `pending` decides whether a response that says "pending" changes anything.
    pub(crate) async fn refresh_detached(
        self: &Arc<Self>,
        account: &Arc<Account>,
        id: &PaymentId,
        pending: PendingResponse,
    ) -> RefreshResult {
        let (payments, account, id) = (Arc::clone(self), Arc::clone(account), id.clone());
        detached(async move { payments.ask_and_apply(&account, &id, pending).await }).await?
    }

    async fn ask_and_apply(
        self: &Arc<Self>,
        account: &Arc<Account>,
        id: &PaymentId,
        pending: PendingResponse,
    ) -> RefreshResult {
        // Read before the query: the response counts only if the store still holds this when it comes.
        let stored = self.read_stored(account, id).await;
        if matches!(stored, Err(RefreshError::WrongAccount)) {
            return Err(RefreshError::WrongAccount);
        }
        let asked_at = clock::now();
        let response = Arc::new(self.ask(account, id).await?);
        let applied = match stored {
            Ok(stored) => {
                self.apply_response(account, id, &response, stored, asked_at, pending)
                    .await
            }
            Err(error) => Err(error),
        };
        if let Err(RefreshError::Store(_)) = &applied {
            self.handle_commit_failure(account, id, &response);
        }
        applied.map(|()| response)
    }

    /// The stored payment. `WrongAccount` where another account is known to own it, which a record without terms does not
    /// prove.
    async fn read_stored(
        &self,
        account: &Account,
        id: &PaymentId,
    ) -> Result<Option<Payment>, RefreshError> {
        match within(READ_TIMEOUT, self.store.payment(id)).await? {
            Some(payment) if payment.account != account.name => match payment.terms {
                Some(_) => Err(RefreshError::WrongAccount),
                None => Ok(None),
            },
            stored => Ok(stored),
        }
    }

    /// Sends one GET.
    async fn ask(
        &self,
        account: &Account,
        id: &PaymentId,
    ) -> Result<PaymentResponse, RefreshError> {
        let response = self.khipu.payment(&account.khipu_api_key, id).await;
        if let Ok(response) = &response
            && let Some(UnknownValue { field, value }) = response.unknown_value()
        {
            metrics::counter!("chasqui_khipu_unknown_values_total", "field" => field).increment(1);
            tracing::warn!(payment_id = %id, field, value, "khipu's answer has an unknown value");
        }
        let error = match response {
            Ok(response) if response.payment_id == *id => return Ok(response),
            Ok(_) => KhipuError::Malformed("the answer is about another payment".into()),
            Err(error) => error,
        };
        self.after_failure(account, &error).await;
        Err(RefreshError::Khipu(error))
    }

    /// Degraded mode: a final status is shown to this instance's watchers although it could not be committed, if it agrees
    /// with the price that was read when the watch began. The payment is polled until a result is committed, watched or not.
    fn handle_commit_failure(&self, account: &Account, id: &PaymentId, response: &PaymentResponse) {
        let reported = response.reported(clock::now());
        let Some(update) = reported.and_then(Reported::final_update) else {
            return;
        };
        self.schedule(account).remember_uncommitted(id);
        let Some(price) = self.hub.price(id) else {
            return;
        };
        match mismatch(Some(price), response, account) {
            Some(field) if update.version == Version::CONFIRMED => report_mismatch(id, field),
            _ => self.publish_uncommitted(id, &update),
        }
    }

    async fn apply_response(
        self: &Arc<Self>,
        account: &Arc<Account>,
        id: &PaymentId,
        response: &PaymentResponse,
        stored: Option<Payment>,
        asked_at: Timestamp,
        pending: PendingResponse,
    ) -> Result<(), RefreshError> {
        let mut payment = match stored {
            Some(payment) if payment.terms.is_some() => payment,
            stored => self.adopt(account, id, response, stored).await?,
        };
        // Khipu sets an expiry where the merchant gave none; its response to the creation does not contain it.
        if payment.expires_at.is_none() && response.expires_at.is_some() {
            payment.expires_at = response.expires_at;
            self.store.create(&payment).await?;
        }
        let Some(reported) = response.reported(asked_at) else {
            return Ok(());
        };
        if reported == Reported::Pending && pending == PendingResponse::Ignored {
            return Ok(());
        }
        let Some(update) = payment.state.answered(reported, asked_at) else {
            report_dispute(&payment, reported, asked_at);
            return Ok(());
        };
        let price = payment.terms.as_ref().map(|terms| terms.price());
        if update.version == Version::CONFIRMED
            && let Some(field) = mismatch(price, response, account)
        {
            report_mismatch(id, field);
            return Ok(());
        }
        let now = clock::now();
        let jobs = match update.version.kind() {
            StatusKind::Confirmed => {
                let due_at = self.delivery_due_at(&payment, account, now).await;
                vec![NewJob::delivery(due_at)]
            }
            StatusKind::Verifying => {
                let due_at = now.plus(CHECK_DELAY);
                vec![NewJob::check(due_at, JobPriority::Silent)]
            }
            _ => Vec::new(),
        };
        let observation = Observation {
            account: account.name.clone(),
            source: Source::Khipu,
            at: now,
            update: Some(update),
            notification: None,
            jobs,
        };
        let outcome = self.apply(id, observation).await?;
        if update.replaces.is_some() && outcome.after.version != update.version {
            // The status changed during the query; only Khipu knows which is newer.
            metrics::counter!("chasqui_answers_overtaken_total").increment(1);
            self.schedule(account).request(id);
        }
        Ok(())
    }

    /// A confirmation waits for Khipu's own notification, unless that is stored already: it may come before the payment is
    /// known.
    async fn delivery_due_at(
        &self,
        payment: &Payment,
        account: &Account,
        now: Timestamp,
    ) -> Timestamp {
        match within(READ_TIMEOUT, self.store.notification(&payment.id)).await {
            Ok(Some(stored)) if may_be_delivered(&stored, payment, account) => now,
            // A store that is not available is reported where the confirmation is committed.
            Ok(_) | Err(_) => now.plus(DELIVERY_GRACE),
        }
    }

    /// Stores a payment that is not stored, or only by a notification: created just before a crash, in a store that was lost,
    /// or directly at Khipu.
    async fn adopt(
        &self,
        account: &Arc<Account>,
        id: &PaymentId,
        response: &PaymentResponse,
        stored: Option<Payment>,
    ) -> Result<Payment, RefreshError> {
        if is_of_another_receiver(response, account) {
            tracing::error!(payment_id = %id, account = %account.name, "a payment of another receiver was not adopted; check the account's receiver_id");
            return Err(RefreshError::WrongAccount);
        }
        let notify_url = self.notify_url(account);
        let reference = response.reference(&notify_url);
        let intent = match &reference {
            Some(reference) => self.store.intent(reference).await?,
            None => None,
        };
        let intent = intent.filter(|intent| intent.account == account.name);
        let urls = match (&intent, &reference) {
            (Some(intent), _) => intent.urls.clone(),
            // Created here, but the intent is lost, and the URLs at Khipu are ours.
            (None, Some(_)) => MerchantUrls::default(),
            (None, None) => {
                let mut urls = response.urls();
                urls.notify_url = urls.notify_url.filter(|url| !url.starts_with(&notify_url));
                urls
            }
        };
        let now = clock::now();
        let payment = Payment {
            id: id.clone(),
            account: account.name.clone(),
            terms: response.terms(),
            urls,
            reference: intent.map(|intent| intent.reference),
            payment_url: response.payment_url.clone(),
            expires_at: response.expires_at,
            created_at: now,
            state: stored.map_or(PaymentState::created(now), |stored| stored.state),
        };
        let outcome = self.store.create(&payment).await?;
        tracing::info!(payment_id = %id, "a payment was adopted from khipu");
        metrics::counter!("chasqui_payments_adopted_total").increment(1);
        Ok(Payment {
            state: outcome.after,
            ..payment
        })
    }

    /// A notification of a confirmed payment, built from Khipu's answer to a query.
    pub async fn rebuild_notification(
        self: &Arc<Self>,
        account: &Arc<Account>,
        id: &PaymentId,
    ) -> Result<Bytes, String> {
        let refreshed = self.refresh_now(account, id).await;
        let response = refreshed.map_err(|error| error.to_string())?;
        match response.reported(clock::now()) {
            Some(Reported::Confirmed { .. }) => Ok(response.as_notification()),
            // Reversed since, perhaps: a notification would mean "paid".
            _ => Err("khipu does not report the payment as confirmed".into()),
        }
    }
}

/// A response to a query after the confirmation does not confirm. The status is not lowered; the operator must look.
fn report_dispute(payment: &Payment, reported: Reported, asked_at: Timestamp) {
    let PaymentState { version, at, .. } = payment.state;
    if version == Version::CONFIRMED && reported.final_update().is_none() && at < asked_at {
        metrics::counter!("chasqui_confirmation_disputed_total").increment(1);
        tracing::error!(
            payment_id = %payment.id,
            khipu_status = reported.kind().status().as_str(),
            "confirmation_disputed: the payment is confirmed, but not by khipu's answer; look it up at khipu"
        );
    }
}

fn report_mismatch(id: &PaymentId, field: &'static str) {
    metrics::counter!("chasqui_mismatches_total", "source" => Source::Khipu.as_str(), "field" => field).increment(1);
    tracing::error!(payment_id = %id, field, "khipu's answer differs from the payment; it is not confirmed");
}

/// The first field in which Khipu's answer differs from the agreed price or the account.
fn mismatch(
    agreed: Option<Price>,
    response: &PaymentResponse,
    account: &Account,
) -> Option<&'static str> {
    let (Some(agreed), Some(terms)) = (agreed, response.terms()) else {
        return Some("amount");
    };
    let answered = terms.price();
    if agreed.currency != answered.currency {
        Some("currency")
    } else if !agreed.amount.agrees_with(answered.amount, agreed.currency) {
        Some("amount")
    } else if is_of_another_receiver(response, account) {
        Some("receiver_id")
    } else {
        None
    }
}

fn is_of_another_receiver(response: &PaymentResponse, account: &Account) -> bool {
    let receiver_id = response.receiver_id;
    receiver_id.is_some_and(|receiver_id| receiver_id != account.receiver_id)
}
