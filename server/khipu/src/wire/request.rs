//! A merchant's request to create a payment, and the request that Khipu gets in its place.

use std::fmt::Display;

use chasqui_payment::{Amount, Currency, MerchantUrls, PaymentTerms, Timestamp};
use url::Url;

use crate::json_object::JsonObject;

/// The longest URL that Khipu accepts, in characters.
const LONGEST_URL: usize = 1024;

/// The only version that is supported.
const NOTIFY_API_VERSION: &str = "3.0";
const WRONG_NOTIFY_API_VERSION: &str =
    "debe ser 3.0, o no venir: las notificaciones se entregan solo en esa versión";

/// A field of a request that cannot be accepted. The message is in Spanish, as all of Khipu's are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldError {
    pub field: &'static str,
    pub message: String,
}

/// A merchant's request to create a payment.
#[derive(Debug, Clone)]
pub struct CreateRequest {
    fields: JsonObject,
    /// `None`: the amount or the currency has a form that is not known here. Khipu judges it, and its answer to a query has
    /// what was agreed.
    pub terms: Option<PaymentTerms>,
    pub urls: MerchantUrls,
    /// `None`: absent, or of a form that is not known here.
    pub expires_at: Option<Timestamp>,
}

impl CreateRequest {
    /// Checks only the fields that Khipu does not get as the merchant sent them; Khipu checks the rest. Where one of them is
    /// refused, the errors include what is missing, so that the merchant sees all at once.
    ///
    /// `notify_url_problem`: why a delivery may not go to a URL.
    pub fn parse(
        fields: JsonObject,
        notify_url_problem: impl FnOnce(&Url) -> Option<&'static str>,
    ) -> Result<Self, Vec<FieldError>> {
        let mut reader = FieldReader {
            fields: &fields,
            errors: Vec::new(),
        };
        let (return_url, cancel_url) = (reader.url("return_url"), reader.url("cancel_url"));
        let notify_url = reader.url("notify_url");
        let problem = notify_url
            .as_ref()
            .and_then(|(_, url)| notify_url_problem(url));
        if let Some(problem) = problem {
            reader.refuse("notify_url", problem);
        }
        let urls = MerchantUrls {
            return_url: return_url.map(|(text, _)| text),
            cancel_url: cancel_url.map(|(text, _)| text),
            notify_url: notify_url.map(|(text, _)| text),
        };
        let version = fields.get("notify_api_version").map(|raw| raw.get());
        let is_absent = matches!(version, None | Some("null" | "\"\""));
        let text = fields.text("notify_api_version");
        if !is_absent && text.as_deref() != Some(NOTIFY_API_VERSION) {
            reader.refuse("notify_api_version", WRONG_NOTIFY_API_VERSION);
        }
        if !reader.errors.is_empty() {
            reader.refuse_missing();
            return Err(reader.errors);
        }
        let amount = fields.parsed("amount", Amount::parse);
        let currency = fields.parsed("currency", Currency::parse);
        let terms = amount.zip(currency).map(|(amount, currency)| PaymentTerms {
            amount,
            currency,
            transaction_id: fields.text("transaction_id"),
        });
        let expires_at = fields.parsed("expires_date", Timestamp::parse);
        Ok(Self {
            fields,
            terms,
            urls,
            expires_at,
        })
    }

    /// The request for Khipu: notifications come here and, with `return_urls`, the payer comes back through here.
    pub fn for_khipu(mut self, notify_url: &str, return_urls: Option<&ReturnUrls>) -> Vec<u8> {
        self.fields.set("notify_url", notify_url);
        self.fields.set("notify_api_version", NOTIFY_API_VERSION);
        if let Some(urls) = return_urls {
            self.fields.set("return_url", &urls.return_url);
            self.fields.set("cancel_url", &urls.cancel_url);
        }
        self.fields.to_json()
    }
}

/// Our own URLs, to which the payer comes back.
#[derive(Debug, Clone)]
pub struct ReturnUrls {
    pub return_url: String,
    pub cancel_url: String,
}

/// Reads fields and collects every error.
struct FieldReader<'f> {
    fields: &'f JsonObject,
    errors: Vec<FieldError>,
}

impl FieldReader<'_> {
    fn refuse(&mut self, field: &'static str, message: impl Display) {
        let message = message.to_string();
        self.errors.push(FieldError { field, message });
    }

    /// The fields that Khipu requires, always or beside others.
    fn refuse_missing(&mut self) {
        let sends_email = self.fields.text("send_email").as_deref() == Some("true");
        let has_contract = self.fields.text("contract_url").is_some();
        for (field, is_required) in [
            ("amount", true),
            ("currency", true),
            ("subject", true),
            ("payer_name", sends_email),
            ("payer_email", sends_email),
            ("fixed_payer_personal_identifier", has_contract),
        ] {
            if is_required && self.fields.text(field).is_none() {
                self.refuse(field, "es obligatorio");
            }
        }
    }

    /// A merchant's URL, as text and parsed. It must be checked here, because Khipu gets ours in its place.
    fn url(&mut self, field: &'static str) -> Option<(String, Url)> {
        let raw = self.fields.get(field).filter(|raw| raw.get() != "null")?;
        let Ok(text) = serde_json::from_str::<String>(raw.get()) else {
            self.refuse(field, "debe ser texto");
            return None;
        };
        if text.is_empty() {
            return None;
        }
        if text.chars().count() > LONGEST_URL {
            let message = format!("debe tener a lo más {LONGEST_URL} caracteres");
            self.refuse(field, message);
            return None;
        }
        match Url::parse(&text) {
            Ok(url) if matches!(url.scheme(), "http" | "https") => Some((text, url)),
            _ => {
                self.refuse(field, "debe ser una URL http o https");
                None
            }
        }
    }
}

#[cfg(test)]
mod tests;
