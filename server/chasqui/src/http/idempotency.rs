//! `Idempotency-Key`: a request that is sent twice is carried out once.

use std::sync::Arc;

use axum::body::Bytes;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::Response;
use chasqui_core::{Account, IdempotentResult, PaymentsError, RefundCall};
use chasqui_khipu::KhipuResponse;
use chasqui_store::{IdempotencyKey, StoredResponse};
use sha2::{Digest, Sha256};

use super::app_state::AppState;
use super::body::json;
use super::problem::ApiProblem;
use super::request_id::RequestId;

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// Marks an answer that was stored before.
const IDEMPOTENCY_REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

const MAX_KEY_LENGTH: usize = 255;

/// A request with an idempotency key.
pub(super) struct IdempotentCall<'a> {
    pub(super) account: &'a Account,
    /// Method and pattern.
    pub(super) route: &'static str,
    pub(super) key: String,
    /// The body as received, and the URL's parameters.
    pub(super) fingerprint: &'a [&'a [u8]],
    /// Part of a problem's body, which is stored as it was sent.
    pub(super) request_id: RequestId,
}

/// The key, if one was sent.
pub(super) fn key(headers: &HeaderMap) -> Result<Option<String>, ApiProblem> {
    let mut values = headers.get_all(IDEMPOTENCY_KEY).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    value
        .to_str()
        .ok()
        .filter(|key| is_well_formed(key) && values.next().is_none())
        .map(|key| Some(key.to_owned()))
        .ok_or_else(|| {
            ApiProblem::bad_request(
                "invalid_idempotency_key",
                "send one Idempotency-Key of 1 to 255 visible ASCII characters, such as a UUID",
            )
        })
}

fn is_well_formed(key: &str) -> bool {
    (1..=MAX_KEY_LENGTH).contains(&key.len()) && key.bytes().all(|b| b.is_ascii_graphic())
}

/// An answer with status 200, or one that was stored before.
pub(super) struct Answer {
    pub(super) body: Bytes,
    status: StatusCode,
    is_replayed: bool,
}

impl Answer {
    pub(super) fn new(body: Bytes) -> Self {
        Self {
            body,
            status: StatusCode::OK,
            is_replayed: false,
        }
    }

    pub(super) fn is_success(&self) -> bool {
        self.status.is_success()
    }

    pub(super) fn into_response(self) -> Response {
        let mut response = json(self.body);
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        if !self.status.is_success() {
            headers.insert(header::CONTENT_TYPE, ApiProblem::CONTENT_TYPE);
        }
        if self.is_replayed {
            headers.insert(IDEMPOTENCY_REPLAYED, HeaderValue::from_static("true"));
        }
        response
    }
}

impl From<StoredResponse> for Answer {
    #[expect(clippy::expect_used, reason = "what is kept was answered")]
    fn from(stored: StoredResponse) -> Self {
        Self {
            body: stored.body,
            status: StatusCode::from_u16(stored.status).expect("a status"),
            is_replayed: true,
        }
    }
}

impl IdempotentCall<'_> {
    /// The work's answer with status 200, or the stored answer of the first time.
    pub(super) async fn run(
        self,
        state: &AppState,
        work: impl Future<Output = Result<Bytes, PaymentsError>> + Send + 'static,
    ) -> Result<Answer, ApiProblem> {
        let (key, fingerprint, render) =
            self.into_parts(|body: &Bytes| (StatusCode::OK, body.clone()));
        let running = state
            .payments
            .run_idempotent(key, fingerprint, work, render);
        Ok(match running.await? {
            IdempotentResult::Executed(body) => Answer::new(body),
            IdempotentResult::Replayed(stored) => stored.into(),
        })
    }

    /// As [`run`](Self::run), for a refund.
    pub(super) async fn refund(
        self,
        state: &AppState,
        account: &Arc<Account>,
        refund: RefundCall,
    ) -> Result<Answer, ApiProblem> {
        let (key, fingerprint, render) =
            self.into_parts(|answer: &KhipuResponse| (answer.status, answer.body.clone()));
        let refunding = state
            .payments
            .refund_once(account, refund, key, fingerprint, render);
        Ok(match refunding.await? {
            IdempotentResult::Executed(answer) => Answer {
                status: answer.status,
                ..Answer::new(answer.body)
            },
            IdempotentResult::Replayed(stored) => stored.into(),
        })
    }

    /// The key, the fingerprint, and what renders a result for the store.
    fn into_parts<T>(
        self,
        answer: fn(&T) -> (StatusCode, Bytes),
    ) -> (
        IdempotencyKey,
        [u8; 32],
        impl FnOnce(&Result<T, PaymentsError>) -> StoredResponse + Send + 'static,
    )
    where
        T: 'static,
    {
        let key = IdempotencyKey {
            account: self.account.name.clone(),
            route: self.route,
            key: self.key,
        };
        let mut fingerprint = Sha256::new();
        for part in self.fingerprint {
            fingerprint.update(part);
        }
        let request_id = self.request_id;
        let render = move |result: &Result<T, PaymentsError>| match result {
            Ok(value) => {
                let (status, body) = answer(value);
                let status = status.as_u16();
                StoredResponse { status, body }
            }
            Err(error) => {
                let problem = ApiProblem::from(error.clone());
                StoredResponse {
                    status: problem.status.as_u16(),
                    body: problem.body(request_id.as_str()),
                }
            }
        };
        (key, fingerprint.finalize().into(), render)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(values: &[&str]) -> Result<Option<String>, &'static str> {
        let mut headers = HeaderMap::new();
        for value in values {
            let value = HeaderValue::from_bytes(value.as_bytes()).expect("header");
            headers.append(IDEMPOTENCY_KEY, value);
        }
        key(&headers).map_err(|problem| problem.code)
    }

    #[test]
    fn a_key_is_one_header_of_1_to_255_visible_characters() {
        assert_eq!(sent(&[]), Ok(None));
        let longest = "~".repeat(255);
        for good in ["k", "\"8e03978e-40d5-43dd-bc93-6894a57f9324\"", &longest] {
            assert_eq!(sent(&[good]), Ok(Some(good.to_owned())));
        }
        let too_long = "k".repeat(256);
        for bad in ["", " ", "two words", "tab\t", "ñ", &too_long] {
            assert_eq!(sent(&[bad]), Err("invalid_idempotency_key"), "{bad:?}");
        }
        assert_eq!(sent(&["a", "a"]), Err("invalid_idempotency_key"));
    }
}
