//! `POST /khipu`: the only place where an order becomes paid. Chasqui passes on the bytes and the signature that Khipu
//! sent, so this is the handler of any Khipu 3.0 integration:
//!
//! 1. verify the signature over the raw bytes, before anything is read from them;
//! 2. compare the payment with the order;
//! 3. save;
//! 4. only then answer 200. Any other answer means "send it again later".

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse;
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use hmac::{Hmac, KeyInit, Mac};
use jiff::Timestamp;
use serde::Deserialize;
use sha2::Sha256;

use super::order::Happening;
use super::state::Shop;

/// A signature is valid for ten minutes, in both directions because clocks differ, so that an old, recorded
/// notification cannot be replayed.
const TOLERANCE_MS: u64 = 10 * 60 * 1000;

pub(super) async fn receive(
    State(shop): State<Arc<Shop>>,
    headers: HeaderMap,
    body: Bytes,
) -> impl IntoResponse {
    let now = Timestamp::now();
    let signature = headers.get("x-khipu-signature");
    let signature = signature.and_then(|value| value.to_str().ok());
    if !is_genuine(signature, &body, &shop.config.khipu_secret, now) {
        return (StatusCode::UNAUTHORIZED, "signature does not verify");
    }
    let Ok(notification) = serde_json::from_slice::<NotificationFields>(&body) else {
        return (StatusCode::BAD_REQUEST, "not a notification 3.0");
    };
    let saved = shop.orders.update(&notification.transaction_id, |order| {
        let fits = notification.currency == "CLP" && notification.pesos() == Some(order.total);
        if fits {
            order.mark_paid(now);
        } else {
            order.note(Happening::Mismatch, now);
        }
        fits
    });
    match saved {
        Some(true) => (StatusCode::OK, "saved"),
        Some(false) => (StatusCode::BAD_REQUEST, "not what was ordered"),
        None => (StatusCode::BAD_REQUEST, "no such order"),
    }
}

/// `x-khipu-signature: t=<unix milliseconds>,s=<base64 of HMAC-SHA256(secret, t + "." + body)>`
fn is_genuine(header: Option<&str>, body: &[u8], secret: &str, now: Timestamp) -> bool {
    let part = |name| header.and_then(|header| part(header, name));
    let (Some(t), Some(s)) = (part("t"), part("s")) else {
        return false;
    };
    let (Ok(sent_ms), Ok(claimed)) = (t.parse::<i64>(), BASE64.decode(s)) else {
        return false;
    };
    let fresh = sent_ms.abs_diff(now.as_millisecond()) <= TOLERANCE_MS;
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret.as_bytes()) else {
        return false;
    };
    mac.update(t.as_bytes());
    mac.update(b".");
    mac.update(body);
    // verify_slice compares in constant time.
    fresh && mac.verify_slice(&claimed).is_ok()
}

/// The value of `name` in `t=…,s=…`. Splits at the first "=" only, because base64 may end with more.
fn part<'a>(header: &'a str, name: &str) -> Option<&'a str> {
    let mut parts = header
        .split(',')
        .filter_map(|part| part.trim().split_once('='));
    parts.find_map(|(key, value)| (key == name).then_some(value))
}

/// The fields that a shop needs. A notification has no status; its arrival means "paid".
#[derive(Deserialize)]
struct NotificationFields {
    transaction_id: String,
    amount: AmountField,
    currency: String,
}

/// Khipu sends "1000.0000"; its description has a number.
#[derive(Deserialize)]
#[serde(untagged)]
enum AmountField {
    Text(String),
    Number(serde_json::Number),
}

