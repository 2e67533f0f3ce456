//! Khipu's notifications: verified, compared with the payment and made durable before they are answered 200.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use chasqui_khipu::KhipuError;
use chasqui_khipu::signature::{self, SignatureError};
use chasqui_khipu::wire::{self, NotificationBody};
use chasqui_payment::{
    AccountName, JobPriority, NewJob, Notification, Observation, Payment, PaymentId, Source,
    Timestamp, Verdict,
};
use chasqui_store::StoredNotification;

use crate::account::Account;
use crate::clock;
use crate::error::RefreshError;
use crate::payments::{CROSS_CHECK_DELAY, Payments};

/// The longest query of a payment's owner, where another account's notification of it came first. Khipu waits 30 s for the
/// answer to its notification.
const OWNER_TIMEOUT: Duration = Duration::from_secs(10);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AcceptedNotification {
    pub verdict: Verdict,
    /// Whether the payment's status changed; a duplicate does not change it.
    pub changed: bool,
}

#[derive(Debug, thiserror::Error)]
pub enum NotificationError {
    #[error("there is no such account")]
    UnknownAccount,
    #[error(transparent)]
    Signature(#[from] SignatureError),
    #[error("the body is not a notification: {0}")]
    Body(String),
    #[error("the payment belongs to another account")]
    WrongAccount,
    #[error("the notification cannot be stored now; send it again")]
    NotDurable,
}

impl Payments {
    /// Stores a notification: `Ok` means durable. `raw` is the body that the signature covers, unchanged.
    pub async fn accept_notification(
        self: &Arc<Self>,
        account: &AccountName,
        signature_header: Option<&str>,
        raw: Bytes,
    ) -> Result<AcceptedNotification, NotificationError> {
        let account = self
            .accounts
            .by_name(account)
            .ok_or(NotificationError::UnknownAccount)?;
        let verified = match signature::verify(signature_header, &raw, &account.khipu_secrets) {
            Ok(verified) => verified,
            // Older notifications are unsigned forms. The error names that, not the missing signature.
            Err(SignatureError::Missing) if wire::is_form_notification(&raw) => {
                return Err(NotificationError::Body(wire::FORM_NOTIFICATION.into()));
            }
            Err(error) => return Err(error.into()),
        };
        let body = NotificationBody::parse(verified.body()).map_err(NotificationError::Body)?;

        let now = clock::now();
        let id = body.payment_id.clone();
        let stored = match self.stored_for(account, &id).await {
            Ok(stored) => stored,
            Err(RefreshError::WrongAccount) => {
                report_mismatch(account, &id, "account");
                return Err(NotificationError::WrongAccount);
            }
            Err(error) => return Err(self.not_durable(account, &id, &error)),
        };
        let fresh = signature::is_within_tolerance(verified.t, now, self.notification_tolerance);
        let verdict = verdict_of(account, stored.as_ref(), &body, fresh);
        let notification = Notification {
            body: raw.clone(),
            signature: verified.header.to_owned(),
            verdict,
        };
        let observation = observation(account, stored.as_ref(), &body, notification, now);
        let outcome = match self.apply(&id, observation).await {
            Ok(outcome) => outcome,
            // Another account's notification came first. The repeat of this one asks for the owner.
            Err(error) => return Err(self.not_durable(account, &id, &error.into())),
        };
        report(account, &id, verdict);
        if verdict == Verdict::Mismatch {
            report_mismatch(
                account,
                &id,
                differing_field(account, stored.as_ref(), &body),
            );
        }
        Ok(AcceptedNotification {
            verdict,
            changed: outcome.changed(),
        })
    }

    /// Returns the stored payment. Another account's notification that came first does not prove whose the payment is: Khipu is
    /// asked, and the payment adopted.
    async fn stored_for(
        self: &Arc<Self>,
        account: &Arc<Account>,
        id: &PaymentId,
    ) -> Result<Option<Payment>, RefreshError> {
        match self.store.payment(id).await? {
            Some(payment) if payment.account != account.name => {
                if payment.terms.is_some() {
                    return Err(RefreshError::WrongAccount);
                }
                let refresh = async {
                    self.acquire_for_visit(account, id).await?;
                    self.refresh_now(account, id).await
                };
                let refreshed = tokio::time::timeout(OWNER_TIMEOUT, refresh).await;
                refreshed.map_err(|_| RefreshError::Khipu(KhipuError::TimedOut))??;
                let adopted = self.store.payment(id).await?;
                let own = adopted.filter(|payment| payment.account == account.name);
                own.map(Some).ok_or(RefreshError::WrongAccount)
            }
            stored => Ok(stored),
        }
    }

