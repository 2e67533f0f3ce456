//! Refunds: a merchant's request for one, and those that a payment has by Khipu's answer.

use bytes::Bytes;
use chasqui_payment::{Amount, PaymentId};
use serde::{Deserialize, Serialize};

use super::fields::payment_id;
use super::response::PaymentResponse;
use crate::json_object::JsonObject;

/// A merchant's request to refund a payment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefundRequest {
    /// `None`: all that remains.
    amount: Option<Amount>,
    answer: AnswerForm,
}

/// How Khipu answers a refund.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum AnswerForm {
    /// `POST /v3/payments/{id}/refunds`: a message.
    Message,
    /// `POST /v3/refunds`: the refund and what remains.
    Refund,
}

/// The refunds of a payment.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refunds {
    made: Vec<Refund>,
    total: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refund {
    pub id: String,
    amount: String,
}

impl RefundRequest {
    /// The body of `POST /v3/payments/{id}/refunds`, which may be empty. `None`: not a form that is known here.
    pub fn of_payment(body: &[u8]) -> Option<Self> {
        let fields = match body.trim_ascii() {
            b"" => JsonObject::default(),
            body => JsonObject::parse(body).ok()?,
        };
        Self::read(&fields, AnswerForm::Message)
    }

    /// The body of `POST /v3/refunds`. `None`: not a form that is known here.
    pub fn from_wallet(body: &[u8]) -> Option<(PaymentId, Self)> {
        let fields = JsonObject::parse(body).ok()?;
        let mut request = Self::read(&fields, AnswerForm::Refund)?;
        match fields.text("type")?.as_str() {
            "full" => request.amount = None,
            "partial" => {}
            _ => return None,
        }
        // A number is no payment's id to Khipu.
        fields.get("payment_id")?.get().strip_prefix('"')?;
        Some((payment_id(&fields).ok()?, request))
    }

    fn read(fields: &JsonObject, answer: AnswerForm) -> Option<Self> {
        let amount = match fields.text("amount") {
            Some(text) => Some(Amount::parse(&text).ok()?),
            None => None,
        };
        Some(Self { amount, answer })
    }

    /// The refunds that this request may have made: those that were not there before, of its amount.
    pub fn candidates<'a>(
        &'a self,
        before: &'a Refunds,
        after: &'a Refunds,
    ) -> impl Iterator<Item = &'a Refund> {
        let is_new = |refund: &&Refund| !before.made.iter().any(|known| known.id == refund.id);
        after
            .made
            .iter()
            .filter(is_new)
            .filter(|refund| match self.amount {
                Some(amount) => Amount::parse(&refund.amount).is_ok_and(|made| made == amount),
                None => true,
            })
    }

    /// Khipu's answer to a refund whose own answer was lost, from the payment as it is now.
    pub fn answer(&self, refund: &Refund, payment: &PaymentResponse) -> Bytes {
        let mut answer = JsonObject::default();
        match self.answer {
            AnswerForm::Message => answer.set("message", "El reembolso fue solicitado"),
            AnswerForm::Refund => {
                let fields = payment.fields();
                let total = fields.parsed("total_refunded", Amount::parse);
                let amount = fields.parsed("amount", Amount::parse);
                answer.set("id", &refund.id);
                answer.set("payment_id", payment.payment_id.as_str());
                answer.set("refunded_amount", &refund.amount);
                if let Some(total) = fields.text("total_refunded") {
                    answer.set("total_refunded", &total);
                }
                if let Some(remaining) = amount.zip(total).and_then(|(all, part)| all.minus(part)) {
                    answer.set("remaining", &format!("{remaining:.4}"));
                }
                if let Some(currency) = fields.text("currency") {
                    answer.set("currency", &currency);
                }
            }
        }
        answer.to_json().into()
    }
}

/// The id of the refund in Khipu's answer to `POST /v3/refunds`.
pub fn refund_id(answer: &[u8]) -> Option<String> {
    JsonObject::parse(answer).ok()?.text("id")
}

