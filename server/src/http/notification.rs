//! Khipu's webhook: the raw bytes go in, and 200 means that they are durable.

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};

use super::Shared;
use super::facade::read;
use super::problem::Problem;
use crate::gateway::NotificationError;
use crate::payment::AccountName;

pub(super) async fn receive(
    State(site): Shared,
    Path(account): Path<String>,
    headers: HeaderMap,
    body: Result<Bytes, axum::extract::rejection::BytesRejection>,
) -> Result<StatusCode, Problem> {
    let result = async {
        let account =
            AccountName::parse(&account).map_err(|_| NotificationError::UnknownAccount)?;
        let body = read(body)?;
        let signature = headers
            .get("x-khipu-signature")
            .map(|value| value.to_str().unwrap_or_default());
        Ok(site.gateway.receive(&account, signature, body).await?)
    };
    match result.await {
        Ok(_) => Ok(StatusCode::OK),
        Err(problem) => Err(refused(problem)),
    }
}

/// Said aloud: Khipu's servers read no explanation, so the operator has to find it in the log.
fn refused(problem: Problem) -> Problem {
    metrics::counter!("chasqui_notifications_refused_total", "code" => problem.code).increment(1);
    tracing::warn!(
        status = problem.status.as_u16(),
        code = problem.code,
        detail = problem.detail,
        "a notification was refused"
    );
    problem
}
