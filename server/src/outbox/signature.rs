//! Standard Webhooks signatures: the id that stays, the time of the attempt, and `v1,<base64>` for every secret.
//!
//! Independent of Khipu's own signature, which travels beside it. Never reads the clock, never sends anything; see
//! [`letter`](super::letter) for what else a delivery carries.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::account::Secret;
use crate::payment::{PaymentId, Timestamp};

pub(super) const ID_HEADER: &str = "webhook-id";
pub(super) const TIMESTAMP_HEADER: &str = "webhook-timestamp";
pub(super) const SIGNATURE_HEADER: &str = "webhook-signature";

/// Key sizes that the specification allows, in bytes.
const KEY_SIZES: std::ops::RangeInclusive<usize> = 24..=64;

/// A key that signs deliveries, out of its text form `whsec_<base64>`.
#[derive(Clone)]
pub struct WebhookSecret(Box<[u8]>);

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidWebhookSecret {
    #[error("a webhook secret begins with whsec_")]
    Prefix,
    #[error("a webhook secret is whsec_ and then base64")]
    NotBase64,
    #[error("a webhook secret holds 24 to 64 bytes: make one with `openssl rand -base64 32`")]
    Size,
}

impl WebhookSecret {
    /// From the whole text, `whsec_` included. The configuration refuses what this refuses.
    pub fn parse(text: &Secret) -> Result<Self, InvalidWebhookSecret> {
        let encoded = text
            .expose()
            .trim()
            .strip_prefix("whsec_")
            .ok_or(InvalidWebhookSecret::Prefix)?;
        let key = STANDARD
            .decode(encoded)
            .map_err(|_| InvalidWebhookSecret::NotBase64)?;
        if KEY_SIZES.contains(&key.len()) {
            Ok(Self(key.into()))
        } else {
            Err(InvalidWebhookSecret::Size)
        }
    }

    fn sign(&self, id: &str, seconds: i64, body: &[u8]) -> String {
        let mut mac =
            Hmac::<Sha256>::new_from_slice(&self.0).expect("HMAC takes a key of any length");
        mac.update(format!("{id}.{seconds}.").as_bytes());
        mac.update(body);
        format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
    }
}

impl fmt::Debug for WebhookSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

/// The `webhook-id` of a payment's one delivery: the same on every attempt and every instance, so that a merchant can tell
/// a repeat from news.
pub(super) fn webhook_id(payment: &PaymentId) -> String {
    format!("msg_{payment}_confirmed")
}

/// The value of `webhook-signature`; `None` without a secret. Every secret signs, so that a merchant can replace one
/// without missing a delivery.
pub(super) fn sign(
    secrets: &[WebhookSecret],
    id: &str,
    at: Timestamp,
    body: &[u8],
) -> Option<String> {
    let signatures = secrets
        .iter()
        .map(|secret| secret.sign(id, at.unix_seconds(), body))
        .collect::<Vec<_>>();
    (!signatures.is_empty()).then(|| signatures.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: &str = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
    const SECOND: &str = "whsec_////////////////////////////////";
    const BODY: &[u8] = br#"{"payment_id":"zfxnocsow6mz"}"#;
    const AT: Timestamp = Timestamp::from_unix_ms(1_711_965_600_393);

    fn secret(text: &str) -> WebhookSecret {
        WebhookSecret::parse(&Secret::new(text)).expect("secret")
    }

    /// Computed apart from this code, with Python's hmac.
    #[test]
    fn signs_as_computed_by_other_means() {
        let id = webhook_id(&PaymentId::parse("zfxnocsow6mz").expect("id"));
        assert_eq!(id, "msg_zfxnocsow6mz_confirmed");
        assert_eq!(
            sign(&[secret(FIRST)], &id, AT, BODY).expect("signed"),
            "v1,EHxGUXGLnX0ysWmJy71cYC3932yTkgUNZLakFOFGUEo="
        );
    }

    /// The example that libraries for Standard Webhooks share.
    #[test]
    fn signs_the_published_example() {
        let signed = sign(
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
            sign(&secrets, "msg_zfxnocsow6mz_confirmed", AT, BODY).expect("signed"),
            "v1,EHxGUXGLnX0ysWmJy71cYC3932yTkgUNZLakFOFGUEo= v1,VxdITgbAEVUxhm0UdG2yADRsDkfWOcxELtH/jJoVwbs="
        );
    }

    #[test]
    fn without_a_secret_there_is_no_signature() {
        assert_eq!(sign(&[], "msg_x_confirmed", AT, BODY), None);
    }

    #[test]
    fn a_bad_secret_is_refused_by_its_mistake() {
        let refused =
            |text: &str| WebhookSecret::parse(&Secret::new(text)).expect_err("must be refused");
        assert_eq!(
            refused("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="),
            InvalidWebhookSecret::Prefix
        );
        assert_eq!(refused("whsec_not base64"), InvalidWebhookSecret::NotBase64);
        assert_eq!(refused("whsec_c2hvcnQ="), InvalidWebhookSecret::Size);
        assert_eq!(refused("whsec_"), InvalidWebhookSecret::Size);
    }

    #[test]
    fn a_secret_is_not_shown() {
        assert_eq!(format!("{:?}", secret(FIRST)), "[secret]");
    }
}
