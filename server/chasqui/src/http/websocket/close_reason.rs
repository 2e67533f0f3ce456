//! Why a connection is closed: a code that says whether to reconnect, and a reason.

use std::time::Duration;

use chasqui_core::WatchError;
use chasqui_core::push::WatchRefusal;
use tokio_tungstenite::tungstenite::Utf8Bytes;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

use crate::http::problem::ApiProblem;

/// A close code and its reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct CloseReason {
    code: u16,
    reason: Utf8Bytes,
}

impl CloseReason {
    pub(super) fn final_status() -> Self {
        Self::new(1000, "final")
    }

    pub(super) fn too_many_messages() -> Self {
        Self::new(1008, "too many messages")
    }

    pub(super) fn message_too_long() -> Self {
        Self::new(1009, "a message is at most 1024 bytes")
    }

    /// The connection has lived as long as it may; the client reconnects.
    pub(super) fn lifetime() -> Self {
        Self::new(4508, "lifetime")
    }

    pub(super) fn frame(&self) -> CloseFrame {
        CloseFrame {
            code: CloseCode::from(self.code),
            reason: self.reason.clone(),
        }
    }

    fn new(code: u16, reason: impl Into<Utf8Bytes>) -> Self {
        Self {
            code,
            reason: reason.into(),
        }
    }

    fn retry(code: u16, wait: Duration) -> Self {
        Self::new(code, format!("retry_after_ms={}", wait.as_millis()))
    }

    pub(super) fn going_away(retry_after_ms: u32) -> Self {
        Self::retry(1012, Duration::from_millis(retry_after_ms.into()))
    }
}

/// Codes are 4000 and the HTTP status: 44xx never retry, 45xx retry.
impl From<ApiProblem> for CloseReason {
    fn from(problem: ApiProblem) -> Self {
        let code = match problem.status.as_u16() {
            status @ (401 | 403 | 404 | 429) => 4000 + status,
            // Other failures may pass, so the browser should retry.
            _ => 4503,
        };
        if code == 4429 {
            Self::retry(code, Duration::from_secs(5))
        } else {
            Self::new(code, problem.code)
        }
    }
}

/// The wait before a client that reached a stopping instance reconnects, to another one.
const RECONNECT_MS: std::ops::Range<u32> = 250..2750;

impl From<WatchError> for CloseReason {
    fn from(error: WatchError) -> Self {
        match error {
            // Spread, so that clients do not all reach the next instance at the same moment.
            WatchError::Refused(WatchRefusal::GoingAway) => {
                Self::going_away(rand::random_range(RECONNECT_MS))
            }
            error => ApiProblem::from(error).into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::http::StatusCode;

    use super::*;
    use crate::http::connection_limiter::LimitReached;

    #[test]
    fn close_codes_say_whether_to_reconnect() {
        for (status, code) in [
            (401, 4401),
            (404, 4404),
            (403, 4403),
            (429, 4429),
            (500, 4503),
            (502, 4503),
            (503, 4503),
        ] {
            let problem = ApiProblem::new(
                StatusCode::from_u16(status).expect("status"),
                "code",
                "detail",
            );
            assert_eq!(CloseReason::from(problem).code, code);
        }
        let waits: Vec<u32> = (0..200)
            .map(|_| {
                let close_reason = CloseReason::from(WatchError::Refused(WatchRefusal::GoingAway));
                assert_eq!(close_reason.code, 1012);
                let wait = close_reason.reason.strip_prefix("retry_after_ms=");
                wait.and_then(|wait| wait.parse().ok()).expect("a wait")
            })
            .collect();
        assert!(
            waits.iter().all(|wait| RECONNECT_MS.contains(wait)),
            "{waits:?}"
        );
        assert!(waits.iter().any(|wait| *wait < 1000) && waits.iter().any(|wait| *wait > 2000));
        assert_eq!(
            CloseReason::from(ApiProblem::from(LimitReached::Address)),
            CloseReason::new(4429, "retry_after_ms=5000")
        );
        assert_eq!(
            CloseReason::from(ApiProblem::from(LimitReached::Instance)).code,
            4503
        );
    }
}
