//! Khipu's side: a notification is verified, compared, made durable, and only then answered 200.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::account::Account;
use crate::clock;
use crate::error::RefreshError;
use crate::payments::{CROSS_CHECK_DELAY, Payments};
use chasqui_khipu::signature::{self, SignatureError};
use chasqui_khipu::wire::{self, NotificationBody};
use chasqui_payment::{
    AccountName, JobPriority, NewJob, Notification, Observation, Payment, PaymentId, Source,
    Timestamp, Verdict,
};

/// How long Khipu may take to say whose a payment is, of which another account's notification came first. Khipu waits 30 s
/// for an answer to its notification.
const OWNER_TIMEOUT: Duration = Duration::from_secs(10);

/// What was kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AcceptedNotification {
    pub verdict: Verdict,
    /// Whether it changed the payment's status; a duplicate does not.
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
    #[error("it is about a payment of another account")]
    WrongAccount,
    #[error("it cannot be made durable now; send it again")]
    NotDurable,
}

impl Payments {
    /// `Ok` means durable. `raw` is what the signature covers: not a byte of it may have been touched.
    pub async fn accept_notification(
        self: &Arc<Self>,
        account: &AccountName,
        signature_header: Option<&str>,
        raw: Bytes,
    ) -> Result<AcceptedNotification, NotificationError> {
        let account = self
            .accounts
            .named(account)
            .ok_or(NotificationError::UnknownAccount)?;
        let verified = match signature::verify(signature_header, &raw, &account.khipu_secrets) {
            Ok(verified) => verified,
            // A notification of the older kind is a form without a signature: say so, instead of asking for one.
            Err(SignatureError::Missing) if wire::is_form_notification(&raw) => {
                return Err(NotificationError::Body(wire::FORM_NOTIFICATION.into()));
            }
            Err(error) => return Err(error.into()),
        };
        let body = NotificationBody::parse(verified.body()).map_err(NotificationError::Body)?;

        let now = clock::now();
        let id = body.payment_id.clone();
        let known = match self.known_to(account, &id).await {
            Ok(known) => known,
            Err(RefreshError::WrongAccount) => {
                report_mismatch(account, &id, "account");
                return Err(NotificationError::WrongAccount);
            }
            Err(error) => return Err(self.query_because_of(account, &id, &error)),
        };
        let fresh = signature::is_within_tolerance(verified.t, now, self.notification_tolerance);
        let verdict = judge(account, known.as_ref(), &body, fresh);
        let signature = signature_header.unwrap_or_default().to_owned();
        let notification = Notification {
            body: raw.clone(),
            signature,
            verdict,
        };
        let observation = observation(account, known.as_ref(), &body, notification, now);
        let outcome = match self.apply(&id, observation).await {
            Ok(outcome) => outcome,
            // Another account's notification came between: when this one comes again, Khipu is asked whose it is.
            Err(error) => return Err(self.query_because_of(account, &id, &error.into())),
        };
        report(account, &id, verdict);
        if verdict == Verdict::Mismatch {
            let terms = known.as_ref().and_then(|payment| payment.terms.as_ref());
            let field = terms.and_then(|terms| body.disagreement(terms, account.receiver_id));
            report_mismatch(account, &id, field.unwrap_or("payment"));
        }
        Ok(AcceptedNotification {
            verdict,
            changed: outcome.changed(),
        })
    }

    /// The payment as this account knows it. Where another account's notification about it came first, which proves
    /// nothing, Khipu is asked whose it is, and the payment adopted.
    async fn known_to(
        self: &Arc<Self>,
        account: &Arc<Account>,
        id: &PaymentId,
    ) -> Result<Option<Payment>, RefreshError> {
        let known = self.store.payment(id).await?;
        match known {
            Some(payment) if payment.account != account.name => {
                if payment.terms.is_some() {
                    return Err(RefreshError::WrongAccount);
                }
                let refresh = async {
                    self.acquire_for_visit(account, id).await?;
                    self.refresh_now(account, id).await
                };
                let asked = tokio::time::timeout(OWNER_TIMEOUT, refresh).await;
                asked.map_err(|_| RefreshError::Store("khipu does not answer".to_owned()))??;
                let adopted = self.store.payment(id).await?;
                match adopted.filter(|payment| payment.account == account.name) {
                    Some(payment) => Ok(Some(payment)),
                    None => Err(RefreshError::WrongAccount),
                }
            }
            known => Ok(known),
        }
    }

    /// The store is away. The notification will come again, but it has told us whom to ask about: watchers here need
    /// not wait for it.
    fn query_because_of(
        self: &Arc<Self>,
        account: &Arc<Account>,
        id: &PaymentId,
        error: &RefreshError,
    ) -> NotificationError {
        tracing::error!(payment_id = %id, %error, "a notification is answered 503 and comes again: it could not be kept");
        metrics::counter!("chasqui_notifications_total", "account" => account.name.to_string(), "verdict" => "not_durable")
            .increment(1);
        if self.hub.is_watched(id) {
            self.schedule(account).poll_now(id);
        }
        NotificationError::NotDurable
    }
}

fn judge(
    account: &Account,
    known: Option<&Payment>,
    body: &NotificationBody,
    fresh: bool,
) -> Verdict {
    let Some(payment) = known else {
        return Verdict::UnknownPayment;
    };
    let Some(terms) = &payment.terms else {
        return Verdict::UnknownPayment;
    };
    match body.verdict(terms, account.receiver_id) {
        Verdict::Agrees if !fresh => Verdict::Stale,
        verdict => verdict,
    }
}

fn observation(
    account: &Account,
    known: Option<&Payment>,
    body: &NotificationBody,
    notification: Notification,
    now: Timestamp,
) -> Observation {
    let is_final = known.is_some_and(|payment| payment.state.is_final());
    let (update, jobs) = match notification.verdict {
        Verdict::Agrees => {
            let reported = body.reported(known.and_then(|payment| payment.expires_at));
            let jobs = vec![
                NewJob::delivery(now),
                NewJob::check(now.plus(CROSS_CHECK_DELAY), JobPriority::CrossCheck),
            ];
            (reported.final_update(), jobs)
        }
        // It is verified and yet not believed: Khipu's own answer decides, and at once.
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

fn report(account: &Account, id: &PaymentId, verdict: Verdict) {
    metrics::counter!("chasqui_notifications_total", "account" => account.name.to_string(), "verdict" => verdict.as_str())
        .increment(1);
    match verdict {
        Verdict::Agrees => tracing::debug!(payment_id = %id, "notified"),
        // Reported beside it, with the field.
        Verdict::Mismatch => {}
        other => {
            tracing::warn!(payment_id = %id, verdict = other.as_str(), "a notification is kept, and khipu asked")
        }
    }
}

fn report_mismatch(account: &Account, id: &PaymentId, field: &'static str) {
    metrics::counter!("chasqui_mismatches_total", "source" => Source::Notification.as_str(), "field" => field)
        .increment(1);
    tracing::error!(
        payment_id = %id,
        account = %account.name,
        field,
        "a signed notification disagrees with the payment; it is not believed, and khipu is asked"
    );
}
