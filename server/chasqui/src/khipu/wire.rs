//! Khipu's field names and words, and what they mean here.
//!
//! Facts, and how sure they are, in the words of PROTOCOL.md: real answers differ from Khipu's description (amounts are
//! strings with four decimals, unset text is ""), so reading is liberal and unknown fields pass through untouched.

use std::time::Duration;

use bytes::Bytes;
use url::Url;

use super::fields::Fields;
use crate::payment::{
    Amount, Currency, MerchantUrls, PaymentId, PaymentReference, PaymentTerms, Reported,
    StatusReason, Timestamp, Verdict,
};

/// Each attempt to pay has a term of its own, which may begin just before the payment's expiry.
pub const ATTEMPT_TERM: Duration = Duration::from_secs(3 * 3600);

/// What Khipu takes for a URL, in characters.
const LONGEST_URL: usize = 1024;

/// The only version that is read and delivered here.
const NOTIFY_API_VERSION: &str = "3.0";

/// A field of a request that cannot be accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldError {
    pub field: &'static str,
    pub message: String,
}

/// The message of an error body of Khipu's.
pub fn error_message(body: &[u8]) -> Option<String> {
    Fields::parse(body).ok()?.text("message")
}

/// A merchant's request to create a payment.
#[derive(Debug, Clone)]
pub struct CreateRequest {
    fields: Fields,
    pub terms: PaymentTerms,
    pub urls: MerchantUrls,
    pub expires_at: Option<Timestamp>,
}

impl CreateRequest {
    /// Checks only what Chasqui itself needs; the rest is Khipu's to check, with its own words.
    pub fn parse(fields: Fields) -> Result<Self, Vec<FieldError>> {
        let mut errors = Vec::new();
        let amount = read(
            &fields,
            "amount",
            |text| Amount::parse(text).map_err(|e| e.to_string()),
            &mut errors,
        );
        let currency = read(
            &fields,
            "currency",
            |text| Currency::parse(text).map_err(|e| e.to_string()),
            &mut errors,
        );
        // Not needed here, but whoever lacks it is told together with what else is missing.
        if fields.get("subject").is_none_or(|raw| raw.get() == "null") {
            errors.push(FieldError {
                field: "subject",
                message: "is required".to_owned(),
            });
        }
        let expires_at = match fields
            .text("expires_date")
            .map(|text| Timestamp::parse(&text))
        {
            Some(Err(error)) => {
                errors.push(FieldError {
                    field: "expires_date",
                    message: error.to_string(),
                });
                None
            }
            Some(Ok(at)) => Some(at),
            None => None,
        };
        let urls = MerchantUrls {
            return_url: read_url(&fields, "return_url", &mut errors),
            cancel_url: read_url(&fields, "cancel_url", &mut errors),
            notify_url: read_url(&fields, "notify_url", &mut errors),
        };
        if fields
            .text("notify_api_version")
            .is_some_and(|version| version != NOTIFY_API_VERSION)
        {
            errors.push(FieldError {
                field: "notify_api_version",
                message: "must be 3.0, or left out: the gateway delivers notifications of that version only".to_owned(),
            });
        }
        let (Some(amount), Some(currency), true) = (amount, currency, errors.is_empty()) else {
            return Err(errors);
        };
        let terms = PaymentTerms {
            amount,
            currency,
            transaction_id: fields.text("transaction_id"),
        };
        Ok(Self {
            fields,
            terms,
            urls,
            expires_at,
        })
    }

    /// The request as Khipu is to have it: notified here, and, with a hop, the payer sent back through here.
    pub fn for_khipu(mut self, notify_url: &str, hop: Option<&ReturnHop>) -> Vec<u8> {
        self.fields.set("notify_url", notify_url);
        self.fields.set("notify_api_version", NOTIFY_API_VERSION);
        if let Some(hop) = hop {
            self.fields.set("return_url", &hop.return_url);
            self.fields.set("cancel_url", &hop.cancel_url);
        }
        self.fields.to_json()
    }
}

/// Where the payer comes back to: our own URLs.
#[derive(Debug, Clone)]
pub struct ReturnHop {
    pub return_url: String,
    pub cancel_url: String,
}

fn read<T>(
    fields: &Fields,
    field: &'static str,
    parse: impl Fn(&str) -> Result<T, String>,
    errors: &mut Vec<FieldError>,
) -> Option<T> {
    let result = match fields.text(field) {
        Some(text) => parse(&text),
        None => Err("is required".to_owned()),
    };
    result
        .map_err(|message| errors.push(FieldError { field, message }))
        .ok()
}

