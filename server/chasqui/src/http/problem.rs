//! Error answers: `application/problem+json` that also has Khipu's error shape, so that an integration for Khipu reads
//! them unchanged.

use std::time::Duration;

use axum::body::Bytes;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use chasqui_core::push::WatchRefusal;
use chasqui_core::{IdempotencyError, NotificationError, PaymentsError, WatchError};
use chasqui_khipu::{JsonObject, KhipuError};
use serde::Serialize;
use serde_json::value::RawValue;

use super::connection_limiter::LimitReached;

/// When to retry, where nothing better is known.
const DEFAULT_RETRY_AFTER: Duration = Duration::from_secs(5);

/// What went wrong, and what to do about it.
#[derive(Debug, Clone)]
pub(super) struct ApiProblem {
    pub(super) status: StatusCode,
    /// Stable, for programs: `invalid_token`.
    pub(super) code: &'static str,
    /// For people: lower case, then what to do.
    pub(super) detail: String,
    errors: Vec<FieldProblem>,
    /// Khipu's list of field errors, as received.
    khipu_errors: Option<Box<RawValue>>,
    retry_after: Option<Duration>,
}

#[derive(Debug, Clone, Serialize)]
struct FieldProblem {
    field: String,
    message: String,
}

#[derive(Serialize)]
struct Body<'a> {
    r#type: String,
    title: &'a str,
    status: u16,
    detail: &'a str,
    code: &'a str,
    request_id: &'a str,
    message: &'a str,
    errors: Errors<'a>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Errors<'a> {
    Own(&'a [FieldProblem]),
    Khipu(&'a RawValue),
}

impl ApiProblem {
    pub(super) const CONTENT_TYPE: HeaderValue =
        HeaderValue::from_static("application/problem+json");

    pub(super) fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        Self {
            status,
            code,
            detail: detail.into(),
            errors: Vec::new(),
            khipu_errors: None,
            retry_after: None,
        }
    }

    pub(super) fn bad_request(code: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, detail)
    }

    pub(super) fn unauthorized(code: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, code, detail)
    }

    pub(super) fn unknown_payment() -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "unknown_payment",
            "there is no such payment in this account",
        )
    }

    pub(super) fn unknown_url() -> Self {
        let detail = "there is nothing at this URL";
        Self::new(StatusCode::NOT_FOUND, "unknown_url", detail)
    }

    pub(super) fn unknown_method() -> Self {
        let detail = "this URL does not support that method";
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "unknown_method", detail)
    }

    /// Khipu's 404 to a call that concerns no payment.
    pub(super) fn not_about_a_payment(self) -> Self {
        match self.code {
            "unknown_payment" => Self {
                code: "khipu_refused",
                ..self
            },
            _ => self,
        }
    }

    pub(super) fn unavailable(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", detail)
            .retry_after(DEFAULT_RETRY_AFTER)
    }

    fn at_capacity() -> Self {
        Self::unavailable("this instance is at capacity; try again")
    }

    fn too_many_watchers() -> Self {
        Self::new(
            StatusCode::TOO_MANY_REQUESTS,
            "too_many_watchers",
            "too many watchers of this payment or from this address; try again later",
        )
        .retry_after(DEFAULT_RETRY_AFTER)
    }

    pub(super) fn rate_limited(wait: Duration) -> Self {
        Self::new(
            StatusCode::TOO_MANY_REQUESTS,
            "rate_limited",
            "too many requests with this API key; limits.requests_per_second allows more",
        )
        .retry_after(wait)
    }

    pub(super) fn retry_after(self, wait: Duration) -> Self {
        Self {
            retry_after: Some(wait),
            ..self
        }
    }

    /// The same bytes whenever it is rendered for the same request.
    pub(super) fn body(&self, request_id: &str) -> Bytes {
        let errors = match &self.khipu_errors {
            Some(raw) => Errors::Khipu(raw),
            None => Errors::Own(&self.errors),
        };
        let body = Body {
            r#type: format!("urn:chasqui:problem:{}", self.code),
            title: self.status.canonical_reason().unwrap_or("Error"),
            status: self.status.as_u16(),
            detail: &self.detail,
            code: self.code,
            request_id,
            message: &self.detail,
            errors,
        };
        #[expect(clippy::expect_used, reason = "it has text and JSON alone")]
        let json = serde_json::to_vec(&body).expect("JSON of text");
        json.into()
    }

    /// The response's headers and body; rendered when the request's id is known.
    pub(super) fn render(&self, request_id: &str) -> Response {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, Self::CONTENT_TYPE);
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(wait) = self.retry_after {
            // Rounded up, so that no retry comes too soon.
            headers.insert(
                header::RETRY_AFTER,
                HeaderValue::from(wait.as_secs() + u64::from(wait.subsec_nanos() > 0)),
            );
        }
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        (self.status, headers, self.body(request_id)).into_response()
    }
}

/// Travels in the response's extensions; the outermost layer renders it with the request's id.
impl IntoResponse for ApiProblem {
    fn into_response(self) -> Response {
        let mut response = self.status.into_response();
        response.extensions_mut().insert(self);
        response
    }
}

