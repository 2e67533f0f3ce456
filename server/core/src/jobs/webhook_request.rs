//! What a merchant is sent: Khipu's bytes and Khipu's signature, as an existing handler expects them, and beside them the
//! headers of Standard Webhooks and our own.
//!
//! Every letter is signed in Khipu's scheme, or there is no letter. Pure: the time is an argument. Sending it is
//! [`merchant_client`](super::merchant_client)'s job.

use std::time::Duration;

use bytes::Bytes;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderValue};

use super::signature;
use crate::account::Account;
use crate::khipu::signature as khipu;
use crate::payment::{PaymentId, Timestamp};
use crate::store::StoredNotification;

pub(super) const STATUS_HEADER: &str = "chasqui-status";
pub(super) const SOURCE_HEADER: &str = "chasqui-source";

/// Khipu's own signature is passed on while its time is no further than this from ours, either way. Handlers may refuse
/// what is further off (five minutes is customary), so then the same bytes are signed anew.
pub(super) const SIGNATURE_FRESH_FOR: Duration = Duration::from_secs(4 * 60);

/// Where the words come from.
#[derive(Debug)]
pub(super) enum WebhookRequestBody {
    /// Khipu's notification: its signature was verified when it came, and it agrees with the payment.
    Notification(StoredNotification),
    /// A body in the same form, built from Khipu's answer because its notification never came.
    Built(Bytes),
}

/// Everything of a delivery but its address.
#[derive(Debug)]
pub(super) struct WebhookRequest {
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("there is no secret to sign with: set khipu_secrets of the account")]
pub(super) struct Unsigned;

impl WebhookRequest {
    pub(super) fn new(
        payment: &PaymentId,
        content: WebhookRequestBody,
        account: &Account,
        now: Timestamp,
    ) -> Result<Self, Unsigned> {
        let (body, kept_signature, source) = match content {
            WebhookRequestBody::Notification(kept) => (
                kept.body,
                fresh(&kept.signature, now),
                HeaderValue::from_static("notification"),
            ),
            WebhookRequestBody::Built(body) => {
                (body, None, HeaderValue::from_static("reconciliation"))
            }
        };
        let khipu_signature = match kept_signature {
            Some(signature) => signature,
            None => signed_anew(account, now, &body)?,
        };
        let id = signature::webhook_id(payment);
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(khipu::HEADER, khipu_signature);
        headers.insert(STATUS_HEADER, HeaderValue::from_static("confirmed"));
        headers.insert(SOURCE_HEADER, source);
        headers.insert(signature::TIMESTAMP_HEADER, now.unix_seconds().into());
        if let Some(signature) = signature::sign(&account.webhook_secrets, &id, now, &body) {
            headers.insert(signature::SIGNATURE_HEADER, plain(signature));
        }
        headers.insert(signature::ID_HEADER, plain(id));
        Ok(Self { headers, body })
    }
}

/// Khipu's own signature, as it came, while a handler that checks its time would still take it.
fn fresh(signature: &str, now: Timestamp) -> Option<HeaderValue> {
    let t = khipu::claimed_time(signature).ok()?;
    if khipu::is_within_tolerance(t, now, SIGNATURE_FRESH_FOR) {
        HeaderValue::from_str(signature).ok()
    } else {
        None
    }
}

fn signed_anew(account: &Account, now: Timestamp, body: &[u8]) -> Result<HeaderValue, Unsigned> {
    let secret = account
        .khipu_secrets
        .first()
        .filter(|secret| !secret.expose().is_empty())
        .ok_or(Unsigned)?;
    Ok(plain(khipu::sign(secret, now, body)))
}