/// A URL of the merchant's. Khipu gets ours in its place, so what is wrong with it has to be told here.
fn read_url(fields: &Fields, field: &'static str, errors: &mut Vec<FieldError>) -> Option<String> {
    let raw = fields.get(field).filter(|raw| raw.get() != "null")?;
    let text = match serde_json::from_str::<String>(raw.get()) {
        Ok(text) if text.is_empty() => return None,
        Ok(text) => text,
        Err(_) => {
            let message = "must be a text".to_owned();
            errors.push(FieldError { field, message });
            return None;
        }
    };
    let message = match Url::parse(&text) {
        _ if text.chars().count() > LONGEST_URL => {
            format!("must have at most {LONGEST_URL} characters")
        }
        Ok(url) if matches!(url.scheme(), "http" | "https") => return Some(text),
        _ => "must be an http or https URL".to_owned(),
    };
    errors.push(FieldError { field, message });
    None
}

/// Khipu's answer to a creation.
#[derive(Debug, Clone)]
pub struct CreateAnswer {
    pub fields: Fields,
    pub payment_id: PaymentId,
    pub payment_url: Option<String>,
}

impl CreateAnswer {
    pub fn parse(body: &[u8]) -> Result<Self, String> {
        let fields = Fields::parse(body).map_err(|error| error.to_string())?;
        let payment_id = payment_id(&fields)?;
        let payment_url = fields.text("payment_url");
        Ok(Self {
            fields,
            payment_id,
            payment_url,
        })
    }
}

fn payment_id(fields: &Fields) -> Result<PaymentId, String> {
    let text = fields.text("payment_id").ok_or("it has no payment_id")?;
    PaymentId::parse(&text).map_err(|error| error.to_string())
}

/// Khipu's answer to "what of this payment?".
#[derive(Debug, Clone)]
pub struct PaymentAnswer {
    fields: Fields,
    pub payment_id: PaymentId,
    pub receiver_id: Option<u64>,
    pub expires_at: Option<Timestamp>,
    pub payment_url: Option<String>,
}

impl PaymentAnswer {
    pub fn parse(body: &[u8]) -> Result<Self, String> {
        let fields = Fields::parse(body).map_err(|error| error.to_string())?;
        Ok(Self {
            payment_id: payment_id(&fields)?,
            receiver_id: fields
                .text("receiver_id")
                .and_then(|text| text.parse().ok()),
            expires_at: fields
                .text("expires_date")
                .and_then(|text| Timestamp::parse(&text).ok()),
            payment_url: fields.text("payment_url"),
            fields,
        })
    }

    /// What Khipu's words mean. `None`: a status that nobody described, which says nothing.
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

    /// What of the answer Khipu's documentation does not describe. The caller reports it.
    pub fn unknown_word(&self) -> Option<UnknownWord> {
        let status = self.fields.text("status")?;
        match status.as_str() {
            "pending" | "verifying" | "deleted" => None,
            "done" => {
                let detail = self.fields.text("status_detail").unwrap_or_default();
                let is_known = detail == "normal" || StatusReason::parse(&detail).is_some();
                (!is_known).then(|| UnknownWord::new("status_detail", &detail))
            }
            other => Some(UnknownWord::new("status", other)),
        }
    }

