//! `GET /v3/predict`: a deterministic prediction. An e-mail whose local part is one of Khipu's results gets
//! that result (`new_destinatary_cool_down@example.com`); otherwise the amount decides.

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use crate::answers::date;
use crate::money::Amount;
use crate::validation::PredictRequest;

const MAX_AMOUNT: i64 = 5_000_000;
const NEW_DESTINATARY_MAX_AMOUNT: i64 = 250_000;

const RESULTS: [&str; 5] = [
    "ok",
    "new_destinatary_amount_exceeded",
    "max_amount_exceeded",
    "new_destinatary_cool_down",
    "not_available_account",
];

#[derive(Serialize)]
pub(crate) struct PredictionAnswer {
    result: &'static str,
    max_amount: i64,
    cool_down_date: String,
    new_destinatary_max_amount: i64,
}

pub(crate) fn predict(request: &PredictRequest) -> PredictionAnswer {
    let now = Timestamp::now();
    let wished = request
        .payer_email
        .split_once('@')
        .and_then(|(name, _)| RESULTS.into_iter().find(|result| *result == name));
    let by_amount = if request.amount > Amount::whole(MAX_AMOUNT) {
        "max_amount_exceeded"
    } else {
        "ok"
    };
    PredictionAnswer {
        result: wished.unwrap_or(by_amount),
        max_amount: MAX_AMOUNT,
        cool_down_date: date(
            now.checked_add(SignedDuration::from_hours(24))
                .unwrap_or(now),
        ),
        new_destinatary_max_amount: NEW_DESTINATARY_MAX_AMOUNT,
    }
}
