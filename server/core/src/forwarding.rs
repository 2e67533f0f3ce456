//! A merchant's calls that go on to Khipu as they came.

use std::sync::Arc;
use std::time::Duration;

use chasqui_khipu::{KhipuCall, KhipuError, KhipuResponse};
use chasqui_payment::PaymentId;
use reqwest::Method;
use tokio::time::{Instant, timeout};

use crate::account::Account;
use crate::detached::detached;
use crate::error::PaymentsError;
use crate::payments::Payments;
use crate::rate_limiter::{CallClass, QueueFull};

/// How long the answer to a call waits for the query that follows it.
pub(crate) const REFRESH_TIMEOUT: Duration = Duration::from_secs(2);

/// The longest pause that Khipu's `Retry-After` can impose.
const LONGEST_KHIPU_PAUSE: Duration = Duration::from_secs(60);

/// Between two log lines about the same account's refused API key.
const CREDENTIALS_LOG_INTERVAL: Duration = Duration::from_secs(60);

impl Payments {
    /// Passes a call on in the account's name and at its pace. `about`: the payment that it may change, which must not be
    /// another account's; Khipu is asked about it afterwards. Runs to its end although the merchant hangs up.
    pub async fn forward(
        self: &Arc<Self>,
        account: &Arc<Account>,
        call: KhipuCall,
        about: Option<PaymentId>,
    ) -> Result<KhipuResponse, PaymentsError> {
        if let Some(id) = &about {
            self.own_payment(account, id).await?;
        }
        let (payments, account) = (Arc::clone(self), Arc::clone(account));
        let work = async move {
            let is_read = call.method == Method::GET;
            let response = payments.call_at_pace(&account, call).await;
            if let (Some(id), Ok(_), false) = (&about, &response, is_read) {
                // So that the merchant's next read shows what this call did. A slow query goes on by itself.
                let refreshed = timeout(REFRESH_TIMEOUT, payments.refresh_now(&account, id)).await;
                if !matches!(refreshed, Ok(Ok(_))) {
                    payments.schedule(&account).poll_now(id);
                }
            }
            if let (Some(id), Err(PaymentsError::Khipu(error))) = (&about, &response)
                && error.outcome_is_unknown()
            {
                payments.schedule(&account).poll_now(id);
            }
            response
        };
        detached(work).await?
    }

    pub(crate) async fn call_at_pace(
        &self,
        account: &Account,
        call: KhipuCall,
    ) -> Result<KhipuResponse, PaymentsError> {
        let rate_limiter = &self.schedule(account).rate_limiter;
        let slot = rate_limiter.try_acquire(CallClass::Visit).await;
        slot.map_err(|QueueFull { retry_after }| PaymentsError::Busy { retry_after })?
            .spend();
        let response = self.khipu.call(&account.khipu_api_key, call).await;
        if let Err(error) = &response {
            self.after_failure(account, error).await;
        }
        Ok(response?)
    }

    /// What a failed call means for the account's other calls. A pause that Khipu asks for holds all of them back.
    pub(crate) async fn after_failure(&self, account: &Account, error: &KhipuError) {
        self.report_refused_credentials(account, error);
        if let Some(pause) = error.requested_pause() {
            let rate_limiter = &self.schedule(account).rate_limiter;
            rate_limiter.pause(pause.min(LONGEST_KHIPU_PAUSE)).await;
        }
    }

    /// Logs a refused API key, which only the operator can mend, but not for every call.
    pub(crate) fn report_refused_credentials(&self, account: &Account, error: &KhipuError) {
        if !matches!(error, KhipuError::CredentialsRefused { .. }) {
            return;
        }
        let now = Instant::now();
        let mut reported = self
            .credentials_reported
            .entry(account.name.clone())
            .or_insert(None);
        if reported.is_none_or(|at| now.duration_since(at) >= CREDENTIALS_LOG_INTERVAL) {
            *reported = Some(now);
            tracing::error!(account = %account.name, %error, "khipu refuses the account's API key; correct khipu_api_key");
        }
    }
}
