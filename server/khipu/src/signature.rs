//! Khipu's signature on its notifications: `t=<unix ms>,s=<base64>`, where `s` is
//! `Base64(HMAC-SHA256(secret, t + "." + raw body))`.
//!
//! Verifies that these bytes were signed at `t` with the account's secret, and makes the same signature where we sign in
//! Khipu's place. It never reads the clock (see [`is_within_tolerance`]) or the content of the body.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_PAD_INDIFFERENT};
use chasqui_payment::{Secret, Timestamp};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// The header that carries the signature.
pub const HEADER: &str = "x-khipu-signature";

/// A body that Khipu signed. Only [`verify`] makes one, and a notification is read from it alone, so that a forgotten check
/// does not compile:
///
/// ```compile_fail,E0451
/// use chasqui_khipu::signature::VerifiedBody;
/// use chasqui_payment::Timestamp;
/// let forged = VerifiedBody { t: Timestamp::from_unix_ms(0), body: b"{}" };
/// ```
///
/// ```compile_fail
/// #![deny(unused_must_use)]
/// use chasqui_khipu::signature::verify;
/// verify(None, b"{}", &[]);
/// ```
///
/// The same imports compile where the check is made:
///
/// ```
/// #![deny(unused_must_use)]
/// use chasqui_khipu::signature::{VerifiedBody, verify};
/// use chasqui_payment::Timestamp;
/// let verified: Result<VerifiedBody<'_>, _> = verify(None, b"{}", &[]);
/// assert!(verified.is_err());
/// let signed_at = |body: VerifiedBody<'_>| -> Timestamp { body.t };
/// # let _ = signed_at;
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "a body from elsewhere may be unsigned"]
pub struct VerifiedBody<'b> {
    /// When it was signed, by the signer's clock; check it with [`is_within_tolerance`].
    pub t: Timestamp,
    /// The `x-khipu-signature` header as it came.
    pub header: &'b str,
    body: &'b [u8],
}

impl<'b> VerifiedBody<'b> {
    /// Exactly the bytes that were signed.
    pub fn body(&self) -> &'b [u8] {
        self.body
    }
}

/// Why a notification is refused, and the likely mistake. Shows neither the body nor a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    #[error("no x-khipu-signature header: only khipu may call this address")]
    Missing,
    #[error("x-khipu-signature has no t: it looks like t=<unix milliseconds>,s=<base64>")]
    NoTime,
    #[error("t in x-khipu-signature is not a number: it is unix milliseconds")]
    TimeNotANumber,
    #[error("x-khipu-signature has no s: it looks like t=<unix milliseconds>,s=<base64>")]
    NoSignature,
    #[error("s in x-khipu-signature looks like hex: khipu's signature is base64")]
    Hex,
    #[error(
        "s in x-khipu-signature is not the base64 of 32 bytes: split each part at its first = only"
    )]
    NotBase64,
    #[error(
        "x-khipu-signature does not match: khipu_secrets must hold the account's secret (not its API key), and the body \
         must be the bytes as they came (not JSON that was serialised again)"
    )]
    Mismatch,
}

/// Checks the header against the received bytes, in constant time. Any of the secrets may match: there are several while one
/// is being replaced.
pub fn verify<'b>(
    header: Option<&'b str>,
    raw_body: &'b [u8],
    secrets: &[Secret],
) -> Result<VerifiedBody<'b>, SignatureError> {
    let header = header.ok_or(SignatureError::Missing)?;
    let parts = Parts::read(header)?;
    let matches = secrets
        .iter()
        // An empty secret is no secret.
        .filter(|secret| !secret.expose().is_empty())
        .map(|secret| {
            mac(secret, parts.t_text, raw_body)
                .verify_slice(&parts.s)
                .is_ok()
        })
        // Every secret is tried, so that the time does not reveal which one matched.
        .fold(false, |any, one| any | one);
    if matches {
        Ok(VerifiedBody {
            t: parts.t,
            header,
            body: raw_body,
        })
    } else {
        Err(SignatureError::Mismatch)
    }
}

/// The header value for a body signed at `t`.
pub fn sign_notification(secret: &Secret, t: Timestamp, body: &[u8]) -> String {
    let t = t.unix_ms().to_string();
    let s = mac(secret, &t, body).finalize().into_bytes();
    format!("t={t},s={}", STANDARD.encode(s))
}

/// The time in a header, which is not verified.
pub fn claimed_time(header: &str) -> Result<Timestamp, SignatureError> {
    Parts::read(header).map(|parts| parts.t)
}

/// Whether a signature is fresh, with clocks that may differ either way. A `t` in seconds counts as 1970.
pub fn is_within_tolerance(t: Timestamp, now: Timestamp, tolerance: Duration) -> bool {
    now.since(t) <= tolerance && t.since(now) <= tolerance
}

/// The header taken apart; `t_text` is what was signed, `t` is what it means.
struct Parts<'h> {
    t: Timestamp,
    t_text: &'h str,
    s: Vec<u8>,
}

impl<'h> Parts<'h> {
    /// Order, spaces and unknown parts do not matter.
    fn read(header: &'h str) -> Result<Self, SignatureError> {
        let part = |name: &str| {
            header
                .split(',')
                // At the first "=" only: base64 pads with more of them.
                .filter_map(|part| part.split_once('='))
                .find(|(key, _)| key.trim() == name)
                .map(|(_, value)| value.trim())
        };
        let t_text = part("t").ok_or(SignatureError::NoTime)?;
        let t = t_text
            .parse()
            .map(Timestamp::from_unix_ms)
            .map_err(|_| SignatureError::TimeNotANumber)?;
        let s = decode(part("s").ok_or(SignatureError::NoSignature)?)?;
        Ok(Self { t, t_text, s })
    }
}

fn decode(s: &str) -> Result<Vec<u8>, SignatureError> {
    // Hex of 32 bytes is valid base64 of 48, so it is recognised by its form.
    if s.len() == 64 && s.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Err(SignatureError::Hex);
    }
    match STANDARD_PAD_INDIFFERENT.decode(s) {
        Ok(bytes) if bytes.len() == 32 => Ok(bytes),
        _ => Err(SignatureError::NotBase64),
    }
}

#[expect(clippy::expect_used, reason = "HMAC takes a key of any length")]
fn mac(secret: &Secret, t: &str, body: &[u8]) -> Hmac<Sha256> {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.expose().as_bytes())
        .expect("HMAC takes a key of any length");
    mac.update(t.as_bytes());
    mac.update(b".");
    mac.update(body);
    mac
}

#[cfg(test)]
mod tests;
