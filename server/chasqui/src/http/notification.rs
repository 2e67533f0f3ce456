//! Khipu's webhook. A 200 means that the notification is durable.

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use chasqui_core::NotificationError;
use chasqui_payment::AccountName;
use tokio::time::Instant;

use super::api_schemas::KhipuErrors;
use super::app_state::{AppState, SharedState};
use super::body::read;
use super::problem::ApiProblem;

#[utoipa::path(
    post,
    path = "/webhooks/khipu/{account}",
    tag = "Khipu's side",
    params(("account" = String, Path), ("x-khipu-signature" = String, Header)),
    request_body(content = serde_json::Value, description = "a notification 3.0", content_type = "application/json"),
    responses((status = 200, description = "Durable"), KhipuErrors),
    security(())
)]
pub(super) async fn receive(
    State(state): SharedState,
    Path(account): Path<String>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<StatusCode, ApiProblem> {
    let account = AccountName::parse(&account).ok();
    let result = async {
        let account = account.as_ref().ok_or(NotificationError::UnknownAccount)?;
        let body = read(body)?;
        let signature = headers
            .get("x-khipu-signature")
            .map(|value| value.to_str().unwrap_or_default());
        Ok(state
            .payments
            .accept_notification(account, signature, body)
            .await?)
    };
    match result.await {
        Ok(_) => Ok(StatusCode::OK),
        Err(problem) => Err(refused(&state, account, problem)),
    }
}

/// Logs a refusal, because Khipu does not read the answer's explanation. Not each one: the URL is public.
fn refused(state: &AppState, account: Option<AccountName>, problem: ApiProblem) -> ApiProblem {
    metrics::counter!("chasqui_notifications_refused_total", "code" => problem.code).increment(1);
    // An unknown name is the sender's text, and not logged.
    let account = account.filter(|name| state.payments.accounts.by_name(name).is_some());
    let name = account.as_ref().map_or("", AccountName::as_str).to_owned();
    if let Some(suppressed) = state
        .refusal_warnings
        .due((account, problem.code), Instant::now())
    {
        tracing::warn!(
            account = name,
            status = problem.status.as_u16(),
            code = problem.code,
            detail = problem.detail,
            suppressed,
            "notification refused; detail says why and what to change"
        );
    }
    problem
}
