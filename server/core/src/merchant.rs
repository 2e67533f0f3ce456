//! The merchant's calls: a payment made, read, deleted.

use std::sync::Arc;

use futures_util::future::try_join_all;

use chasqui_khipu::wire::{CreateRequest, ReturnUrls};
use chasqui_khipu::{JsonObject, KhipuResponse};
use chasqui_payment::{
    Intent, MerchantUrls, Observation, Payment, PaymentId, PaymentReference, PaymentState,
    Reported, Source,
};

use crate::account::Account;
use crate::clock;
use crate::detached::detached;
use crate::error::{PaymentsError, RefreshError};
use crate::payments::{CreatedPayment, Payments};
use crate::push::StatusMessage;

impl Payments {
    /// Makes a payment at Khipu on the merchant's behalf. What is needed to find it again is durable before Khipu is
    /// asked, so that a crash at any point leaves nothing that cannot be adopted.
    ///
    /// A task of its own: a merchant who hangs up meanwhile may come back for the payment.
    pub async fn create(
        self: &Arc<Self>,
        account: &Arc<Account>,
        fields: JsonObject,
        hop: bool,
    ) -> Result<CreatedPayment, PaymentsError> {
        let (payments, account) = (Arc::clone(self), Arc::clone(account));
        detached(async move { payments.create_and_record(&account, fields, hop).await }).await?
    }

    async fn create_and_record(
        &self,
        account: &Account,
        fields: JsonObject,
        hop: bool,
    ) -> Result<CreatedPayment, PaymentsError> {
        let request = CreateRequest::parse(fields).map_err(PaymentsError::Fields)?;
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
        let answer = self
            .khipu
            .create(
                &account.khipu_api_key,
                request.for_khipu(&notify_url, hop.as_ref()),
            )
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
            state: PaymentState::created(intent.created_at),
        };
        // Should this fail, the payment exists at Khipu and is adopted as soon as anybody asks for it or Khipu notifies:
        // the merchant must not be told that it does not exist, for it would make another.
        if let Err(error) = self.store.create(&payment).await {
            tracing::error!(payment_id = %payment.id, %error, "a payment was made but could not be recorded; it will be adopted");
        }
        metrics::counter!("chasqui_payments_created_total", "account" => account.name.to_string())
            .increment(1);
        Ok(CreatedPayment {
            payment_id: answer.payment_id,
            fields: answer.fields,
        })
    }

    /// Khipu's own answer, with the merchant's URLs in the places of ours; what it says is an observation too.
    pub async fn payment(
        self: &Arc<Self>,
        account: &Arc<Account>,
        id: &PaymentId,
    ) -> Result<JsonObject, PaymentsError> {
        self.own_payment(account, id).await?;
        // Anew: who asks because something has just happened must not be given an older answer.
        let answer = self
            .refresh_now(account, id)
            .await
            .map_err(|error| match error {
                RefreshError::Khipu(error) => PaymentsError::Khipu(error),
                error => error.into(),
            })?;
        let urls = match self.store.payment(id).await? {
            Some(payment) => payment.urls,
            None => MerchantUrls::default(),
        };
        Ok(answer.as_ref().clone().with_urls(&urls))
    }

    /// The payments to which the merchant gave this transaction id, the newest first, as they stand here. Khipu, which cannot
    /// be asked by it, is not asked.
    pub async fn by_transaction(
        &self,
        account: &Account,
        transaction_id: &str,
    ) -> Result<Vec<StatusMessage>, PaymentsError> {
        let found = self.store.by_transaction(&account.name, transaction_id);
        let ids = found.await?;
        let payments = try_join_all(ids.iter().map(|id| self.store.payment(id))).await?;
        let now = clock::now();
        let known = payments.iter().flatten();
        Ok(known
            .map(|payment| StatusMessage::of(payment, now))
            .collect())
    }

    /// Deletes an unpaid payment at Khipu. A task of its own: what Khipu has done is recorded even if the merchant hangs
    /// up meanwhile.
    pub async fn delete(
        self: &Arc<Self>,
        account: &Arc<Account>,
        id: &PaymentId,
    ) -> Result<KhipuResponse, PaymentsError> {
        // Before Khipu is asked: its answer counts only if the store still holds this.
        let held = self.own_payment(account, id).await?;
        let (payments, account, id) = (Arc::clone(self), Arc::clone(account), id.clone());
        detached(async move { payments.delete_and_record(&account, &id, held).await }).await?
    }

    async fn delete_and_record(
        self: &Arc<Self>,
        account: &Arc<Account>,
        id: &PaymentId,
        held: Option<Payment>,
    ) -> Result<KhipuResponse, PaymentsError> {
        let answer = match self.khipu.delete(&account.khipu_api_key, id).await {
            Ok(answer) => answer,
            Err(error) => {
                if error.outcome_is_unknown() {
                    self.schedule(account).poll_now(id);
                }
                return Err(error.into());
            }
        };
        let now = clock::now();
        let update = held.and_then(|held| held.state.answered(Reported::Cancelled, now));
        let Some(update) = update else {
            self.schedule(account).poll_now(id);
            return Ok(answer);
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
            // The status moved meanwhile. Khipu says which word is the newest.
            Ok(_) => self.schedule(account).poll_now(id),
            Err(error) => {
                tracing::warn!(payment_id = %id, %error, "a payment was deleted and could not be recorded as cancelled; khipu will be asked");
                self.schedule(account).poll_now(id);
            }
        }
        Ok(answer)
    }

    pub async fn banks(&self, account: &Account) -> Result<KhipuResponse, PaymentsError> {
        Ok(self.khipu.banks(&account.khipu_api_key).await?)
    }
}
