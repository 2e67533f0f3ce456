//! The requests that a merchant receives. A delivery is Khipu's bytes and signature, as an existing handler expects them, with
//! the headers of Standard Webhooks and our own; without a signature of Khipu's scheme none is built. An event is a change of
//! status. Pure: the time is an argument.

use std::time::Duration;

use bytes::Bytes;
use chasqui_khipu::signature as khipu;
use chasqui_payment::{Payment, PaymentId, Timestamp};
use chasqui_store::StoredNotification;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use serde::Serialize;

use super::signature;
use crate::account::Account;
use crate::push::StatusObject;

pub(super) const STATUS_HEADER: &str = "chasqui-status";
pub(super) const SOURCE_HEADER: &str = "chasqui-source";

/// How far the time of Khipu's own signature may differ from ours. Handlers refuse a larger difference, customarily five
/// minutes, so beyond this the same bytes are signed again.
pub(super) const SIGNATURE_FRESH_FOR: Duration = Duration::from_secs(4 * 60);

#[derive(Debug)]
pub(super) enum WebhookRequestBody {
    /// Khipu's notification, verified, in agreement with the payment.
    Notification(StoredNotification),
    /// The same, built from Khipu's answer to a query.
    Built(Bytes),
}

/// A delivery without its address.
#[derive(Debug)]
pub(super) struct WebhookRequest {
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the account has no secret to sign with: set its khipu_secrets")]
pub(super) struct MissingSecret;

impl WebhookRequest {
    pub(super) fn new(
        payment: &PaymentId,
        body: WebhookRequestBody,
        account: &Account,
        now: Timestamp,
    ) -> Result<Self, MissingSecret> {
        let (body, fresh_signature, source) = match body {
            WebhookRequestBody::Notification(stored) => (
                stored.body,
                fresh(&stored.signature, now),
                HeaderValue::from_static("notification"),
            ),
            WebhookRequestBody::Built(body) => {
                (body, None, HeaderValue::from_static("reconciliation"))
            }
        };
        let khipu_signature = match fresh_signature {
            Some(signature) => signature,
            None => sign_again(account, now, &body)?,
        };
        let mut request = Self::standard(signature::webhook_id(payment), body, account, now);
        let headers = &mut request.headers;
        headers.insert(khipu::HEADER, khipu_signature);
        headers.insert(STATUS_HEADER, HeaderValue::from_static("confirmed"));
        headers.insert(SOURCE_HEADER, source);
        Ok(request)
    }

    /// A change of status, which is that of the payment. Not in Khipu's form, and without its signature, so that no handler
    /// of Khipu's notifications takes it for "paid".
    pub(super) fn event(payment: &Payment, account: &Account, now: Timestamp) -> Self {
        let state = &payment.state;
        let id = signature::event_id(&payment.id, state.version);
        let event = Event {
            r#type: format!("payment.{}", state.status().as_str()),
            timestamp: state.at,
            data: EventData::of(payment, now),
        };
        Self::standard(id, event.to_json(), account, now)
    }

    /// With the headers of Standard Webhooks.
    fn standard(id: String, body: Bytes, account: &Account, now: Timestamp) -> Self {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(signature::TIMESTAMP_HEADER, now.unix_seconds().into());
        if let Some(signature) = signature::sign_webhook(&account.webhook_secrets, &id, now, &body)
        {
            headers.insert(signature::SIGNATURE_HEADER, header_value(signature));
        }
        headers.insert(signature::ID_HEADER, header_value(id));
        Self { headers, body }
    }
}

/// The body of an event, as Standard Webhooks recommends it.
#[derive(Serialize)]
struct Event<'p> {
    r#type: String,
    /// When it happened.
    timestamp: Timestamp,
    data: EventData<'p>,
}

#[derive(Serialize)]
struct EventData<'p> {
    #[serde(flatten)]
    status: StatusObject<'p>,
    #[serde(skip_serializing_if = "Option::is_none")]
    transaction_id: Option<&'p str>,
}

