//! The body of a notification.

use chasqui_payment::{Amount, Currency, PaymentId, PaymentTerms, Reported, Timestamp, Verdict};

use super::fields::{is_late, payment_id};
use crate::json_object::JsonObject;

/// The refusal of a notification 1.3.
pub const FORM_NOTIFICATION: &str =
    "this is a notification 1.3; create payments with notify_api_version 3.0, as API 3.0 requires";

/// Whether a body is a notification 1.3, which is a form where 3.0 is JSON.
pub fn is_form_notification(body: &[u8]) -> bool {
    body.starts_with(b"notification_token=") || body.starts_with(b"api_version=")
}

/// The body of a notification 3.0. It has no status and no event type: it means that the payment is conciliated.
#[derive(Debug)]
pub struct NotificationBody {
    fields: JsonObject,
    pub payment_id: PaymentId,
}

impl NotificationBody {
    pub fn parse(body: &[u8]) -> Result<Self, String> {
        let fields = JsonObject::parse(body).map_err(|error| {
            if is_form_notification(body) {
                FORM_NOTIFICATION.to_owned()
            } else {
                error.to_string()
            }
        })?;
        let payment_id = payment_id(&fields)?;
        Ok(Self { fields, payment_id })
    }

    /// Whether it agrees with the payment's terms and receiver.
    pub fn verdict(&self, terms: &PaymentTerms, receiver_id: u64) -> Verdict {
        if self.disagreement(terms, receiver_id).is_some() {
            Verdict::Mismatch
        } else if self.fields.text("conciliation_date").is_none() {
            Verdict::Unconciliated
        } else {
            Verdict::Agrees
        }
    }

    /// The first field that differs. Amount, currency and receiver are required. White space around a transaction_id is
    /// ignored, as in Khipu's own plugins: Khipu may trim it.
    pub fn disagreement(&self, terms: &PaymentTerms, receiver_id: u64) -> Option<&'static str> {
        let fields = &self.fields;
        let amount = fields.parsed("amount", Amount::parse);
        let currency = fields.parsed("currency", Currency::parse);
        let receiver = fields.parsed("receiver_id", |text| text.trim().parse());
        let transaction_id = fields.text("transaction_id").unwrap_or_default();
        let agreed_transaction_id = terms.transaction_id.as_deref().unwrap_or_default();
        if !amount.is_some_and(|amount| amount.agrees_with(terms.amount, terms.currency)) {
            Some("amount")
        } else if currency != Some(terms.currency) {
            Some("currency")
        } else if receiver != Some(receiver_id) {
            Some("receiver_id")
        } else if transaction_id.trim() != agreed_transaction_id.trim() {
            Some("transaction_id")
        } else {
            None
        }
    }

    /// What a notification that agrees reports.
    pub fn reported(&self, expires_at: Option<Timestamp>) -> Reported {
        Reported::Confirmed {
            late: is_late(&self.fields, expires_at),
            reason: None,
        }
    }
}
