//! Sends a payment's changes of status to its account's events_url, in the order in which they happened.
//!
//! An attempt sends one change. It is sent until the merchant accepts it, and later changes of the payment wait behind it.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use chasqui_payment::{AccountName, JobKind, Payment, PaymentState};
use chasqui_store::{LeasedJob, PaymentReader, StatusEvents, StoreError};
use tokio_util::sync::CancellationToken;

use super::attempt::Attempt;
use super::attempt_outcome::AttemptOutcome;
use super::delivery::{DeliveryLimits, DeliverySetupError};
use super::merchant_client::MerchantClient;
use super::webhook_request::WebhookRequest;
use super::worker::{JobEnd, JobHandler, STORE_TIMEOUT};
use crate::account::Accounts;
use crate::clock;
use crate::store_call::within;

#[derive(Debug)]
pub struct EventHandler {
    payments: Arc<dyn PaymentReader>,
    events: Arc<dyn StatusEvents>,
    /// Of the accounts that have an events_url. Apart from those of deliveries, which a slow events_url must not hold up.
    merchants: HashMap<AccountName, MerchantClient>,
    attempt_timeout: Duration,
}

impl EventHandler {
    /// `None`: no account has an events_url.
    pub fn new(
        payments: Arc<dyn PaymentReader>,
        events: Arc<dyn StatusEvents>,
        accounts: &Accounts,
        limits: &DeliveryLimits,
    ) -> Result<Option<Self>, DeliverySetupError> {
        let (in_flight, attempt_timeout) = (limits.in_flight_per_account, limits.attempt_timeout);
        let merchants: HashMap<_, _> = accounts
            .iter()
            .filter(|account| account.events_url.is_some())
            .map(|account| {
                let merchant = MerchantClient::new(account, in_flight, attempt_timeout)?;
                Ok((account.name.clone(), merchant))
            })
            .collect::<reqwest::Result<_>>()?;
        Ok((!merchants.is_empty()).then_some(Self {
            payments,
            events,
            merchants,
            attempt_timeout,
        }))
    }

    async fn attempt(
        &self,
        payment: &Payment,
        merchant: &MerchantClient,
        url: &str,
    ) -> Result<AttemptOutcome, StoreError> {
        let event = within(STORE_TIMEOUT, self.events.next_event(&payment.id)).await?;
        let Some(changed_to) = event else {
            return Ok(AttemptOutcome::Unneeded("every change was sent"));
        };
        let now = clock::now();
        let payment = as_of(payment, changed_to);
        let request = WebhookRequest::event(&payment, &merchant.account, now);
        Ok(merchant.post(url, request, now).await)
    }
}

/// The payment in the state that a change led to. Only the newest change says where the payer can resume.
fn as_of(payment: &Payment, state: PaymentState) -> Payment {
    let is_newest = payment.state.version == state.version;
    let payment_url = payment.payment_url.clone().filter(|_| is_newest);
    Payment {
        state,
        payment_url,
        ..payment.clone()
    }
}

impl JobHandler for EventHandler {
    const KIND: JobKind = JobKind::Events;

    fn longest_run(&self) -> Duration {
        // The payment and its change are read.
        self.attempt_timeout + 2 * STORE_TIMEOUT
    }

    async fn run(
        &self,
        job: &mut LeasedJob,
        stop: &CancellationToken,
    ) -> Result<JobEnd, StoreError> {
        let Some(payment) = within(STORE_TIMEOUT, self.payments.payment(&job.payment_id)).await?
        else {
            let outcome = AttemptOutcome::Unsendable("the payment is not in the store".to_owned());
            return Ok(Attempt::begin(Self::KIND, "", None).end(job, &outcome));
        };
        let account = payment.account.as_str();
        let merchant = self.merchants.get(&payment.account);
        let url = merchant.and_then(|merchant| merchant.account.events_url.as_deref());
        let (Some(merchant), Some(url)) = (merchant, url) else {
            let outcome = AttemptOutcome::Unneeded("the account has no events_url any more");
            return Ok(Attempt::begin(Self::KIND, account, None).end(job, &outcome));
        };
        let Ok(_permit) = merchant.in_flight.try_acquire() else {
            return Ok(JobEnd::put_back(merchant.put_back_until()));
        };
        let attempt = Attempt::begin(Self::KIND, account, Some(url));
        let posted = self.attempt(&payment, merchant, url);
        let outcome = match stop.run_until_cancelled(posted).await {
            Some(outcome) => outcome?,
            None => AttemptOutcome::Interrupted,
        };
        Ok(attempt.end(job, &outcome))
    }
}