impl<'p> EventData<'p> {
    fn of(payment: &'p Payment, now: Timestamp) -> Self {
        let terms = payment.terms.as_ref();
        Self {
            status: StatusObject::of(payment, now),
            transaction_id: terms.and_then(|terms| terms.transaction_id.as_deref()),
        }
    }
}

impl Event<'_> {
    #[expect(clippy::expect_used, reason = "text, numbers and booleans serialise")]
    fn to_json(&self) -> Bytes {
        serde_json::to_vec(self).expect("serialises").into()
    }
}

/// Khipu's own signature, while handlers accept its time.
fn fresh(signature: &str, now: Timestamp) -> Option<HeaderValue> {
    let t = khipu::claimed_time(signature).ok()?;
    khipu::is_within_tolerance(t, now, SIGNATURE_FRESH_FOR)
        .then(|| HeaderValue::from_str(signature).ok())
        .flatten()
}

fn sign_again(
    account: &Account,
    now: Timestamp,
    body: &[u8],
) -> Result<HeaderValue, MissingSecret> {
    let secret = account
        .khipu_secrets
        .first()
        .filter(|secret| !secret.expose().is_empty())
        .ok_or(MissingSecret)?;
    Ok(header_value(khipu::sign_notification(secret, now, body)))
}

#[expect(clippy::expect_used, reason = "ids, digits and base64 only")]
fn header_value(text: String) -> HeaderValue {
    HeaderValue::try_from(text).expect("valid in a header")
}

#[cfg(test)]
mod tests {
    use chasqui_payment::{Secret, Verdict};

    use super::*;
    use crate::jobs::tests::fixture;

    const NOW: Timestamp = Timestamp::from_unix_ms(1_800_000_000_000);

    fn request(
        body: WebhookRequestBody,
        account: &Account,
    ) -> Result<WebhookRequest, MissingSecret> {
        WebhookRequest::new(&fixture::payment_id(), body, account, NOW)
    }

    fn stored(age: Duration, account: &Account) -> StoredNotification {
        fixture::notification(account, NOW.minus(age))
    }

