//! The status object, the same on every transport.

use bytes::Bytes;
use chasqui_payment::{Payment, PaymentId, PaymentState, Status, StatusReason, Timestamp, Version};
use serde::Serialize;

/// A rendered status object. Clones share the bytes.
#[derive(Debug, Clone)]
pub struct StatusMessage {
    pub version: Version,
    pub json: Bytes,
}

/// What clients are told of a payment. Without personal data and amounts.
#[derive(Debug, Serialize)]
pub struct StatusObject<'a> {
    payment_id: &'a str,
    status: Status,
    version: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    by: Option<&'static str>,
    r#final: bool,
    at: Timestamp,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    late: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<StatusReason>,
    #[serde(skip_serializing_if = "Option::is_none")]
    resume_url: Option<&'a str>,
}

impl<'a> StatusObject<'a> {
    /// `now` decides whether the payer may still resume.
    pub fn of(payment: &'a Payment, now: Timestamp) -> Self {
        Self::new(&payment.id, &payment.state, payment.resume_url(now))
    }

    pub fn new(id: &'a PaymentId, state: &PaymentState, resume_url: Option<&'a str>) -> Self {
        Self {
            payment_id: id.as_str(),
            status: state.status(),
            version: state.version.number(),
            by: state.version.by(),
            r#final: state.is_final(),
            at: state.at,
            late: state.late,
            reason: state.reason,
            resume_url,
        }
    }
}

impl StatusMessage {
    /// `now` decides whether the payer may still resume.
    pub(crate) fn of(payment: &Payment, now: Timestamp) -> Self {
        Self::new(&payment.id, &payment.state, payment.resume_url(now))
    }

    #[expect(clippy::expect_used, reason = "text, numbers and booleans serialise")]
    pub(crate) fn new(id: &PaymentId, state: &PaymentState, resume_url: Option<&str>) -> Self {
        let object = StatusObject::new(id, state, resume_url);
        Self {
            version: state.version,
            json: serde_json::to_vec(&object).expect("serialises").into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_the_protocols_object_and_nothing_more() {
        let id = PaymentId::parse("zfxnocsow6mz").expect("id");
        let at = Timestamp::parse("2026-11-22T06:30:00.123Z").expect("time");
        let state = |number| PaymentState {
            version: Version::from_number(number).expect("version"),
            ..PaymentState::created(at)
        };
        assert_eq!(
            StatusMessage::new(&id, &state(14), None).json,
            r#"{"payment_id":"zfxnocsow6mz","status":"verifying","version":14,"by":"khipu","final":false,"at":"2026-11-22T06:30:00.123Z"}"#
        );
        let rejected = PaymentState {
            reason: Some(StatusReason::RejectedByPayer),
            ..state(17)
        };
        assert_eq!(
            StatusMessage::new(&id, &rejected, Some("https://khipu.example/pay")).json,
            r#"{"payment_id":"zfxnocsow6mz","status":"rejected","version":17,"final":false,"at":"2026-11-22T06:30:00.123Z","reason":"rejected-by-payer","resume_url":"https://khipu.example/pay"}"#
        );
        let late = PaymentState {
            late: true,
            ..state(1000)
        };
        assert_eq!(
            StatusMessage::new(&id, &late, None).json,
            r#"{"payment_id":"zfxnocsow6mz","status":"confirmed","version":1000,"final":true,"at":"2026-11-22T06:30:00.123Z","late":true}"#
        );
    }
}
