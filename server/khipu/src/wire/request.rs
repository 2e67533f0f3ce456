//! A merchant's request to create a payment, and the request that Khipu gets in its place.

use std::fmt::Display;

use chasqui_payment::{Amount, Currency, MerchantUrls, PaymentTerms, Timestamp};
use url::Url;

use crate::json_object::JsonObject;

/// The longest URL that Khipu accepts, in characters.
const LONGEST_URL: usize = 1024;

/// The only version that is supported.
const NOTIFY_API_VERSION: &str = "3.0";

/// A field of a request that cannot be accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldError {
    pub field: &'static str,
    pub message: String,
}

/// A merchant's request to create a payment.
#[derive(Debug, Clone)]
pub struct CreateRequest {
    fields: JsonObject,
    pub terms: PaymentTerms,
    pub urls: MerchantUrls,
    pub expires_at: Option<Timestamp>,
}

impl CreateRequest {
    /// Checks only what Chasqui itself needs; Khipu checks the rest.
    pub fn parse(fields: JsonObject) -> Result<Self, Vec<FieldError>> {
        let mut reader = FieldReader {
            fields: &fields,
            errors: Vec::new(),
        };
        let amount = reader.required("amount", Amount::parse);
        let currency = reader.required("currency", Currency::parse);
        // Not needed here, but reported together with the other missing fields.
        if fields.get("subject").is_none_or(|raw| raw.get() == "null") {
            reader.refuse("subject", "is required");
        }
        let expires_at = reader.optional("expires_date", Timestamp::parse);
        let urls = MerchantUrls {
            return_url: reader.url("return_url"),
            cancel_url: reader.url("cancel_url"),
            notify_url: reader.url("notify_url"),
        };
        let version = fields.text("notify_api_version");
        if version.is_some_and(|version| version != NOTIFY_API_VERSION) {
            let message =
                "must be 3.0, or left out: the gateway delivers notifications of that version only";
            reader.refuse("notify_api_version", message);
        }
        let errors = reader.errors;
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

    fn optional<T, E: Display>(
        &mut self,
        field: &'static str,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        parse(&self.fields.text(field)?)
            .map_err(|error| self.refuse(field, error))
            .ok()
    }

    fn required<T, E: Display>(
        &mut self,
        field: &'static str,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        if self.fields.text(field).is_none() {
            self.refuse(field, "is required");
        }
        self.optional(field, parse)
    }

    /// A merchant's URL. It must be checked here, because Khipu gets ours in its place.
    fn url(&mut self, field: &'static str) -> Option<String> {
        let raw = self.fields.get(field).filter(|raw| raw.get() != "null")?;
        let Ok(text) = serde_json::from_str::<String>(raw.get()) else {
            self.refuse(field, "must be a text");
            return None;
        };
        if text.is_empty() {
            return None;
        }
        if text.chars().count() > LONGEST_URL {
            let message = format!("must have at most {LONGEST_URL} characters");
            self.refuse(field, message);
            return None;
        }
        match Url::parse(&text) {
            Ok(url) if matches!(url.scheme(), "http" | "https") => Some(text),
            _ => {
                self.refuse(field, "must be an http or https URL");
                None
            }
        }
    }
}
