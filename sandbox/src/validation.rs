//! Khipu's rules for requests. Reports every field that breaks one, not only the first. Unknown fields pass:
//! it is not known whether Khipu refuses them.

use jiff::Timestamp;
use serde_json::{Map, Value};

use crate::api_error::{ApiError, FieldError};
use crate::money::{Amount, CURRENCIES};
use crate::payment::PaymentRequest;
use crate::payment_method::Method;

const TEXT: usize = 255;
const BODY: usize = 5120;
const URL: usize = 1024;
const BANK_ID: usize = 5;
const CUSTOM: usize = 1_073_741_824;
const INTEGRATOR_FEE: usize = 16;

/// The most that the account of an individual charges in one payment.
const INDIVIDUAL_MAX_CLP: i64 = 50_000;

/// `POST /v3/payments`, to the account of an individual or of a company.
pub(crate) fn order(body: &[u8], is_individual: bool) -> Result<PaymentRequest, ApiError> {
    let mut form = Form::read(body)?;
    let currency = form.currency();
    let send_email = form.flag("send_email");
    let payer_name = form.text("payer_name", 0..=TEXT);
    let payer_email = form.email("payer_email");
    if send_email {
        form.needed_when("payer_name", &payer_name, "send_email es true");
        form.needed_when("payer_email", &payer_email, "send_email es true");
    }
    let contract_url = form.url("contract_url");
    let fixed_payer = form.text("fixed_payer_personal_identifier", 0..=TEXT);
    if !contract_url.is_empty() {
        form.needed_when(
            "fixed_payer_personal_identifier",
            &fixed_payer,
            "se indica contract_url",
        );
    }
    form.text("integrator_fee", 0..=INTEGRATOR_FEE);
    form.text("collect_account_uuid", 0..=TEXT);
    form.text("psp_client_merchant_name", 3..=TEXT);
    let amount = form.charge(&currency);
    if is_individual && currency == "CLP" && amount > Amount::whole(INDIVIDUAL_MAX_CLP) {
        form.fail(
            "amount",
            format!(
                "no puede exceder {INDIVIDUAL_MAX_CLP} CLP en la cuenta de una persona natural"
            ),
        );
    }
    let order = PaymentRequest {
        amount,
        subject: form.required_text("subject", 1..=TEXT),
        transaction_id: form.text("transaction_id", 0..=TEXT),
        custom: form.text("custom", 0..=CUSTOM),
        body: form.text("body", 0..=BODY),
        bank_id: form.text("bank_id", 0..=BANK_ID),
        return_url: form.url("return_url"),
        cancel_url: form.url("cancel_url"),
        picture_url: form.url("picture_url"),
        notify_url: form.url("notify_url"),
        notify_api_version: form.text("notify_api_version", 0..=TEXT),
        expires_at: form.date("expires_date"),
        confirm_timeout_at: form.date("confirm_timeout_date"),
        mandatory_method: form.method("mandatory_payment_method"),
        send_reminders: form.flag("send_reminders"),
        responsible_user_email: form.email("responsible_user_email"),
        fixed_payer_personal_identifier: fixed_payer,
        currency,
        send_email,
        payer_name,
        payer_email,
    };
    form.finish(order)
}

/// `POST /v3/payments/{id}/refunds`: an empty body or no amount means all of it.
pub(crate) fn payment_refund(body: &[u8]) -> Result<Option<Amount>, ApiError> {
    if body.trim_ascii().is_empty() {
        return Ok(None);
    }
    let mut form = Form::read(body)?;
    let amount = form.amount();
    form.finish(amount)
}

/// The request of `POST /v3/refunds`; `None` is a full refund.
pub(crate) struct RefundRequest {
    pub(crate) payment_id: String,
    pub(crate) amount: Option<Amount>,
}