/// Ids, digits and base64 only.
#[expect(clippy::expect_used, reason = "each character may stand in a header")]
fn plain(text: String) -> HeaderValue {
    HeaderValue::try_from(text).expect("made here, of characters that a header may hold")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::account::Secret;
    use crate::jobs::tests::fixture;

    const NOW: Timestamp = Timestamp::from_unix_ms(1_800_000_000_000);

    fn letter(content: WebhookRequestBody, account: &Account) -> Result<WebhookRequest, Unsigned> {
        WebhookRequest::new(&fixture::payment_id(), content, account, NOW)
    }

    fn kept(age: Duration, account: &Account) -> StoredNotification {
        fixture::notification(account, NOW.minus(age))
    }

    fn header<'l>(letter: &'l WebhookRequest, name: &str) -> &'l str {
        letter.headers[name].to_str().expect("text")
    }

    #[test]
    fn khipus_own_signature_goes_along_as_it_came_while_it_is_fresh() {
        let account = fixture::account();
        for age in [Duration::ZERO, SIGNATURE_FRESH_FOR] {
            let kept = kept(age, &account);
            let letter =
                letter(WebhookRequestBody::Notification(kept.clone()), &account).expect("letter");
            assert_eq!(header(&letter, khipu::HEADER), kept.signature);
            assert_eq!(letter.body, kept.body);
            assert_eq!(header(&letter, SOURCE_HEADER), "notification");
        }
    }

    #[test]
    fn an_old_signature_is_made_anew_over_the_same_bytes() {
        let account = fixture::account();
        let kept = kept(SIGNATURE_FRESH_FOR + Duration::from_millis(1), &account);
        let letter =
            letter(WebhookRequestBody::Notification(kept.clone()), &account).expect("letter");
        assert_eq!(letter.body, kept.body);
        let signature = header(&letter, khipu::HEADER);
        assert_ne!(signature, kept.signature);
        let verified = khipu::verify(Some(signature), &letter.body, &account.khipu_secrets);
        assert_eq!(verified.map(|verified| verified.t), Ok(NOW));
    }

    #[test]
    fn a_signature_from_a_clock_that_runs_ahead_is_made_anew_too() {
        let account = fixture::account();
        let ahead = |by| fixture::notification(&account, NOW.plus(by));
        let slightly = ahead(SIGNATURE_FRESH_FOR);
        let letter_slightly =
            letter(WebhookRequestBody::Notification(slightly.clone()), &account).expect("letter");
        assert_eq!(header(&letter_slightly, khipu::HEADER), slightly.signature);
        let far = ahead(SIGNATURE_FRESH_FOR + Duration::from_millis(1));
        let letter =
            letter(WebhookRequestBody::Notification(far.clone()), &account).expect("letter");
        assert_eq!(letter.body, far.body);
        let signature = header(&letter, khipu::HEADER);
        let verified = khipu::verify(Some(signature), &letter.body, &account.khipu_secrets);
        assert_eq!(verified.map(|verified| verified.t), Ok(NOW));
    }

    #[test]
    fn a_built_body_is_signed_in_khipus_scheme_and_says_where_it_comes_from() {
        let account = fixture::account();
        let letter =
            letter(WebhookRequestBody::Built(fixture::BODY.into()), &account).expect("letter");
        assert_eq!(header(&letter, SOURCE_HEADER), "reconciliation");
        let signature = header(&letter, khipu::HEADER);
        let verified = khipu::verify(Some(signature), fixture::BODY, &account.khipu_secrets);
        assert_eq!(verified.map(|verified| verified.t), Ok(NOW));
    }

    #[test]
    fn the_first_secret_signs_what_is_signed_anew() {
        let mut account = fixture::account();
        account.khipu_secrets.insert(0, Secret::new("newest"));
        let letter =
            letter(WebhookRequestBody::Built(fixture::BODY.into()), &account).expect("letter");
        let signature = header(&letter, khipu::HEADER);
        assert!(khipu::verify(Some(signature), fixture::BODY, &[Secret::new("newest")]).is_ok());
    }

    #[test]
    fn without_a_secret_nothing_unsigned_is_written() {
        let mut account = fixture::account();
        let old = kept(Duration::from_secs(3600), &account);
        for secrets in [vec![], vec![Secret::new("")]] {
            account.khipu_secrets = secrets;
            let answer = WebhookRequestBody::Built(fixture::BODY.into());
            assert_eq!(letter(answer, &account).expect_err("unsigned"), Unsigned);
            let old = WebhookRequestBody::Notification(old.clone());
            assert_eq!(letter(old, &account).expect_err("unsigned"), Unsigned);
        }
    }

    #[test]
    fn every_letter_carries_the_headers_of_standard_webhooks_and_ours() {
        let account = fixture::account();
        let letter =
            letter(WebhookRequestBody::Built(fixture::BODY.into()), &account).expect("letter");
        assert_eq!(header(&letter, "content-type"), "application/json");
        assert_eq!(header(&letter, STATUS_HEADER), "confirmed");
        assert_eq!(
            header(&letter, signature::ID_HEADER),
            "msg_zfxnocsow6mz_confirmed"
        );
        assert_eq!(header(&letter, signature::TIMESTAMP_HEADER), "1800000000");
        assert!(header(&letter, signature::SIGNATURE_HEADER).starts_with("v1,"));
    }

    #[test]
    fn an_account_without_webhook_secrets_gets_no_webhook_signature() {
        let mut account = fixture::account();
        account.webhook_secrets.clear();
        let letter =
            letter(WebhookRequestBody::Built(fixture::BODY.into()), &account).expect("letter");
        assert!(!letter.headers.contains_key(signature::SIGNATURE_HEADER));
        assert!(letter.headers.contains_key(signature::ID_HEADER));
    }
}