    fn header<'l>(request: &'l WebhookRequest, name: &str) -> &'l str {
        request.headers[name].to_str().expect("text")
    }

    #[test]
    fn khipus_own_signature_is_passed_on_unchanged_while_it_is_fresh() {
        let account = fixture::account();
        for age in [Duration::ZERO, SIGNATURE_FRESH_FOR] {
            let stored = stored(age, &account);
            let request = request(WebhookRequestBody::Notification(stored.clone()), &account)
                .expect("request");
            assert_eq!(header(&request, khipu::HEADER), stored.signature);
            assert_eq!(request.body, stored.body);
            assert_eq!(header(&request, SOURCE_HEADER), "notification");
        }
    }

    #[test]
    fn an_old_signature_is_replaced_over_the_same_bytes() {
        let account = fixture::account();
        let stored = stored(SIGNATURE_FRESH_FOR + Duration::from_millis(1), &account);
        let request =
            request(WebhookRequestBody::Notification(stored.clone()), &account).expect("request");
        assert_eq!(request.body, stored.body);
        let signature = header(&request, khipu::HEADER);
        assert_ne!(signature, stored.signature);
        let verified = khipu::verify(Some(signature), &request.body, &account.khipu_secrets);
        assert_eq!(verified.map(|verified| verified.t), Ok(NOW));
    }

    #[test]
    fn a_signature_from_a_clock_that_is_ahead_is_replaced_too() {
        let account = fixture::account();
        let ahead = |by| fixture::notification(&account, NOW.plus(by));
        let slightly = ahead(SIGNATURE_FRESH_FOR);
        let request_slightly =
            request(WebhookRequestBody::Notification(slightly.clone()), &account).expect("request");
        assert_eq!(header(&request_slightly, khipu::HEADER), slightly.signature);
        let far = ahead(SIGNATURE_FRESH_FOR + Duration::from_millis(1));
        let request =
            request(WebhookRequestBody::Notification(far.clone()), &account).expect("request");
        assert_eq!(request.body, far.body);
        let signature = header(&request, khipu::HEADER);
        let verified = khipu::verify(Some(signature), &request.body, &account.khipu_secrets);
        assert_eq!(verified.map(|verified| verified.t), Ok(NOW));
    }

    #[test]
    fn a_built_body_is_signed_in_khipus_scheme_and_names_its_source() {
        let account = fixture::account();
        let request =
            request(WebhookRequestBody::Built(fixture::BODY.into()), &account).expect("request");
        assert_eq!(header(&request, SOURCE_HEADER), "reconciliation");
        let signature = header(&request, khipu::HEADER);
        let verified = khipu::verify(Some(signature), fixture::BODY, &account.khipu_secrets);
        assert_eq!(verified.map(|verified| verified.t), Ok(NOW));
    }

    #[test]
    fn the_first_secret_signs() {
        let mut account = fixture::account();
        account.khipu_secrets.insert(0, Secret::new("newest"));
        let request =
            request(WebhookRequestBody::Built(fixture::BODY.into()), &account).expect("request");
        let signature = header(&request, khipu::HEADER);
        assert!(khipu::verify(Some(signature), fixture::BODY, &[Secret::new("newest")]).is_ok());
    }

    #[test]
    fn without_a_secret_no_request_is_built() {
        let mut account = fixture::account();
        let old = stored(Duration::from_secs(3600), &account);
        for secrets in [vec![], vec![Secret::new("")]] {
            account.khipu_secrets = secrets;
            let built = WebhookRequestBody::Built(fixture::BODY.into());
            assert_eq!(
                request(built, &account).expect_err("unsigned"),
                MissingSecret
            );
            let old = WebhookRequestBody::Notification(old.clone());
            assert_eq!(request(old, &account).expect_err("unsigned"), MissingSecret);
        }
    }

    #[test]
    fn every_request_has_the_headers_of_standard_webhooks_and_ours() {
        let account = fixture::account();
        let request =
            request(WebhookRequestBody::Built(fixture::BODY.into()), &account).expect("request");
        assert_eq!(header(&request, "content-type"), "application/json");
        assert_eq!(header(&request, STATUS_HEADER), "confirmed");
        assert_eq!(
            header(&request, signature::ID_HEADER),
            "msg_zfxnocsow6mz_confirmed"
        );
        assert_eq!(header(&request, signature::TIMESTAMP_HEADER), "1800000000");
        assert!(header(&request, signature::SIGNATURE_HEADER).starts_with("v1,"));
    }

    #[test]
    fn an_account_without_webhook_secrets_gets_no_webhook_signature() {
        let mut account = fixture::account();
        account.webhook_secrets.clear();
        let request =
            request(WebhookRequestBody::Built(fixture::BODY.into()), &account).expect("request");
        assert!(!request.headers.contains_key(signature::SIGNATURE_HEADER));
        assert!(request.headers.contains_key(signature::ID_HEADER));
    }

    #[test]
    fn an_event_is_a_status_object_and_no_notification() {
        let (mut payment, _) = fixture::sold("https://shop.example", Verdict::Agrees, NOW);
        payment.state.at = Timestamp::parse("2026-11-22T06:30:00.123Z").expect("time");
        let request = WebhookRequest::event(&payment, &fixture::account(), NOW);
        assert_eq!(
            request.body,
            r#"{"type":"payment.confirmed","timestamp":"2026-11-22T06:30:00.123Z","data":{"payment_id":"sold","status":"confirmed","version":1000,"final":true,"at":"2026-11-22T06:30:00.123Z","transaction_id":"order 77"}}"#
        );
        assert_eq!(header(&request, signature::ID_HEADER), "evt_sold_1000");
        assert_eq!(request.headers.get(khipu::HEADER), None);
        assert_eq!(request.headers.get(STATUS_HEADER), None);
        assert!(header(&request, signature::SIGNATURE_HEADER).starts_with("v1,"));
    }
}