/// `POST /v3/refunds`
pub(crate) fn refund(body: &[u8]) -> Result<RefundRequest, ApiError> {
    let mut form = Form::read(body)?;
    let payment_id = form.required_text("payment_id", 1..=TEXT);
    let kind = form.required_text("type", 1..=TEXT);
    let amount = form.amount();
    match kind.as_str() {
        "partial" if !form.has("amount") => {
            form.fail("amount", "es obligatorio cuando type es partial");
        }
        "full" | "partial" | "" => {}
        _ => form.fail("type", "debe ser full o partial"),
    }
    let amount = amount.filter(|_| kind == "partial");
    form.finish(RefundRequest { payment_id, amount })
}

/// `POST /v3/receivers`
pub(crate) fn receiver(body: &[u8]) -> Result<(), ApiError> {
    let mut form = Form::read(body)?;
    for field in [
        "admin_first_name",
        "admin_last_name",
        "business_category",
        "business_name",
        "contact_full_name",
        "contact_job_title",
    ] {
        form.required_text(field, 1..=TEXT);
    }
    form.required_text("country_code", 1..=2);
    form.required_text("business_identifier", 8..=TEXT);
    for field in ["business_phone", "contact_phone"] {
        form.required_text(field, 5..=20);
    }
    for field in [
        "business_address_line_1",
        "business_address_line_2",
        "business_address_line_3",
    ] {
        form.required_text(field, 4..=300);
    }
    for field in ["admin_email", "contact_email"] {
        if form.has(field) {
            form.email(field);
        } else {
            form.fail(field, "es obligatorio");
        }
    }
    form.text("bank_account_bank_id", 0..=BANK_ID);
    form.text("bank_account_type", 0..=TEXT);
    form.text("bank_account_identifier", 0..=50);
    form.text("bank_account_name", 0..=TEXT);
    form.text("bank_account_number", 0..=TEXT);
    form.url("notify_url");
    form.url("rendition_url");
    form.finish(())
}

/// The parameters of `GET /v3/predict`.
pub(crate) struct PredictRequest {
    pub(crate) payer_email: String,
    pub(crate) amount: Amount,
}

/// `GET /v3/predict`
pub(crate) fn predict(query: &str) -> Result<PredictRequest, ApiError> {
    let fields = url::form_urlencoded::parse(query.as_bytes())
        .map(|(field, value)| (field.into_owned(), Value::String(value.into_owned())))
        .collect();
    let mut form = Form {
        fields,
        errors: Vec::new(),
    };
    form.required_text("bank_id", 1..=TEXT);
    form.currency();
    if !form.has("payer_email") {
        form.fail("payer_email", "es obligatorio");
    }
    let request = PredictRequest {
        payer_email: form.email("payer_email"),
        amount: form.required_amount(),
    };
    form.finish(request)
}

/// Reads fields one by one and collects their errors. A field that is absent, null or invalid reads as
/// empty, so that the rest can be checked too.
struct Form {
    fields: Map<String, Value>,
    errors: Vec<FieldError>,
}

type Lengths = std::ops::RangeInclusive<usize>;

impl Form {
    fn read(body: &[u8]) -> Result<Self, ApiError> {
        match serde_json::from_slice(body) {
            Ok(Value::Object(fields)) => Ok(Self {
                fields,
                errors: Vec::new(),
            }),
            Ok(_) => Err(ApiError::bad_request("El cuerpo debe ser un objeto JSON")),
            Err(_) => Err(ApiError::bad_request("El cuerpo no es JSON válido")),
        }
    }

    fn finish<T>(self, value: T) -> Result<T, ApiError> {
        if self.errors.is_empty() {
            Ok(value)
        } else {
            Err(ApiError::validation(self.errors))
        }
    }

    fn fail(&mut self, field: &'static str, message: impl Into<String>) {
        self.errors.push(FieldError {
            field,
            message: message.into(),
        });
    }

    /// Present with a value: null and "" count as absent, as they do in Khipu's own answers.
    fn has(&self, field: &str) -> bool {
        !matches!(self.fields.get(field), None | Some(Value::Null))
            && self.fields.get(field).and_then(Value::as_str) != Some("")
    }

