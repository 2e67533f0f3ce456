//! What the merchant asks for, and which payers that admits.

use jiff::Timestamp;

use crate::money::Amount;
use crate::payment_method::Method;

/// The merchant's request, validated. Unset text is empty, as in Khipu's answers.
#[derive(Clone, Debug)]
pub(crate) struct PaymentRequest {
    pub(crate) amount: Amount,
    pub(crate) currency: String,
    pub(crate) subject: String,
    pub(crate) transaction_id: String,
    pub(crate) custom: String,
    pub(crate) body: String,
    pub(crate) bank_id: String,
    pub(crate) return_url: String,
    pub(crate) cancel_url: String,
    pub(crate) picture_url: String,
    pub(crate) notify_url: String,
    pub(crate) notify_api_version: String,
    pub(crate) expires_at: Option<Timestamp>,
    /// When the money is paid out to the merchant, which ends refunds of collected money.
    pub(crate) confirm_timeout_at: Option<Timestamp>,
    pub(crate) mandatory_method: Option<Method>,
    pub(crate) send_email: bool,
    pub(crate) send_reminders: bool,
    pub(crate) payer_name: String,
    pub(crate) payer_email: String,
    pub(crate) responsible_user_email: String,
    pub(crate) fixed_payer_personal_identifier: String,
}

/// How a payer pays. What is absent is what the order asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Payer {
    pub(crate) method: Option<Method>,
    pub(crate) personal_identifier: Option<String>,
}

/// What the order does not admit of a payer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PayerMismatch {
    Method,
    PersonalIdentifier,
}

impl PaymentRequest {
    pub(crate) fn admits(&self, payer: &Payer) -> Result<(), PayerMismatch> {
        let (fixed, mandatory) = (&self.fixed_payer_personal_identifier, self.mandatory_method);
        if mandatory.is_some() && payer.method.is_some() && payer.method != mandatory {
            return Err(PayerMismatch::Method);
        }
        match &payer.personal_identifier {
            Some(given) if !fixed.is_empty() && significant(given) != significant(fixed) => {
                Err(PayerMismatch::PersonalIdentifier)
            }
            _ => Ok(()),
        }
    }
}

/// `11.000.111-9` and `11000111-9` are the same person.
fn significant(identifier: &str) -> String {
    let characters = identifier.chars().filter(|c| c.is_alphanumeric());
    characters.collect::<String>().to_lowercase()
}
