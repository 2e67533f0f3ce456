//! Names of things: a payment (Khipu's id), a reference (ours), an account (the operator's).

use std::fmt;
use std::sync::Arc;

/// Khipu's id of a payment. Khipu makes 12 lower-case alphanumerics; 1 to 64 of `A-Z a-z 0-9 _ -` are accepted, so that a
/// longer id of tomorrow still passes and nothing that needs escaping ever gets in.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PaymentId(Arc<str>);

/// 128 random bits made before Khipu is called, as 32 lower-case hexadecimal digits. Whoever knows it is the payer that
/// was sent to pay, or Khipu.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PaymentReference(Arc<str>);

/// An account's name as the operator wrote it: 1 to 64 of `A-Z a-z 0-9 _ -`. It stands in URLs and metric labels.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AccountName(Arc<str>);

#[derive(Debug, thiserror::Error)]
pub enum InvalidId {
    #[error("not a payment id: 1 to 64 letters, digits, - or _")]
    Payment,
    #[error("not a reference: 32 lower-case hexadecimal digits")]
    PaymentReference,
    #[error("not an account name: 1 to 64 letters, digits, - or _")]
    Account,
}

fn is_plain_name(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
}

impl PaymentId {
    pub fn parse(text: &str) -> Result<Self, InvalidId> {
        if is_plain_name(text) {
            Ok(Self(text.into()))
        } else {
            Err(InvalidId::Payment)
        }
    }
}

impl PaymentReference {
    pub fn from_random(bits: u128) -> Self {
        Self(format!("{bits:032x}").into())
    }

    pub fn parse(text: &str) -> Result<Self, InvalidId> {
        let valid =
            text.len() == 32 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        if valid {
            Ok(Self(text.into()))
        } else {
            Err(InvalidId::PaymentReference)
        }
    }
}

impl AccountName {
    pub fn parse(text: &str) -> Result<Self, InvalidId> {
        if is_plain_name(text) {
            Ok(Self(text.into()))
        } else {
            Err(InvalidId::Account)
        }
    }
}

macro_rules! shown_as_text {
    ($($name:ident),*) => {$(
        impl $name {
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    )*};
}

shown_as_text!(PaymentId, PaymentReference, AccountName);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_survives_its_text_form() {
        let reference = PaymentReference::from_random(7);
        assert_eq!(
            PaymentReference::parse(reference.as_str()).expect("own form"),
            reference
        );
        assert!(PaymentReference::parse("7").is_err());
        assert!(PaymentReference::parse(&"G".repeat(32)).is_err());
    }

    #[test]
    fn a_payment_id_is_never_a_path_or_a_query() {
        for bad in ["", "../x", "a/b", "a?b", "a b", "ñ", &"a".repeat(65)] {
            assert!(PaymentId::parse(bad).is_err(), "{bad:?}");
        }
        assert!(PaymentId::parse("zfxnocsow6mz").is_ok());
    }
}
