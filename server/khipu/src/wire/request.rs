//! A merchant's request to create a payment: what is read of it, and what is sent to Khipu in its place.

use chasqui_payment::{Amount, Currency, MerchantUrls, PaymentTerms, Timestamp};
use url::Url;

use crate::json_object::JsonObject;

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

/// A merchant's request to create a payment.
#[derive(Debug, Clone)]
pub struct CreateRequest {
    fields: JsonObject,
    pub terms: PaymentTerms,
    pub urls: MerchantUrls,
    pub expires_at: Option<Timestamp>,
}

impl CreateRequest {
    /// Checks only what Chasqui itself needs; the rest is Khipu's to check, with its own words.
    pub fn parse(fields: JsonObject) -> Result<Self, Vec<FieldError>> {
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
    pub fn for_khipu(mut self, notify_url: &str, hop: Option<&ReturnUrls>) -> Vec<u8> {
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
pub struct ReturnUrls {
    pub return_url: String,
    pub cancel_url: String,
}

fn read<T>(
    fields: &JsonObject,
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
fn read_url(
    fields: &JsonObject,
    field: &'static str,
    errors: &mut Vec<FieldError>,
) -> Option<String> {
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