impl NotificationFields {
    /// Rounds to whole pesos, half up: Khipu may notify an order of 11901 as 11900.5.
    fn pesos(&self) -> Option<u64> {
        let text = match &self.amount {
            AmountField::Text(text) => text.clone(),
            AmountField::Number(number) => number.to_string(),
        };
        let (whole, decimals) = text.split_once('.').unwrap_or((&text, ""));
        let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        if !digits(whole) || !digits(decimals) {
            return None;
        }
        let half_up = u64::from(decimals.bytes().next() >= Some(b'5'));
        whole.parse::<u64>().ok()?.checked_add(half_up)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Khipu's own example, recomputed from its guide.
    const SECRET: &str = "1a4cbbbeb8bdb7e1d73572b9cc43ce4ce18f79d9";
    const HEADER: &str = "t=1711965600393,s=GYzpjnXlTKQ+BJY7pZJmrM6DZgWMSJdtOr/dleBKTdg=";
    const BODY: &str = r#"{"payment_id":"zfxnocsow6mz","receiver_id":990939,"subject":"TEST_COBRO","amount":"1000.0000","discount":"0.0000","currency":"CLP","receipt_url":"https:\/\/s3.amazonaws.com\/staging.notifications.khipu.com\/CPKH-1804240956-zfxnocsow6mz.pdf","bank":"DemoBank","bank_id":"Bawdf","payer_name":"Cobrador de desarrollo #990.939","payer_email":"test@khipu.com","personal_identifier":"44.444.444-4","bank_account_number":"000000000000444444444","out_of_date_conciliation":false,"transaction_id":"15f836bd-e8a7-4d12-b2f1-56403012b555","responsible_user_email":"test@khipu.com","payment_method":"simplified_transfer","conciliation_date":"2024-04-18T13:56:54.859Z"}"#;

    fn verifies(header: &str, body: &str, secret: &str, seconds_later: i64) -> bool {
        let now =
            Timestamp::from_millisecond(1_711_965_600_393 + seconds_later * 1000).expect("valid");
        is_genuine(Some(header), body.as_bytes(), secret, now)
    }

    #[test]
    fn the_golden_vector_verifies() {
        assert!(verifies(HEADER, BODY, SECRET, 0));
        let notification: NotificationFields = serde_json::from_str(BODY).expect("valid");
        assert_eq!(
            notification.transaction_id,
            "15f836bd-e8a7-4d12-b2f1-56403012b555"
        );
        assert_eq!(notification.pesos(), Some(1000));
    }

    #[test]
    fn a_wrong_signature_is_refused() {
        assert!(!verifies(
            HEADER,
            BODY,
            "the api key instead of the secret",
            0
        ));
        assert!(!verifies(&HEADER.replace("GYzp", "GYzq"), BODY, SECRET, 0));
        for header in ["", "t=1711965600393", "s=", "t=,s=", "t=x,s=!", "====,,,"] {
            assert!(!verifies(header, BODY, SECRET, 0), "{header}");
        }
        assert!(!is_genuine(None, BODY.as_bytes(), SECRET, Timestamp::now()));
    }

    #[test]
    fn a_body_that_was_serialised_again_is_refused() {
        assert!(!verifies(HEADER, &BODY.replace(r"\/", "/"), SECRET, 0));
    }

    #[test]
    fn a_recorded_notification_is_refused_later() {
        assert!(verifies(HEADER, BODY, SECRET, 599));
        assert!(verifies(HEADER, BODY, SECRET, -599));
        assert!(!verifies(HEADER, BODY, SECRET, 601));
        assert!(!verifies(HEADER, BODY, SECRET, -601));
    }

    #[test]
    fn amounts_are_whole_pesos_half_up() {
        let pesos = |amount: &str| {
            let json = format!(r#"{{"transaction_id":"x","currency":"CLP","amount":{amount}}}"#);
            serde_json::from_str::<NotificationFields>(&json)
                .expect("valid")
                .pesos()
        };
        assert_eq!(pesos("1000"), Some(1000));
        assert_eq!(pesos("1000.0"), Some(1000));
        assert_eq!(pesos(r#""11900.5000""#), Some(11901));
        assert_eq!(pesos(r#""11900.4900""#), Some(11900));
        assert_eq!(pesos(r#""-1000""#), None);
        assert_eq!(pesos(r#""1,000""#), None);
        assert_eq!(pesos(r#""""#), None);
    }
}
