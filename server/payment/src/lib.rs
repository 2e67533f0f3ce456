//! What a payment is, and the rules by which it changes.
//!
//! Everything here is a pure value: no I/O, no async, no clock, no randomness. Whoever needs the time or a random number
//! passes it in. Start with [`status`]: the rules by which a payment changes are the heart of the product.

mod amount;
mod checks;
mod id;
mod observation;
mod secret;
mod status;
mod timestamp;

pub use amount::{Amount, Currency, InvalidAmount, InvalidCurrency};
pub use checks::{CHECKED_AFTER_EXPIRY, CheckPlan, USUAL_TERM, retry};
pub use id::{AccountName, InvalidId, PaymentId, PaymentReference};
pub use observation::{JobKind, NewJob, Notification, Observation, Priority, Source, Verdict};
pub use secret::Secret;
pub use status::{Kind, PaymentState, Reported, Status, StatusReason, StatusUpdate, Version};
pub use timestamp::{InvalidTimestamp, Timestamp};

/// Where the merchant wants people and notifications sent: the URLs that Chasqui replaced by its own.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MerchantUrls {
    pub return_url: Option<String>,
    pub cancel_url: Option<String>,
    pub notify_url: Option<String>,
}

/// Written before Khipu is called, so that a crash between Khipu's answer and our own record loses nothing:
/// `reference` travels in the return and notify URLs and leads back here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Intent {
    pub reference: PaymentReference,
    pub account: AccountName,
    pub urls: MerchantUrls,
    pub created_at: Timestamp,
    /// The payment that came of it; `None` until Khipu answered and the answer was recorded.
    pub payment_id: Option<PaymentId>,
}

/// What a notification must agree with before it is believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PaymentTerms {
    pub amount: Amount,
    pub currency: Currency,
    /// Absent, null and "" are one thing: `None`.
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

/// One payment as the store keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payment {
    pub id: PaymentId,
    pub account: AccountName,
    /// `None` while all that is known is a notification about it: then Khipu is asked and the payment adopted.
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
    /// Where the payer can begin or try again: only while Khipu would take the payment, and never after the payer called
    /// it abuse.
    pub fn resume_url(&self, now: Timestamp) -> Option<&str> {
        let url = self.payment_url.as_deref()?;
        let in_time = self.expires_at.is_none_or(|expiry| now < expiry);
        (self.state.may_be_resumed() && in_time && is_safe_to_follow(url)).then_some(url)
    }
}

/// https; or http to this machine, where a simulator of Khipu runs.
fn is_safe_to_follow(url: &str) -> bool {
    let Some(rest) = url.strip_prefix("http://") else {
        return url.starts_with("https://");
    };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    ["127.0.0.1", "localhost", "[::1]"].iter().any(|host| {
        authority
            .strip_prefix(host)
            .is_some_and(|port| port.is_empty() || port.starts_with(':'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

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
    fn a_payer_can_resume_where_khipu_would_take_the_payment() {
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
            ("javascript:alert(1)", false),
        ] {
            let payment = payment(11, None, url);
            let resumed = payment.resume_url(Timestamp::from_unix_ms(0));
            assert_eq!(resumed.is_some(), is_followed, "{url}");
        }
    }
}
