//! Khipu's signature over a notification: `x-khipu-signature: t=<unix ms>,s=<base64>`, where s is
//! HMAC-SHA256 over `t + "." + raw body`, keyed with the account's secret (never with the API key).

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use jiff::Timestamp;
use sha2::Sha256;

/// The header that carries the signature.
pub const SIGNATURE_HEADER: &str = "x-khipu-signature";

/// The value of [`SIGNATURE_HEADER`] for `body` sent at `at`.
pub fn signature(secret: &str, at: Timestamp, body: &str) -> String {
    render(at, &digest(secret, at, body))
}

/// A well-formed header that no secret verifies, which a receiver must refuse.
pub(crate) fn corrupt_signature(secret: &str, at: Timestamp, body: &str) -> String {
    let mut wrong = digest(secret, at, body);
    if let Some(first) = wrong.first_mut() {
        *first ^= 1;
    }
    render(at, &wrong)
}

fn render(at: Timestamp, digest: &[u8]) -> String {
    let t = at.as_millisecond();
    format!("t={t},s={}", BASE64_STANDARD.encode(digest))
}

#[expect(clippy::expect_used, reason = "it cannot fail")]
fn digest(secret: &str, at: Timestamp, body: &str) -> Vec<u8> {
    let mut mac =
        Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("HMAC takes a key of any length");
    mac.update(at.as_millisecond().to_string().as_bytes());
    mac.update(b".");
    mac.update(body.as_bytes());
    mac.finalize().into_bytes().to_vec()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    const SECRET: &str = "1a4cbbbeb8bdb7e1d73572b9cc43ce4ce18f79d9";
    pub(crate) const V1: &str = r#"{"payment_id":"zfxnocsow6mz","receiver_id":990939,"subject":"TEST_COBRO","amount":"1000.0000","discount":"0.0000","currency":"CLP","receipt_url":"https:\/\/s3.amazonaws.com\/staging.notifications.khipu.com\/CPKH-1804240956-zfxnocsow6mz.pdf","bank":"DemoBank","bank_id":"Bawdf","payer_name":"Cobrador de desarrollo #990.939","payer_email":"test@khipu.com","personal_identifier":"44.444.444-4","bank_account_number":"000000000000444444444","out_of_date_conciliation":false,"transaction_id":"15f836bd-e8a7-4d12-b2f1-56403012b555","responsible_user_email":"test@khipu.com","payment_method":"simplified_transfer","conciliation_date":"2024-04-18T13:56:54.859Z"}"#;

    pub(crate) fn v2() -> String {
        V1.replace(
            r#""responsible_user_email""#,
            r#""authorizer_operation_code":"AUT-20240418-0001","responsible_user_email""#,
        )
    }

    fn sent_at() -> Timestamp {
        Timestamp::from_millisecond(1_711_965_600_393).expect("a time")
    }

    #[test]
    fn golden_vector_v1_is_reproduced() {
        assert_eq!(
            signature(SECRET, sent_at(), V1),
            "t=1711965600393,s=GYzpjnXlTKQ+BJY7pZJmrM6DZgWMSJdtOr/dleBKTdg="
        );
    }

    #[test]
    fn golden_vector_v2_is_reproduced() {
        assert_eq!(
            signature(SECRET, sent_at(), &v2()),
            "t=1711965600393,s=rq08YUGSaWa1D0RAwhMnJTRHMNmY4ToCn2Gd6G9LaDg="
        );
    }

    #[test]
    fn a_corrupt_signature_has_the_shape_but_not_the_value() {
        let right = signature(SECRET, sent_at(), V1);
        let wrong = corrupt_signature(SECRET, sent_at(), V1);
        assert_ne!(right, wrong);
        assert_eq!(right.len(), wrong.len());
        assert!(wrong.starts_with("t=1711965600393,s="));
    }
}