    fn needed_when(&mut self, field: &'static str, value: &str, condition: &str) {
        if value.is_empty() && !self.has(field) {
            self.fail(field, format!("es obligatorio cuando {condition}"));
        }
    }

    fn text(&mut self, field: &'static str, lengths: Lengths) -> String {
        if !self.has(field) {
            return String::new();
        }
        let Some(Value::String(text)) = self.fields.get(field) else {
            self.fail(field, "debe ser texto");
            return String::new();
        };
        let text = text.clone();
        let length = text.chars().count();
        if length > *lengths.end() {
            self.fail(
                field,
                format!("no puede tener más de {} caracteres", lengths.end()),
            );
            return String::new();
        }
        if length < *lengths.start() {
            self.fail(
                field,
                format!("debe tener al menos {} caracteres", lengths.start()),
            );
            return String::new();
        }
        text
    }

    fn required_text(&mut self, field: &'static str, lengths: Lengths) -> String {
        if !self.has(field) {
            self.fail(field, "es obligatorio");
        }
        self.text(field, lengths)
    }

    fn email(&mut self, field: &'static str) -> String {
        let text = self.text(field, 0..=TEXT);
        let plausible = text.split_once('@').is_some_and(|(name, host)| {
            !name.is_empty() && !host.is_empty() && !host.contains('@')
        }) && !text.contains(char::is_whitespace);
        if !text.is_empty() && !plausible {
            self.fail(field, "debe ser un correo electrónico válido");
        }
        text
    }

    /// An absolute http or https URL: anything else in a return_url would be a script or a file.
    fn url(&mut self, field: &'static str) -> String {
        let text = self.text(field, 0..=URL);
        let valid =
            url::Url::parse(&text).is_ok_and(|url| matches!(url.scheme(), "http" | "https"));
        if !text.is_empty() && !valid {
            self.fail(field, "debe ser una URL http o https válida");
        }
        text
    }

    fn date(&mut self, field: &'static str) -> Option<Timestamp> {
        let text = self.text(field, 0..=TEXT);
        if text.is_empty() {
            return None;
        }
        let date = text.parse().ok();
        if date.is_none() {
            self.fail(field, "debe ser una fecha ISO-8601 con zona horaria");
        }
        date
    }

    fn method(&mut self, field: &'static str) -> Option<Method> {
        let id = self.text(field, 0..=TEXT);
        let method = Method::find(&id);
        if method.is_none() && !id.is_empty() {
            self.fail(field, format!("debe ser uno de {}", Method::ids()));
        }
        method
    }

    fn flag(&mut self, field: &'static str) -> bool {
        match self.fields.get(field) {
            Some(&Value::Bool(flag)) => flag,
            _ if !self.has(field) => false,
            _ => {
                self.fail(field, "debe ser true o false");
                false
            }
        }
    }

    fn currency(&mut self) -> String {
        let currency = self.required_text("currency", 1..=TEXT);
        if !currency.is_empty() && !CURRENCIES.contains(&currency.as_str()) {
            self.fail(
                "currency",
                format!("debe ser una de {}", CURRENCIES.join(", ")),
            );
        }
        currency
    }

    fn amount(&mut self) -> Option<Amount> {
        if !self.has("amount") {
            return None;
        }
        match Amount::read(self.fields.get("amount")?) {
            Ok(amount) => Some(amount),
            Err(message) => {
                self.fail("amount", message);
                None
            }
        }
    }

    /// The amount of a payment, which must not be zero after rounding.
    fn charge(&mut self, currency: &str) -> Amount {
        let asked = self.required_amount();
        let charged = asked.charged_in(currency);
        if charged == Amount::ZERO && asked != Amount::ZERO {
            self.fail("amount", "debe ser al menos 1 en CLP");
        }
        charged
    }

    fn required_amount(&mut self) -> Amount {
        if !self.has("amount") {
            self.fail("amount", "es obligatorio");
        }
        self.amount().unwrap_or(Amount::ZERO)
    }
}