    /// The notification comes again. Watchers on this instance need not wait for it: Khipu is polled.
    fn not_durable(
        self: &Arc<Self>,
        account: &Arc<Account>,
        id: &PaymentId,
        error: &RefreshError,
    ) -> NotificationError {
        tracing::error!(payment_id = %id, %error, "a notification could not be stored and is answered 503; khipu sends it again");
        metrics::counter!("chasqui_notifications_total", "account" => account.name.to_string(), "verdict" => "not_durable")
            .increment(1);
        if self.hub.is_watched(id) {
            self.schedule(account).poll_now(id);
        }
        NotificationError::NotDurable
    }
}

fn verdict_of(
    account: &Account,
    stored: Option<&Payment>,
    body: &NotificationBody,
    fresh: bool,
) -> Verdict {
    let Some(terms) = stored.and_then(|payment| payment.terms.as_ref()) else {
        return Verdict::UnknownPayment;
    };
    match body.verdict(terms, account.receiver_id) {
        Verdict::Agrees if !fresh => Verdict::Stale,
        verdict => verdict,
    }
}

fn observation(
    account: &Account,
    stored: Option<&Payment>,
    body: &NotificationBody,
    notification: Notification,
    now: Timestamp,
) -> Observation {
    let is_final = stored.is_some_and(|payment| payment.state.is_final());
    let (update, jobs) = match notification.verdict {
        Verdict::Agrees => {
            let reported = body.reported(stored.and_then(|payment| payment.expires_at));
            let jobs = vec![
                NewJob::delivery(now),
                NewJob::check(now.plus(CROSS_CHECK_DELAY), JobPriority::CrossCheck),
            ];
            (reported.final_update(), jobs)
        }
        // Verified, but not enough to confirm: Khipu is asked at once.
        Verdict::Stale | Verdict::UnknownPayment | Verdict::Unconciliated | Verdict::Mismatch => {
            let jobs = match is_final {
                true => Vec::new(),
                false => vec![NewJob::check(now, JobPriority::Notified)],
            };
            (None, jobs)
        }
    };
    Observation {
        account: account.name.clone(),
        source: Source::Notification,
        at: now,
        update,
        notification: Some(notification),
        jobs,
    }
}

/// Whether a stored notification may be sent to the merchant. Unless it confirmed the payment itself, its terms are compared
/// with the payment's now.
pub(crate) fn may_be_delivered(
    stored: &StoredNotification,
    payment: &Payment,
    account: &Account,
) -> bool {
    if stored.verdict == Verdict::Agrees {
        return true;
    }
    let (Some(terms), Ok(body)) = (&payment.terms, NotificationBody::parse(&stored.body)) else {
        return false;
    };
    body.verdict(terms, account.receiver_id) == Verdict::Agrees
}

fn report(account: &Account, id: &PaymentId, verdict: Verdict) {
    metrics::counter!("chasqui_notifications_total", "account" => account.name.to_string(), "verdict" => verdict.as_str())
        .increment(1);
    match verdict {
        Verdict::Agrees => tracing::debug!(payment_id = %id, "a notification was stored"),
        // Reported by `report_mismatch`, with the field.
        Verdict::Mismatch => {}
        other => {
            tracing::warn!(payment_id = %id, verdict = other.as_str(), "a notification does not confirm by itself; khipu is asked")
        }
    }
}

#[expect(
    clippy::expect_used,
    reason = "a mismatch is a field of the terms that differs"
)]
fn differing_field(
    account: &Account,
    stored: Option<&Payment>,
    body: &NotificationBody,
) -> &'static str {
    let terms = stored.and_then(|payment| payment.terms.as_ref());
    let field = terms.and_then(|terms| body.disagreement(terms, account.receiver_id));
    field.expect("a field differs")
}

fn report_mismatch(account: &Account, id: &PaymentId, field: &'static str) {
    metrics::counter!("chasqui_mismatches_total", "source" => Source::Notification.as_str(), "field" => field)
        .increment(1);
    tracing::error!(
        payment_id = %id,
        account = %account.name,
        field,
        "a signed notification differs from the payment; it is not applied, and khipu is asked"
    );
}
