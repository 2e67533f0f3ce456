//! Khipu's side: a notification is verified, compared, made durable, and only then answered 200.

use std::sync::Arc;

use bytes::Bytes;

use super::{CROSS_CHECK_DELAY, Gateway};
use crate::account::Account;
use crate::clock;
use crate::khipu::signature::{self, SignatureError};
use crate::khipu::wire::{self, NotificationBody};
use crate::ledger::LedgerError;
use crate::payment::{
    AccountName, Errand, Notification, Observation, Payment, PaymentId, Priority, Source,
    Timestamp, Verdict,
};

/// What was kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Received {
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
    #[error("it cannot be made durable now; send it again")]
    NotDurable,
}

impl Gateway {
    /// `Ok` means durable. `raw` is what the signature covers: not a byte of it may have been touched.
    pub async fn receive(
        self: &Arc<Self>,
        account: &AccountName,
        signature_header: Option<&str>,
        raw: Bytes,
    ) -> Result<Received, NotificationError> {
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
        let known = match self.ledger.payment(&id).await {
            Ok(known) => known,
            Err(error) => return Err(self.take_as_hint(account, &id, &error)),
        };
        let fresh =
            signature::is_within_tolerance(verified.t, now, self.limits.notification_tolerance);
        let verdict = judge(account, known.as_ref(), &body, fresh);
        let signature = signature_header.unwrap_or_default().to_owned();
        let notification = Notification {
            body: raw.clone(),
            signature,
            verdict,
        };
        let observation = observation(account, known.as_ref(), &body, notification, now);
        let changed = match self.apply(&id, observation).await {
            Ok(outcome) => outcome.changed(),
            // Signed by one account, about a payment of another's: a mismatch that no record of that payment may hold.
            Err(LedgerError::Foreign) => false,
            Err(error) => return Err(self.take_as_hint(account, &id, &error)),
        };
        report(account, &id, verdict);
        Ok(Received { verdict, changed })
    }

    /// The ledger is away. The notification will come again, but it has told us whom to ask about: watchers here need
    /// not wait for it.
    fn take_as_hint(
        self: &Arc<Self>,
        account: &Arc<Account>,
        id: &PaymentId,
        error: &LedgerError,
    ) -> NotificationError {
        tracing::error!(payment_id = %id, %error, "a notification could not be made durable");
        metrics::counter!("chasqui_notifications_total", "account" => account.name.to_string(), "verdict" => "not_durable")
            .increment(1);
        if self.hub.is_watched(id) {
            self.desk(account).urge(id);
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
    if payment.account != account.name {
        return Verdict::Mismatch;
    }
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
    let (claim, errands) = match notification.verdict {
        Verdict::Agrees => {
            let claim = body.claim(known.and_then(|payment| payment.expires_at));
            (
                Some(claim),
                vec![
                    Errand::delivery(now),
                    Errand::check(now.plus(CROSS_CHECK_DELAY), Priority::CrossCheck),
                ],
            )
        }
        Verdict::Stale | Verdict::UnknownPayment | Verdict::Unconciliated => {
            (None, vec![Errand::check(now, Priority::Notified)])
        }
        Verdict::Mismatch => (None, Vec::new()),
    };
    Observation {
        account: account.name.clone(),
        source: Source::Notification,
        at: now,
        claim,
        notification: Some(notification),
        errands,
    }
}

fn report(account: &Account, id: &PaymentId, verdict: Verdict) {
    metrics::counter!("chasqui_notifications_total", "account" => account.name.to_string(), "verdict" => verdict.as_str())
        .increment(1);
    match verdict {
        Verdict::Agrees => tracing::debug!(payment_id = %id, "notified"),
        Verdict::Mismatch => {
            metrics::counter!("chasqui_mismatches_total", "source" => Source::Notification.as_str()).increment(1);
            tracing::error!(
                payment_id = %id,
                account = %account.name,
                "a signed notification disagrees with the payment (amount, currency, receiver or transaction_id); it is kept and not believed"
            );
        }
        other => {
            tracing::warn!(payment_id = %id, verdict = other.as_str(), "a notification is kept, and khipu asked")
        }
    }
}
