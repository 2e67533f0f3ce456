//! Khipu's answers, and what their values mean.

use std::time::Duration;

use bytes::Bytes;
use chasqui_payment::{
    Amount, Currency, MerchantUrls, PaymentId, PaymentReference, PaymentTerms, Reported,
    StatusReason, Timestamp,
};

use super::fields::{is_late, payment_id};
use crate::json_object::JsonObject;

/// The term of an attempt to pay, which may start just before the payment's expiry.
pub const ATTEMPT_TERM: Duration = Duration::from_secs(3 * 3600);

/// The message in Khipu's error body.
pub(crate) fn error_message(body: &[u8]) -> Option<String> {
    JsonObject::parse(body).ok()?.text("message")
}

/// Khipu's answer to the creation of a payment.
#[derive(Debug, Clone)]
pub struct CreateResponse {
    fields: JsonObject,
    /// As received.
    pub body: Bytes,
    pub payment_id: PaymentId,
    pub payment_url: Option<String>,
}

impl CreateResponse {
    pub fn parse(body: Bytes) -> Result<Self, String> {
        let fields = JsonObject::parse(&body).map_err(|error| error.to_string())?;
        Ok(Self {
            payment_id: payment_id(&fields)?,
            payment_url: fields.text("payment_url"),
            fields,
            body,
        })
    }

    /// The answer with two fields more, for a client that reads no headers.
    pub fn with_fields(&self, more: [(&str, &str); 2]) -> Vec<u8> {
        let mut fields = self.fields.clone();
        for (name, value) in more {
            fields.set(name, value);
        }
        fields.to_json()
    }
}

/// Khipu's answer to a query about a payment.
#[derive(Debug, Clone)]
pub struct PaymentResponse {
    fields: JsonObject,
    pub payment_id: PaymentId,
    pub receiver_id: Option<u64>,
    pub expires_at: Option<Timestamp>,
    pub payment_url: Option<String>,
}

impl PaymentResponse {
    pub fn parse(body: &[u8]) -> Result<Self, String> {
        let fields = JsonObject::parse(body).map_err(|error| error.to_string())?;
        Ok(Self {
            payment_id: payment_id(&fields)?,
            receiver_id: fields.parsed("receiver_id", str::parse),
            expires_at: fields.parsed("expires_date", Timestamp::parse),
            payment_url: fields.text("payment_url"),
            fields,
        })
    }

    pub(super) fn fields(&self) -> &JsonObject {
        &self.fields
    }

    /// What the status means. `None`: a status that is missing or not documented.
    pub fn reported(&self, now: Timestamp) -> Option<Reported> {
        let status = self.fields.text("status")?;
        Some(match status.as_str() {
            "pending" => match self.expires_at {
                Some(expiry) if now >= expiry.plus(ATTEMPT_TERM) => Reported::Expired,
                _ => Reported::Pending,
            },
            "verifying" => Reported::Verifying,
            "deleted" => Reported::Cancelled,
            "done" => self.done(),
            _ => return None,
        })
    }

    /// A value that Khipu's documentation does not describe. The caller reports it.
    pub fn unknown_value(&self) -> Option<UnknownValue> {
        let status = self.fields.text("status")?;
        match status.as_str() {
            "pending" | "verifying" | "deleted" => None,
            "done" => {
                let detail = self.fields.text("status_detail").unwrap_or_default();
                let is_known = detail == "normal" || StatusReason::parse(&detail).is_some();
                (!is_known).then(|| UnknownValue::new("status_detail", &detail))
            }
            other => Some(UnknownValue::new("status", other)),
        }
    }

    /// `done` alone does not decide: a rejected payment is done too.
    fn done(&self) -> Reported {
        let detail = self.fields.text("status_detail").unwrap_or_default();
        let reason = StatusReason::parse(&detail);
        match (detail.as_str(), reason) {
            ("normal", _)
            | (_, Some(StatusReason::MarkedPaidByReceiver | StatusReason::PartiallyRefunded)) => {
                let late = is_late(&self.fields, self.expires_at);
                Reported::Confirmed { late, reason }
            }
            (_, Some(reason @ (StatusReason::RejectedByPayer | StatusReason::MarkedAsAbuse))) => {
                Reported::Rejected(reason)
            }
            (_, Some(reason @ (StatusReason::Reversed | StatusReason::FullyRefunded))) => {
                Reported::Reversed(reason)
            }
            (_, None) => Reported::Verifying,
        }
    }

    pub fn terms(&self) -> Option<PaymentTerms> {
        Some(PaymentTerms {
            amount: self.fields.parsed("amount", Amount::parse)?,
            currency: self.fields.parsed("currency", Currency::parse)?,
            transaction_id: self.fields.text("transaction_id"),
        })
    }

    /// The reference in our own notify_url, if the payment was made here.
    pub fn reference(&self, notify_url_prefix: &str) -> Option<PaymentReference> {
        let url = self.fields.text("notify_url")?;
        PaymentReference::parse(url.strip_prefix(notify_url_prefix)?.strip_prefix("?ref=")?).ok()
    }

    /// The URLs at Khipu: the merchant's own, if the payment was not made here.
    pub fn urls(&self) -> MerchantUrls {
        MerchantUrls {
            return_url: self.fields.text("return_url"),
            cancel_url: self.fields.text("cancel_url"),
            notify_url: self.fields.text("notify_url"),
        }
    }

    /// The answer with the merchant's own URLs instead of ours.
    pub fn with_urls(mut self, urls: &MerchantUrls) -> JsonObject {
        for (field, url) in [
            ("return_url", &urls.return_url),
            ("cancel_url", &urls.cancel_url),
            ("notify_url", &urls.notify_url),
        ] {
            if self.fields.get(field).is_some() || url.is_some() {
                self.fields.set(field, url.as_deref().unwrap_or_default());
            }
        }
        self.fields
    }

    /// The notification that Khipu would have sent, for a confirmation found by asking.
    pub fn as_notification(&self) -> Bytes {
        const ALWAYS: &str = "payment_id receiver_id subject amount discount currency receipt_url bank bank_id payer_name \
             payer_email personal_identifier bank_account_number out_of_date_conciliation transaction_id \
             responsible_user_email payment_method";
        const IF_NOT_EMPTY: &str = "body authorizer_operation_code conciliation_date custom";
        let fields = &self.fields;
        let not_empty = IF_NOT_EMPTY
            .split(' ')
            .filter(|name| fields.text(name).is_some());
        let mut notification = JsonObject::default();
        for name in ALWAYS.split(' ').chain(not_empty) {
            match (fields.get(name), fields.text(name)) {
                // Amounts are strings in a notification, even where they are numbers in an answer.
                (Some(_), Some(text)) if matches!(name, "amount" | "discount") => {
                    notification.set(name, &text);
                }
                (Some(raw), _) => notification.set_raw(name, raw.to_owned()),
                (None, _) => {}
            }
        }
        notification.to_json().into()
    }
}

/// A status or status_detail that Khipu's documentation does not describe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownValue {
    pub field: &'static str,
    /// Escaped, and short enough for a log.
    pub value: String,
}

impl UnknownValue {
    fn new(field: &'static str, value: &str) -> Self {
        let start: String = value.chars().take(40).collect();
        let value = start.escape_debug().to_string();
        Self { field, value }
    }
}
