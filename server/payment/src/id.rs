//! Names of things: a payment (Khipu's id), a reference (ours), an account (the operator's).

use std::fmt;
use std::sync::Arc;

#[derive(Debug, thiserror::Error)]
pub enum InvalidId {
    #[error("not a payment id: 1 to 64 letters, digits, - or _")]
    Payment,
    #[error("not a reference: 32 lower-case hexadecimal digits")]
    Reference,
    #[error("not an account name: 1 to 64 letters, digits, - or _")]
    Account,
}

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident, $is_valid:ident, $invalid:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            pub fn parse(text: &str) -> Result<Self, InvalidId> {
                match $is_valid(text) {
                    true => Ok(Self(text.into())),
                    false => Err(InvalidId::$invalid),
                }
            }

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

ids! {
    /// Khipu's id of a payment. Khipu makes 12 lower-case alphanumerics; 1 to 64 of `A-Z a-z 0-9 _ -` are accepted, so that
    /// a longer id still passes and nothing that needs escaping does.
    PaymentId, is_plain_name, Payment;

    /// 128 random bits made before Khipu is called, as 32 lower-case hexadecimal digits. Only Khipu and the payer who was
    /// sent to pay know it.
    PaymentReference, is_hexadecimal, Reference;

    /// An account's name, chosen by the operator: 1 to 64 of `A-Z a-z 0-9 _ -`. It appears in URLs and metric labels.
    AccountName, is_plain_name, Account;
}

impl PaymentReference {
    pub fn from_random(bits: u128) -> Self {
        Self(format!("{bits:032x}").into())
    }
}

fn is_plain_name(text: &str) -> bool {
    let is_plain = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
    (1..=64).contains(&text.len()) && text.bytes().all(is_plain)
}

fn is_hexadecimal(text: &str) -> bool {
    text.len() == 32 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

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
