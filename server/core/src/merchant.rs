//! The merchant's calls: create, read and delete a payment.

use std::sync::Arc;

use chasqui_khipu::wire::{CreateRequest, CreateResponse, ReturnUrls};
use chasqui_khipu::{ForwardedHeaders, JsonObject, KhipuResponse};
use chasqui_payment::{
    Intent, MerchantUrls, Observation, Payment, PaymentId, PaymentReference, PaymentState,
    Reported, Source,
};
use futures_util::future::try_join_all;
use url::Url;

use crate::account::{Account, has_user_info};
use crate::clock;
use crate::detached::detached;
use crate::error::{PaymentsError, RefreshError};
use crate::payments::Payments;
use crate::push::StatusMessage;

impl Payments {
    /// Creates a payment at Khipu. The intent is durable before the call, so that after a crash at any point the payment can
    /// be adopted. Runs to its end although the merchant hangs up.
    pub async fn create(
        self: &Arc<Self>,
        account: &Arc<Account>,
        headers: ForwardedHeaders,
        fields: JsonObject,
        hop: bool,
    ) -> Result<CreateResponse, PaymentsError> {
        let (payments, account) = (Arc::clone(self), Arc::clone(account));
        let work = async move {
            let creating = payments.create_and_record(&account, headers, fields, hop);
            creating.await
        };
        detached(work).await?
    }

    async fn create_and_record(
        self: &Arc<Self>,
        account: &Arc<Account>,
        headers: ForwardedHeaders,
        fields: JsonObject,
        hop: bool,
    ) -> Result<CreateResponse, PaymentsError> {
        let problem = |url: &Url| self.notify_url_problem(account, url);
        let request = CreateRequest::parse(fields, problem).map_err(PaymentsError::Fields)?;
        let intent = Intent {
            reference: PaymentReference::from_random(rand::random()),
            account: account.name.clone(),
            urls: request.urls.clone(),
            created_at: clock::now(),
            payment_id: None,
        };
        self.store.save_intent(&intent).await?;

        let (terms, expires_at) = (request.terms.clone(), request.expires_at);
        let notify_url = format!("{}?ref={}", self.notify_url(account), intent.reference);
        let hop = (hop && account.return_hop).then(|| {
            let return_url = format!("{}/return/{}", self.public_url, intent.reference);
            ReturnUrls {
                cancel_url: format!("{return_url}/cancel"),
                return_url,
            }
        });
        let request = request.for_khipu(&notify_url, hop.as_ref());
        let key = &account.khipu_api_key;
        let created = self.khipu.create(key, headers, request).await;
        let created =
            created.inspect_err(|error| self.report_refused_credentials(account, error))?;

        let payment = Payment {
            id: created.payment_id.clone(),
            account: account.name.clone(),
            terms,
            urls: intent.urls,
            reference: Some(intent.reference),
            payment_url: created.payment_url.clone(),
            expires_at,
            created_at: intent.created_at,
            state: PaymentState::created(intent.created_at),
        };
        // An error would make the merchant create another payment. This one is adopted at the next visit or notification.
        if let Err(error) = self.store.create(&payment).await {
            tracing::error!(payment_id = %payment.id, %error, "a created payment could not be stored; it is adopted at its next visit or notification");
        }
        metrics::counter!("chasqui_payments_created_total", "account" => account.name.to_string())
            .increment(1);
        match &payment.terms {
            Some(terms) if terms.amount.is_settled_rounded(terms.currency) => {
                tracing::warn!(payment_id = %payment.id, currency = %terms.currency, "the amount has more decimals than its currency is settled with; khipu rounds it, and so must the shop");
            }
            Some(_) => {}
            // Khipu's answer to a query has what was agreed. A failure leaves it to the first check or visit.
            None => {
                if let Err(error) = self.refresh_now(account, &payment.id).await {
                    tracing::warn!(payment_id = %payment.id, %error, "a created payment could not be read at khipu; it is read again at its next visit");
                }
            }
        }
        Ok(created)
    }

    /// Why a delivery may not go to a merchant's URL, in the language of Khipu's errors.
    fn notify_url_problem(&self, account: &Account, url: &Url) -> Option<&'static str> {
        if has_user_info(url) {
            Some("no puede llevar usuario ni contraseña")
        } else if !account.accepts_scheme(url, self.is_local) {
            Some("debe ser una URL https: la notificación lleva datos personales del pagador")
        } else {
            None
        }
    }

    /// Khipu's current answer, with the merchant's URLs in place of ours. It is applied as an observation.
    pub async fn payment(
        self: &Arc<Self>,
        account: &Arc<Account>,
        id: &PaymentId,
    ) -> Result<JsonObject, PaymentsError> {
        self.own_payment(account, id).await?;
        let refreshed = self.refresh_now(account, id).await;
        let response = refreshed.map_err(|error| match error {
            RefreshError::Khipu(error) => PaymentsError::Khipu(error),
            error => error.into(),
        })?;
        let urls = match self.store.payment(id).await? {
            Some(payment) => payment.urls,
            None => MerchantUrls::default(),
        };
        Ok(response.as_ref().clone().with_urls(&urls))
    }

    /// The stored payments with this transaction id, the newest first. Khipu has no such query and is not called.
    pub async fn by_transaction(
        &self,
        account: &Account,
        transaction_id: &str,
    ) -> Result<Vec<StatusMessage>, PaymentsError> {
        let found = self.store.by_transaction(&account.name, transaction_id);
        let ids = found.await?;
        let payments = try_join_all(ids.iter().map(|id| self.store.payment(id))).await?;
        let now = clock::now();
        let stored = payments.iter().flatten();
        Ok(stored
            .map(|payment| StatusMessage::of(payment, now))
            .collect())
    }

    /// Deletes an unpaid payment at Khipu. Runs to its end although the merchant hangs up.
    pub async fn delete(
        self: &Arc<Self>,
        account: &Arc<Account>,
        id: &PaymentId,
    ) -> Result<KhipuResponse, PaymentsError> {
        // Read before the call: the answer counts only if the store still holds this state.
        let stored = self.own_payment(account, id).await?;
        let (payments, account, id) = (Arc::clone(self), Arc::clone(account), id.clone());
        detached(async move { payments.delete_and_record(&account, &id, stored).await }).await?
    }

    async fn delete_and_record(
        self: &Arc<Self>,
        account: &Arc<Account>,
        id: &PaymentId,
        stored: Option<Payment>,
    ) -> Result<KhipuResponse, PaymentsError> {
        let schedule = self.schedule(account);
        let deleted = self.khipu.delete(&account.khipu_api_key, id).await;
        let response = deleted.inspect_err(|error| {
            self.report_refused_credentials(account, error);
            if error.outcome_is_unknown() {
                schedule.poll_now(id);
            }
        })?;
        let now = clock::now();
        let Some(update) = stored.and_then(|it| it.state.answered(Reported::Cancelled, now)) else {
            schedule.poll_now(id);
            return Ok(response);
        };
        let cancelled = Observation {
            account: account.name.clone(),
            source: Source::Merchant,
            at: now,
            update: Some(update),
            notification: None,
            jobs: Vec::new(),
        };
        match self.apply(id, cancelled).await {
            Ok(outcome) if outcome.after.version == update.version => {}
            // The status changed during the call; only Khipu knows which is newer.
            Ok(_) => schedule.poll_now(id),
            Err(error) => {
                tracing::warn!(payment_id = %id, %error, "a deleted payment could not be stored as cancelled; khipu will be asked");
                schedule.poll_now(id);
            }
        }
        Ok(response)
    }
}
