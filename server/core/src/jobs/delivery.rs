//! A delivery: reads the content, builds the request, posts it, and decides when to try again.
//!
//! Sends only what was verified or what Khipu answered, and only of a confirmed payment.

use std::collections::HashMap;
use std::fmt::{self, Debug, Formatter};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use chasqui_payment::{AccountName, JobKind, Payment, PaymentId, Status};
use chasqui_store::{LeasedJob, PaymentReader, StoreError};
use futures_util::future::BoxFuture;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::attempt::Attempt;
use super::attempt_outcome::AttemptOutcome;
use super::merchant_client::MerchantClient;
use super::webhook_request::{WebhookRequest, WebhookRequestBody};
use super::worker::{JobEnd, JobHandler, STORE_TIMEOUT, WorkerLimits};
use crate::account::{Account, Accounts};
use crate::clock;
use crate::notifications::may_be_delivered;
use crate::store_call::within;

/// Asks Khipu about a confirmed payment and returns the body of a notification 3.0, for when no notification agrees with the
/// payment. The error is a short text for people, without payer data.
pub type BuildNotification =
    Arc<dyn Fn(PaymentId, Arc<Account>) -> BoxFuture<'static, Result<Bytes, String>> + Send + Sync>;

#[derive(Debug, Clone)]
pub struct DeliveryLimits {
    /// The most attempts of one account at once, so that a slow merchant does not take all. More deliveries are put back.
    pub(crate) in_flight_per_account: usize,
    /// One attempt, from resolving the name to the end of the response.
    pub(crate) attempt_timeout: Duration,
    /// One call of [`BuildNotification`].
    pub(crate) build_timeout: Duration,
}

impl Default for DeliveryLimits {
    fn default() -> Self {
        Self {
            in_flight_per_account: 32,
            attempt_timeout: Duration::from_secs(15),
            build_timeout: Duration::from_secs(15),
        }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum DeliverySetupError {
    #[error("cannot set up the HTTP client for deliveries: {0}")]
    Client(#[from] reqwest::Error),
    #[error("deliveries in flight per account must be at least 1")]
    ZeroInFlight,
}

pub struct DeliveryHandler {
    payments: Arc<dyn PaymentReader>,
    merchants: HashMap<AccountName, MerchantClient>,
    build_notification: BuildNotification,
    limits: DeliveryLimits,
}

impl DeliveryHandler {
    pub const fn worker_limits() -> WorkerLimits {
        WorkerLimits {
            in_flight: 256,
            batch: 256,
            lease: Duration::from_secs(60),
            drain: Duration::from_secs(5),
        }
    }

    pub fn new(
        payments: Arc<dyn PaymentReader>,
        accounts: &Accounts,
        build_notification: BuildNotification,
        limits: DeliveryLimits,
    ) -> Result<Self, DeliverySetupError> {
        let (in_flight, attempt_timeout) = (limits.in_flight_per_account, limits.attempt_timeout);
        if in_flight == 0 {
            return Err(DeliverySetupError::ZeroInFlight);
        }
        let merchants = accounts
            .iter()
            .map(|account| {
                let merchant = MerchantClient::new(account, in_flight, attempt_timeout)?;
                Ok((account.name.clone(), merchant))
            })
            .collect::<reqwest::Result<_>>()?;
        Ok(Self {
            payments,
            merchants,
            build_notification,
            limits,
        })
    }

    async fn attempt(
        &self,
        payment: &Payment,
        merchant: &MerchantClient,
        url: Option<&str>,
    ) -> Result<AttemptOutcome, StoreError> {
        // A notification means "paid", and a reversed payment is not.
        match payment.state.status() {
            Status::Confirmed => {}
            Status::Reversed => {
                let why = "not sent: the payment was reversed";
                return Ok(AttemptOutcome::Unneeded(why));
            }
            other => {
                let cause = format!("the payment is {}", other.as_str());
                return Ok(AttemptOutcome::Unsendable(cause));
            }
        }
        let Some(url) = url else {
            return Ok(AttemptOutcome::Unneeded(
                "no notify_url: neither the payment nor its account has one",
            ));
        };
        let account = &merchant.account;
        let stored = within(STORE_TIMEOUT, self.payments.notification(&payment.id)).await?;
        let body = match stored.filter(|stored| may_be_delivered(stored, payment, account)) {
            Some(stored) => WebhookRequestBody::Notification(stored),
            None => match self.build_body(payment, account).await {
                Ok(body) => WebhookRequestBody::Built(body),
                Err(cause) => {
                    let confirmed_at = payment.state.at;
                    return Ok(AttemptOutcome::ContentUnavailable {
                        confirmed_at,
                        cause,
                    });
                }
            },
        };
        let now = clock::now();
        Ok(match WebhookRequest::new(&payment.id, body, account, now) {
            Ok(request) => merchant.post(url, request, now).await,
            Err(error) => AttemptOutcome::NotSent(error.to_string()),
        })
    }

    async fn build_body(&self, payment: &Payment, account: &Arc<Account>) -> Result<Bytes, String> {
        let built = (self.build_notification)(payment.id.clone(), Arc::clone(account));
        match timeout(self.limits.build_timeout, built).await {
            Ok(Ok(body)) => Ok(body),
            Ok(Err(cause)) => Err(format!("khipu was asked for the content: {cause}")),
            Err(_) => Err("khipu was asked for the content and did not answer in time".into()),
        }
    }
}

impl JobHandler for DeliveryHandler {
    const KIND: JobKind = JobKind::Delivery;

    fn longest_run(&self) -> Duration {
        // The payment and its notification are read.
        self.limits.build_timeout + self.limits.attempt_timeout + 2 * STORE_TIMEOUT
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
        let Some(merchant) = self.merchants.get(&payment.account) else {
            let outcome = AttemptOutcome::NotSent(format!("account {account} is not configured"));
            return Ok(Attempt::begin(Self::KIND, account, None).end(job, &outcome));
        };
        let Ok(_permit) = merchant.in_flight.try_acquire() else {
            let due_at = merchant.put_back_until();
            tracing::debug!(payment_id = %job.payment_id, account, %due_at, "a delivery was put back: its account has too many in flight");
            metrics::counter!("chasqui_deliveries_put_back_total", "account" => account.to_owned())
                .increment(1);
            return Ok(JobEnd::put_back(due_at));
        };
        let own_url = payment.urls.notify_url.as_deref();
        let url = own_url.or(merchant.account.notify_url.as_deref());
        let attempt = Attempt::begin(Self::KIND, account, url);
        let posted = self.attempt(&payment, merchant, url);
        let outcome = match stop.run_until_cancelled(posted).await {
            Some(outcome) => outcome?,
            None => AttemptOutcome::Interrupted,
        };
        Ok(attempt.end(job, &outcome))
    }
}

impl Debug for DeliveryHandler {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeliveryHandler")
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}
