//! The bodies of requests and of JSON answers.

use axum::body::{Body, Bytes};
use axum::extract::rejection::BytesRejection;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::problem::ApiProblem;
use super::timed_body::BodyError;

/// The whole body, or why it cannot be read.
pub(super) fn read(body: Result<Bytes, BytesRejection>) -> Result<Bytes, ApiProblem> {
    body.map_err(
        |rejection| match (rejection.status(), body_error(&rejection)) {
            (StatusCode::PAYLOAD_TOO_LARGE, _) => ApiProblem::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                "too_large",
                "the body is larger than this URL takes",
            ),
            (_, Some(BodyError::TooSlow)) => ApiProblem::new(
                StatusCode::REQUEST_TIMEOUT,
                "too_slow",
                "the body did not arrive in time; send it without pauses",
            ),
            (_, Some(BodyError::NoCapacity(error))) => (*error).into(),
            _ => ApiProblem::bad_request("unreadable_body", "the body is incomplete"),
        },
    )
}

/// The error of our body type, inside the errors that wrap it.
fn body_error(rejection: &BytesRejection) -> Option<&BodyError> {
    let mut error: &dyn std::error::Error = rejection;
    loop {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        error = error.source()?;
    }
}

/// The answer with a value of ours.
#[expect(clippy::expect_used, reason = "text, numbers and booleans serialise")]
pub(super) fn json_of(value: &impl Serialize) -> Response {
    json(serde_json::to_vec(value).expect("serialises"))
}

pub(super) fn json(body: impl Into<Body>) -> Response {
    let headers = [
        (header::CONTENT_TYPE, "application/json"),
        (header::CACHE_CONTROL, "no-store"),
    ];
    (headers, body.into()).into_response()
}