    /// `done` alone says nothing: a rejected payment is done too.
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
            amount: Amount::parse(&self.fields.text("amount")?).ok()?,
            currency: Currency::parse(&self.fields.text("currency")?).ok()?,
            transaction_id: self.fields.text("transaction_id"),
        })
    }

    /// The reference that we put into the URLs of a payment that was made here.
    pub fn reference(&self, notify_url_prefix: &str) -> Option<PaymentReference> {
        let url = self.fields.text("notify_url")?;
        PaymentReference::parse(url.strip_prefix(notify_url_prefix)?.strip_prefix("?ref=")?).ok()
    }

    /// The URLs as Khipu holds them: the merchant's own, where the payment was not made here.
    pub fn urls(&self) -> MerchantUrls {
        MerchantUrls {
            return_url: self.fields.text("return_url"),
            cancel_url: self.fields.text("cancel_url"),
            notify_url: self.fields.text("notify_url"),
        }
    }

    /// The answer with the merchant's own URLs in the places of ours.
    pub fn with_urls(mut self, urls: &MerchantUrls) -> Fields {
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

    /// The notification that Khipu would have sent, for a confirmation that was found by asking.
    pub fn as_notification(&self) -> Bytes {
        const ALWAYS: [&str; 17] = [
            "payment_id",
            "receiver_id",
            "subject",
            "amount",
            "discount",
            "currency",
            "receipt_url",
            "bank",
            "bank_id",
            "payer_name",
            "payer_email",
            "personal_identifier",
            "bank_account_number",
            "out_of_date_conciliation",
            "transaction_id",
            "responsible_user_email",
            "payment_method",
        ];
        const IF_ANY: [&str; 4] = [
            "body",
            "authorizer_operation_code",
            "conciliation_date",
            "custom",
        ];
        let mut notification = Fields::default();
        for name in ALWAYS {
            match self.fields.get(name) {
                // Amounts are strings in a notification, whatever they are in an answer.
                Some(_) if matches!(name, "amount" | "discount") => {
                    notification.set(name, &self.fields.text(name).unwrap_or_default());
                }
                Some(raw) => notification.set_raw(name, raw.to_owned()),
                None => {}
            }
        }
        for name in IF_ANY {
            if self.fields.text(name).is_some()
                && let Some(raw) = self.fields.get(name)
            {
                notification.set_raw(name, raw.to_owned());
            }
        }
        notification.to_json().into()
    }
}

/// A status or status_detail that Khipu's documentation does not describe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownWord {
    pub field: &'static str,
    /// Escaped, and short enough for a log.
    pub word: String,
}

impl UnknownWord {
    fn new(field: &'static str, word: &str) -> Self {
        let start: String = word.chars().take(40).collect();
        let word = start.escape_debug().to_string();
        Self { field, word }
    }
}

fn is_late(fields: &Fields, expires_at: Option<Timestamp>) -> bool {
    let conciliated = fields
        .text("conciliation_date")
        .and_then(|text| Timestamp::parse(&text).ok());
    fields.text("out_of_date_conciliation").as_deref() == Some("true")
        || matches!((conciliated, expires_at), (Some(at), Some(expiry)) if at > expiry)
}

/// What to tell whoever sends a notification of the older kind.
pub const FORM_NOTIFICATION: &str =
    "this is a notification 1.3; create payments with notify_api_version 3.0, as API 3.0 requires";

/// Whether a body is a notification 1.3: a form, where 3.0 is JSON.
pub fn is_form_notification(body: &[u8]) -> bool {
    body.starts_with(b"notification_token=") || body.starts_with(b"api_version=")
}

/// The body of a notification 3.0. It has no status and no event type: an authentic one says "conciliated".
#[derive(Debug)]
pub struct NotificationBody {
    fields: Fields,
    pub payment_id: PaymentId,
}

impl NotificationBody {
    pub fn parse(body: &[u8]) -> Result<Self, String> {
        let fields = Fields::parse(body).map_err(|error| {
            if is_form_notification(body) {
                FORM_NOTIFICATION.to_owned()
            } else {
                error.to_string()
            }
        })?;
        let payment_id = payment_id(&fields)?;
        Ok(Self { fields, payment_id })
    }

    /// Whether it speaks of the payment that was made, for the same money.
    pub fn verdict(&self, terms: &PaymentTerms, receiver_id: u64) -> Verdict {
        match (
            self.disagreement(terms, receiver_id),
            self.fields.text("conciliation_date"),
        ) {
            (Some(_), _) => Verdict::Mismatch,
            (None, None) => Verdict::Unconciliated,
            (None, Some(_)) => Verdict::Agrees,
        }
    }

    /// The first field that differs from what was agreed. Amount, currency and receiver must be there. White space around a
    /// transaction_id does not matter, as it does not to Khipu's own plugins: Khipu may trim it.
    pub fn disagreement(&self, terms: &PaymentTerms, receiver_id: u64) -> Option<&'static str> {
        let amount = self
            .fields
            .text("amount")
            .and_then(|text| Amount::parse(&text).ok());
        let currency = self
            .fields
            .text("currency")
            .and_then(|text| Currency::parse(&text).ok());
        let receiver = self
            .fields
            .text("receiver_id")
            .and_then(|text| text.trim().parse::<u64>().ok());
        let transaction_id = self.fields.text("transaction_id").unwrap_or_default();
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

    /// What an agreeing notification says.
    pub fn reported(&self, expires_at: Option<Timestamp>) -> Reported {
        Reported::Confirmed {
            late: is_late(&self.fields, expires_at),
            reason: None,
        }
    }
}

#[cfg(test)]
mod tests;
