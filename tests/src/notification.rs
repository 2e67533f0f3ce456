//! Builds notifications, genuine and forged.

use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;

use crate::gateway_settings::{KHIPU_SECRET, RECEIVER_ID};

/// A notification of a payment of [`GatewayClient::create`](crate::gateway_client::GatewayClient::create), with `more` fields or other values; a null
/// removes one.
pub fn body(payment_id: &str, more: &Value) -> String {
    let mut body = json!({
        "payment_id": payment_id,
        "receiver_id": RECEIVER_ID,
        "subject": "Zapatillas",
        "amount": "24990.0000",
        "discount": "0.0000",
        "currency": "CLP",
        "receipt_url": "https://khipu.example/receipt.pdf",
        "bank": "DemoBank",
        "bank_id": "Bawdf",
        "payer_name": "Ana",
        "payer_email": "ana@example.com",
        "personal_identifier": "44.444.444-4",
        "bank_account_number": "000444444444",
        "out_of_date_conciliation": false,
        "transaction_id": "",
        "responsible_user_email": "shop@example.com",
        "payment_method": "simplified_transfer",
        "conciliation_date": "2024-04-18T13:56:54.859Z",
    });
    let fields = body.as_object_mut().expect("an object");
    for (name, value) in more.as_object().into_iter().flatten() {
        match value {
            Value::Null => fields.remove(name),
            value => fields.insert(name.clone(), value.clone()),
        };
    }
    // Khipu escapes slashes. A JSON library that serializes the body again does not, which breaks the signature.
    body.to_string().replace('/', "\\/")
}

/// `x-khipu-signature` as Khipu makes it, now.
pub fn signed(body: &str) -> String {
    signature(KHIPU_SECRET, &now_ms().to_string(), body)
}

/// `x-khipu-signature` with any secret and any `t`.
pub fn signature(secret: &str, t: &str, body: &str) -> String {
    format!(
        "t={t},s={}",
        BASE64_STANDARD.encode(digest(secret, t, body))
    )
}

/// The digest in hexadecimal digits, which the gateway must refuse.
pub fn hex_signature(secret: &str, t: &str, body: &str) -> String {
    let hex: String = digest(secret, t, body)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    format!("t={t},s={hex}")
}

/// Whether `header` is Khipu's signature, or that of a gateway in its place, over exactly these bytes.
pub fn is_signed(header: &str, secret: &str, body: &[u8]) -> bool {
    let t = header
        .strip_prefix("t=")
        .and_then(|rest| rest.split_once(','))
        .map_or("", |(t, _)| t);
    signature(secret, t, &String::from_utf8_lossy(body)) == header
}

/// Unix milliseconds.
pub fn now_ms() -> u128 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("after 1970")
        .as_millis()
}

fn digest(secret: &str, t: &str, body: &str) -> Vec<u8> {
    let mut mac =
        Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("HMAC takes a key of any length");
    mac.update(t.as_bytes());
    mac.update(b".");
    mac.update(body.as_bytes());
    mac.finalize().into_bytes().to_vec()
}