impl Refunds {
    /// A payment without a list of refunds whose total rose counts as one refund: the total names it.
    pub fn of(payment: &PaymentResponse, before: Option<&Self>) -> Self {
        #[derive(Deserialize)]
        struct Listed {
            id: serde_json::Value,
            amount: serde_json::Value,
        }
        let text = |value: &serde_json::Value| match value {
            serde_json::Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        let fields = payment.fields();
        let total = fields.text("total_refunded").unwrap_or_default();
        let listed = fields.get("refunds").map(serde_json::value::RawValue::get);
        let made = match listed.map(serde_json::from_str::<Vec<Listed>>) {
            Some(Ok(listed)) => listed
                .iter()
                .map(|refund| Refund {
                    id: text(&refund.id),
                    amount: text(&refund.amount),
                })
                .collect(),
            _ => {
                let earlier = before.map_or(Amount::ZERO, Self::total);
                let now = Amount::parse(&total).unwrap_or(Amount::ZERO);
                let mut made = before.map_or_else(Vec::new, |before| before.made.clone());
                if let Some(amount) = now.minus(earlier).filter(|amount| *amount != Amount::ZERO) {
                    made.push(Refund {
                        id: format!("total:{now}"),
                        amount: amount.to_string(),
                    });
                }
                made
            }
        };
        Self { made, total }
    }

    fn total(&self) -> Amount {
        Amount::parse(&self.total).unwrap_or(Amount::ZERO)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn payment(fields: &str) -> PaymentResponse {
        let json = format!(
            r#"{{"payment_id":"zfxnocsow6mz","amount":"1000.0000","currency":"CLP",{fields}}}"#
        );
        PaymentResponse::parse(json.as_bytes()).expect("a payment")
    }

    fn ids(request: &RefundRequest, before: &Refunds, after: &Refunds) -> Vec<String> {
        let candidates = request.candidates(before, after);
        candidates.map(|refund| refund.id.clone()).collect()
    }

    #[test]
    fn a_new_refund_of_the_amount_is_a_candidate() {
        let before = Refunds::of(
            &payment(r#""refunds":[{"id":"r1","amount":"300.0000"}],"total_refunded":"300.0000""#),
            None,
        );
        let answered = payment(
            r#""refunds":[{"id":"r1","amount":"300.0000"},{"id":"r2","amount":"200.0000"},{"id":"r3","amount":300}],"total_refunded":"800.0000""#,
        );
        let after = Refunds::of(&answered, Some(&before));
        let partial = |amount: &str| {
            RefundRequest::of_payment(format!(r#"{{"amount":{amount}}}"#).as_bytes())
                .expect("a request")
        };
        assert_eq!(ids(&partial("300"), &before, &after), ["r3"]);
        assert_eq!(ids(&partial("200.00"), &before, &after), ["r2"]);
        assert_eq!(ids(&partial("100"), &before, &after), [""; 0]);
        let rest = RefundRequest::of_payment(b"").expect("a request");
        assert_eq!(ids(&rest, &before, &after), ["r2", "r3"]);
        assert_eq!(ids(&rest, &after, &after), [""; 0]);
    }

    #[test]
    fn without_a_list_the_total_shows_the_refund() {
        let before = Refunds::of(&payment(r#""total_refunded":"""#), None);
        let raised = payment(r#""total_refunded":"250.0000""#);
        let after = Refunds::of(&raised, Some(&before));
        let request = RefundRequest::of_payment(br#"{"amount":250}"#).expect("a request");
        assert_eq!(ids(&request, &before, &after), ["total:250"]);
        assert_eq!(
            ids(&request, &after, &Refunds::of(&raised, Some(&after))),
            [""; 0]
        );
    }

    #[test]
    fn a_wallet_refund_names_its_payment_and_full_is_all_that_remains() {
        let read = |body: &str| RefundRequest::from_wallet(body.as_bytes());
        let (id, full) =
            read(r#"{"type":"full","payment_id":"zfxnocsow6mz","amount":"7"}"#).expect("a request");
        assert_eq!((id.as_str(), full.amount), ("zfxnocsow6mz", None));
        let (_, part) = read(r#"{"type":"partial","payment_id":"zfxnocsow6mz","amount":"7.50"}"#)
            .expect("a request");
        assert_eq!(part.amount, Amount::parse("7.5").ok());
        for unknown in [
            "",
            "[]",
            "{}",
            r#"{"payment_id":"zfxnocsow6mz","amount":"much"}"#,
        ] {
            assert_eq!(read(unknown), None, "{unknown}");
        }
    }

    #[test]
    fn a_lost_answer_is_written_from_the_payment() {
        let (_, request) = RefundRequest::from_wallet(
            br#"{"type":"partial","payment_id":"zfxnocsow6mz","amount":"200"}"#,
        )
        .expect("a request");
        let answered =
            payment(r#""refunds":[{"id":"r2","amount":"200.0000"}],"total_refunded":"200.0000""#);
        let after = Refunds::of(&answered, None);
        let answer = request.answer(&after.made[0], &answered);
        assert_eq!(
            String::from_utf8_lossy(&answer),
            r#"{"id":"r2","payment_id":"zfxnocsow6mz","refunded_amount":"200.0000","total_refunded":"200.0000","remaining":"800.0000","currency":"CLP"}"#
        );
        assert_eq!(refund_id(&answer).as_deref(), Some("r2"));
    }
}
