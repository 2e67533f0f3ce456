//! A payment, and the intent that precedes it.

use crate::amount::{Amount, Currency};
use crate::id::{AccountName, PaymentId, PaymentReference};
use crate::status::PaymentState;
use crate::timestamp::Timestamp;

/// Where the merchant wants payers and notifications sent: the URLs that Chasqui replaces with its own.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MerchantUrls {
    pub return_url: Option<String>,
    pub cancel_url: Option<String>,
    pub notify_url: Option<String>,
}

/// Recorded before Khipu is called, so that a crash between Khipu's answer and the payment's record loses nothing:
/// `reference` is part of the return and notify URLs and leads back here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Intent {
    pub reference: PaymentReference,
    pub account: AccountName,
    pub urls: MerchantUrls,
    pub created_at: Timestamp,
    /// Its payment; `None` until Khipu's answer is recorded.
    pub payment_id: Option<PaymentId>,
}

/// What a notification must agree with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PaymentTerms {
    pub amount: Amount,
    pub currency: Currency,
    /// Absent, null and "" are all `None`.
    pub transaction_id: Option<String>,
}

/// An amount of a currency.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Price {
    pub amount: Amount,
    pub currency: Currency,
}

impl PaymentTerms {
    pub const fn price(&self) -> Price {
        Price {
            amount: self.amount,
            currency: self.currency,
        }
    }
}

/// A payment as the store keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payment {
    pub id: PaymentId,
    pub account: AccountName,
    /// `None` while only a notification is known: Khipu is asked, and the payment adopted.
    pub terms: Option<PaymentTerms>,
    pub urls: MerchantUrls,
    pub reference: Option<PaymentReference>,
    /// Where the payer can pay or resume.
    pub payment_url: Option<String>,
    pub expires_at: Option<Timestamp>,
    pub created_at: Timestamp,
    pub state: PaymentState,
}

impl Payment {
    /// Where the payer can start or try again: only while Khipu accepts the payment, and never after the payer reported
    /// abuse.
    pub fn resume_url(&self, now: Timestamp) -> Option<&str> {
        let url = self.payment_url.as_deref()?;
        let in_time = self.expires_at.is_none_or(|expiry| now < expiry);
        (self.state.may_be_resumed() && in_time && is_safe_to_follow(url)).then_some(url)
    }
}

/// https, or http to this machine, where a simulator of Khipu runs.
fn is_safe_to_follow(url: &str) -> bool {
    let Some(rest) = url.strip_prefix("http://") else {
        return url.starts_with("https://");
    };
    ["127.0.0.1", "localhost", "[::1]"].iter().any(|host| {
        rest.strip_prefix(host).is_some_and(|rest| {
            let port = rest.strip_prefix(':');
            let path = port.map_or(rest, |it| {
                it.trim_start_matches(|c: char| c.is_ascii_digit())
            });
            path.is_empty() || path.starts_with(['/', '?', '#'])
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::{StatusReason, Version};

    fn payment(number: u16, reason: Option<StatusReason>, url: &str) -> Payment {
        let at = Timestamp::from_unix_ms(0);
        Payment {
            id: PaymentId::parse("p1").expect("id"),
            account: AccountName::parse("shop").expect("account"),
            terms: None,
            urls: MerchantUrls::default(),
            reference: None,
            payment_url: Some(url.to_owned()),
            expires_at: Some(Timestamp::from_unix_ms(1000)),
            created_at: at,
            state: PaymentState {
                version: Version::from_number(number).expect("version"),
                reason,
                ..PaymentState::created(at)
            },
        }
    }

    fn can_resume(number: u16, reason: Option<StatusReason>) -> bool {
        let payment = payment(number, reason, "https://khipu.example/pay");
        payment.resume_url(Timestamp::from_unix_ms(999)).is_some()
    }

    #[test]
    fn a_payer_can_resume_while_khipu_accepts_the_payment() {
        assert!(can_resume(11, None));
        assert!(can_resume(13, None));
        assert!(can_resume(27, Some(StatusReason::RejectedByPayer)));
        assert!(!can_resume(17, Some(StatusReason::MarkedAsAbuse)));
        for number in [12, 14, 15, 16, 1000, 1001] {
            assert!(!can_resume(number, None), "{number}");
        }
    }

    #[test]
    fn nothing_is_resumed_after_its_term() {
        let payment = payment(11, None, "https://khipu.example/pay");
        assert_eq!(payment.resume_url(Timestamp::from_unix_ms(1000)), None);
    }

    #[test]
    fn a_payer_is_sent_to_https_or_to_this_machine_only() {
        for (url, is_followed) in [
            ("https://khipu.com/payment/info/x", true),
            ("http://127.0.0.1:9090/x", true),
            ("http://localhost/x", true),
            ("http://[::1]:80/x", true),
            ("http://khipu.com/x", false),
            ("http://127.0.0.1.evil.example/x", false),
            ("http://localhost@evil.example/x", false),
            ("http://localhost:80@evil.example/x", false),
            ("http://localhost80/x", false),
            ("javascript:alert(1)", false),
        ] {
            let payment = payment(11, None, url);
            let resumed = payment.resume_url(Timestamp::from_unix_ms(0));
            assert_eq!(resumed.is_some(), is_followed, "{url}");
        }
    }
}
