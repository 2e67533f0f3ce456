//! Standard Webhooks signatures: a stable id, the time of the attempt, and `v1,<base64>` for every secret.
//!
//! Independent of Khipu's own signature, which is sent too. Never reads the clock. See
//! [`webhook_request`](super::webhook_request) for the rest of a delivery.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chasqui_payment::{PaymentId, Timestamp, Version};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::account::WebhookSecret;

pub(super) const ID_HEADER: &str = "webhook-id";
pub(super) const TIMESTAMP_HEADER: &str = "webhook-timestamp";
pub(super) const SIGNATURE_HEADER: &str = "webhook-signature";

/// The same for every attempt and instance, so that a merchant recognises a repeat.
pub(super) fn webhook_id(payment: &PaymentId) -> String {
    format!("msg_{payment}_confirmed")
}

/// The id of a change of status: the same for every attempt and instance.
pub(super) fn event_id(payment: &PaymentId, version: Version) -> String {
    format!("evt_{payment}_{version}")
}

/// The value of `webhook-signature`; `None` without a secret. Every secret signs, so that a merchant can replace one.
pub(super) fn sign_webhook(
    secrets: &[WebhookSecret],
    id: &str,
    at: Timestamp,
    body: &[u8],
) -> Option<String> {
    let signatures = secrets
        .iter()
        .map(|secret| sign_one(secret, id, at.unix_seconds(), body))
        .collect::<Vec<_>>();
    (!signatures.is_empty()).then(|| signatures.join(" "))
}

#[expect(clippy::expect_used, reason = "HMAC takes a key of any length")]
fn sign_one(secret: &WebhookSecret, id: &str, seconds: i64, body: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.expose()).expect("any length");
    mac.update(format!("{id}.{seconds}.").as_bytes());
    mac.update(body);
    format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
}

#[cfg(test)]
mod tests {
    use chasqui_payment::Secret;

    use super::*;

    const FIRST: &str = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
    const SECOND: &str = "whsec_////////////////////////////////";
    const BODY: &[u8] = br#"{"payment_id":"zfxnocsow6mz"}"#;
    const AT: Timestamp = Timestamp::from_unix_ms(1_711_965_600_393);

    fn secret(text: &str) -> WebhookSecret {
        WebhookSecret::parse(&Secret::new(text)).expect("secret")
    }

    /// Computed with Python's hmac.
    #[test]
    fn signs_like_another_implementation() {
        let id = webhook_id(&PaymentId::parse("zfxnocsow6mz").expect("id"));
        assert_eq!(id, "msg_zfxnocsow6mz_confirmed");
        assert_eq!(
            sign_webhook(&[secret(FIRST)], &id, AT, BODY).expect("signed"),
            "v1,EHxGUXGLnX0ysWmJy71cYC3932yTkgUNZLakFOFGUEo="
        );
    }

    /// The example that libraries for Standard Webhooks share.
    #[test]
    fn signs_the_published_example() {
        let signed = sign_webhook(
            &[secret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")],
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            Timestamp::from_unix_ms(1_614_265_330_000),
            br#"{"test": 2432232314}"#,
        );
        assert_eq!(
            signed.expect("signed"),
            "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
        );
    }

    #[test]
    fn every_secret_signs_while_one_is_replaced() {
        let secrets = [secret(FIRST), secret(SECOND)];
        assert_eq!(
            sign_webhook(&secrets, "msg_zfxnocsow6mz_confirmed", AT, BODY).expect("signed"),
            "v1,EHxGUXGLnX0ysWmJy71cYC3932yTkgUNZLakFOFGUEo= v1,VxdITgbAEVUxhm0UdG2yADRsDkfWOcxELtH/jJoVwbs="
        );
    }

    #[test]
    fn without_a_secret_there_is_no_signature() {
        assert_eq!(sign_webhook(&[], "msg_x_confirmed", AT, BODY), None);
    }
}
