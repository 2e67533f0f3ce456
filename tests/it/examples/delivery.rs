//! Signs deliveries as the gateway does, or as a forger would.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use chasqui_tests::gateway_settings::{KHIPU_SECRET, WEBHOOK_SECRET};
use chasqui_tests::notification::{now_ms, signature};
use hmac::{Hmac, KeyInit, Mac};
use reqwest::RequestBuilder;
use sha2::Sha256;

/// With the signatures of `body` that the gateway gives a delivery.
pub(super) fn signed(request: RequestBuilder, body: &str) -> RequestBuilder {
    signed_at(request, body, now_ms())
}

/// The same as they were at another time, in Unix milliseconds.
pub(super) fn signed_at(request: RequestBuilder, body: &str, ms: u128) -> RequestBuilder {
    let key = WEBHOOK_SECRET.strip_prefix("whsec_").expect("a prefix");
    let key = BASE64_STANDARD.decode(key).expect("base64");
    with_signatures(request, &key, KHIPU_SECRET, body, ms)
}

/// Signed with secrets that are not the shop's.
pub(super) fn signed_by_another(request: RequestBuilder, body: &str) -> RequestBuilder {
    with_signatures(request, b"another key", "another secret", body, now_ms())
}

fn with_signatures(
    request: RequestBuilder,
    webhook_key: &[u8],
    khipu_secret: &str,
    body: &str,
    ms: u128,
) -> RequestBuilder {
    let (id, seconds) = ("msg_test_confirmed", ms / 1000);
    let mut mac =
        Hmac::<Sha256>::new_from_slice(webhook_key).expect("HMAC takes a key of any length");
    mac.update(format!("{id}.{seconds}.{body}").as_bytes());
    let digest = BASE64_STANDARD.encode(mac.finalize().into_bytes());
    request
        .header("webhook-id", id)
        .header("webhook-timestamp", seconds.to_string())
        .header("webhook-signature", format!("v1,{digest}"))
        .header(
            "x-khipu-signature",
            signature(khipu_secret, &ms.to_string(), body),
        )
}
