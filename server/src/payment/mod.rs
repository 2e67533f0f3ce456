//! What a payment is, and the one rule by which it changes.
//!
//! Everything here is a pure value: no I/O, no async, no clock, no randomness. Whoever needs the time or a random number
//! passes it in. Start with [`status`]: the max-register is the heart of the product.

mod amount;
mod checks;
mod id;
mod observation;
mod status;
mod timestamp;

pub use amount::{Amount, Currency, InvalidAmount, InvalidCurrency};
pub use checks::{CheckPlan, FIRST_WHILE_AWAITED, retry};
pub use id::{AccountName, InvalidId, PaymentId, Ref};
pub use observation::{
    Claim, Errand, ErrandKind, Notification, Observation, Priority, Source, Verdict,
};
pub use status::{Reason, State, Status};
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
    pub reference: Ref,
    pub account: AccountName,
    pub urls: MerchantUrls,
    pub created_at: Timestamp,
    /// The payment that came of it; `None` until Khipu answered and the answer was recorded.
    pub payment_id: Option<PaymentId>,
}

/// What a notification must agree with before it is believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Terms {
    pub amount: Amount,
    pub currency: Currency,
    /// Absent, null and "" are one thing: `None`.
    pub transaction_id: Option<String>,
}

/// One payment as the ledger keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payment {
    pub id: PaymentId,
    pub account: AccountName,
    /// `None` while all that is known is a notification about it: then Khipu is asked and the payment adopted.
    pub terms: Option<Terms>,
    pub urls: MerchantUrls,
    pub reference: Option<Ref>,
    /// Where the payer can pay or resume.
    pub payment_url: Option<String>,
    pub expires_at: Option<Timestamp>,
    pub created_at: Timestamp,
    pub state: State,
}
