//! The status object: the same bytes of meaning on every transport.

use bytes::Bytes;
use serde::Serialize;

use crate::payment::{PaymentId, Reason, State, Status, Timestamp};

/// A rendered status object. Clones share the bytes: a payment's watchers all send the same ones.
#[derive(Debug, Clone)]
pub struct Message {
    pub status: Status,
    pub json: Bytes,
}

#[derive(Serialize)]
struct StatusObject<'a> {
    payment_id: &'a str,
    status: Status,
    version: u8,
    r#final: bool,
    at: Timestamp,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    late: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<Reason>,
}

impl Message {
    pub fn new(id: &PaymentId, state: &State) -> Self {
        let object = StatusObject {
            payment_id: id.as_str(),
            status: state.status,
            version: state.status.version(),
            r#final: state.status.is_final(),
            at: state.at,
            late: state.late,
            reason: state.reason,
        };
        // Text, numbers and truth values serialise always.
        Self {
            status: state.status,
            json: serde_json::to_vec(&object).unwrap_or_default().into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_the_contracts_object_and_nothing_more() {
        let id = PaymentId::parse("zfxnocsow6mz").expect("id");
        let at = Timestamp::parse("2026-11-22T06:30:00.123Z").expect("time");
        let mut state = State {
            status: Status::Verifying,
            at,
            late: false,
            reason: None,
        };
        assert_eq!(
            Message::new(&id, &state).json,
            r#"{"payment_id":"zfxnocsow6mz","status":"verifying","version":2,"final":false,"at":"2026-11-22T06:30:00.123Z"}"#
        );
        state = State {
            status: Status::Rejected,
            late: true,
            reason: Some(Reason::RejectedByPayer),
            ..state
        };
        assert_eq!(
            Message::new(&id, &state).json,
            r#"{"payment_id":"zfxnocsow6mz","status":"rejected","version":5,"final":true,"at":"2026-11-22T06:30:00.123Z","late":true,"reason":"rejected-by-payer"}"#
        );
    }
}