impl From<PaymentsError> for ApiProblem {
    fn from(error: PaymentsError) -> Self {
        match error {
            PaymentsError::Fields(errors) => Self {
                errors: errors
                    .into_iter()
                    .map(|error| FieldProblem {
                        field: error.field.to_owned(),
                        message: error.message,
                    })
                    .collect(),
                ..Self::bad_request("invalid_fields", "Error de validación")
            },
            PaymentsError::UnknownPayment => Self::unknown_payment(),
            PaymentsError::Khipu(error) => error.into(),
            PaymentsError::NotSent(error) => {
                let wait = error.requested_pause().unwrap_or(DEFAULT_RETRY_AFTER);
                Self::new(
                    StatusCode::BAD_GATEWAY,
                    "khipu_unreadable",
                    "khipu did not say what was refunded before, so nothing was refunded; try again",
                )
                .retry_after(wait)
            }
            PaymentsError::Store(_) => Self::unavailable("the store is not available; try again"),
            PaymentsError::Busy { retry_after } => {
                Self::unavailable("too many calls to khipu are waiting; try again")
                    .retry_after(retry_after.max(DEFAULT_RETRY_AFTER))
            }
            PaymentsError::RefundInProgress {
                payment_id,
                retry_after,
            } => Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "refund_in_progress",
                format!("another refund of payment {payment_id} is in progress, so nothing was refunded by this request; try again"),
            )
            .retry_after(retry_after),
            PaymentsError::Interrupted(_) => Self::new(
                StatusCode::INTERNAL_SERVER_ERROR,
                "broke_off",
                "the operation broke off; it may have been carried out",
            ),
        }
    }
}

impl From<IdempotencyError> for ApiProblem {
    fn from(error: IdempotencyError) -> Self {
        let conflict = |code, detail: &str| Self::new(StatusCode::CONFLICT, code, detail);
        match error {
            IdempotencyError::InProgress => conflict(
                "in_flight",
                "a request with this Idempotency-Key is in progress; repeat it to get its answer",
            )
            .retry_after(DEFAULT_RETRY_AFTER),
            IdempotencyError::KeyReused => Self::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                "idempotency_key_reused",
                "this Idempotency-Key was used with another body; use a new key for a new request",
            ),
            IdempotencyError::OutcomeUnknown => conflict(
                "outcome_unknown",
                "the first request with this Idempotency-Key may have been carried out, and is not repeated: look for its \
                 transaction_id with GET /v1/payments and at khipu, or wait for its notification; if there is none, use a \
                 new key",
            ),
            IdempotencyError::Payments(error) => error.into(),
        }
    }
}

impl From<KhipuError> for ApiProblem {
    #[expect(clippy::expect_used, reason = "Khipu's client refuses other statuses")]
    fn from(error: KhipuError) -> Self {
        let bad_gateway = |code, detail: String| {
            Self::new(StatusCode::BAD_GATEWAY, code, detail).retry_after(DEFAULT_RETRY_AFTER)
        };
        match error {
            KhipuError::Refused {
                status,
                message,
                body,
                retry_after,
            } => Self {
                khipu_errors: JsonObject::parse(&body)
                    .ok()
                    .and_then(|fields| fields.get("errors").map(ToOwned::to_owned)),
                retry_after,
                ..Self::new(
                    StatusCode::from_u16(status).expect("from 400 to 499"),
                    match status {
                        404 => "unknown_payment",
                        _ => "khipu_refused",
                    },
                    message,
                )
            },
            // The operator's key for this account, not the merchant's.
            KhipuError::CredentialsRefused { .. } => bad_gateway(
                "khipu_credentials_refused",
                "khipu refused the gateway's API key for this account; its operator must correct khipu_api_key".into(),
            ),
            KhipuError::Failed { retry_after, .. } => {
                bad_gateway("khipu_failed", error_detail(&error))
                    .retry_after(retry_after.unwrap_or(DEFAULT_RETRY_AFTER))
            }
            KhipuError::Unreachable(_) => bad_gateway(
                "khipu_unreachable",
                "khipu cannot be reached; nothing was carried out".into(),
            ),
            KhipuError::Malformed(_) => bad_gateway("khipu_malformed", error_detail(&error)),
            KhipuError::TimedOut => {
                let detail = error_detail(&error);
                Self::new(StatusCode::GATEWAY_TIMEOUT, "khipu_timed_out", detail)
                    .retry_after(DEFAULT_RETRY_AFTER)
            }
        }
    }
}

fn error_detail(error: &KhipuError) -> String {
    format!("{error}; the request may have been carried out")
}

impl From<WatchError> for ApiProblem {
    fn from(error: WatchError) -> Self {
        match error {
            WatchError::Refused(WatchRefusal::PaymentFull) => Self::too_many_watchers(),
            WatchError::Refused(WatchRefusal::GoingAway) => Self::at_capacity(),
            WatchError::Relay => Self::unavailable("the relay is not available; try again"),
            // Not the watcher's fault, and it may pass. A browser that receives 401 never retries.
            WatchError::Payments(PaymentsError::Khipu(_)) => {
                Self::unavailable("khipu does not answer about this payment; try again")
            }
            WatchError::Payments(error) => error.into(),
        }
    }
}

impl From<LimitReached> for ApiProblem {
    fn from(limit: LimitReached) -> Self {
        match limit {
            LimitReached::Instance => Self::at_capacity(),
            LimitReached::Address => Self::too_many_watchers(),
        }
    }
}

impl From<NotificationError> for ApiProblem {
    fn from(error: NotificationError) -> Self {
        match &error {
            NotificationError::UnknownAccount => Self::new(
                StatusCode::NOT_FOUND,
                "unknown_account",
                "there is no such account; the URL must end in an account's name",
            ),
            NotificationError::Signature(_) => {
                Self::unauthorized("invalid_signature", error.to_string())
            }
            NotificationError::Body(_) => {
                Self::bad_request("invalid_notification", error.to_string())
            }
            NotificationError::WrongAccount => {
                Self::bad_request("payment_of_another_account", error.to_string())
            }
            NotificationError::NotDurable => Self::unavailable(error.to_string()),
        }
    }
}
