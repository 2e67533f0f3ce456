//! The status as JSON: at once, or held until there is a newer one.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use chasqui_core::Account;
use chasqui_core::push::StatusMessage;
use chasqui_payment::{PaymentId, WatchTransport};
use chasqui_store::Visit;

use super::app_state::AppState;
use super::auth;
use super::body::json;
use super::problem::ApiProblem;

pub(super) async fn answer(
    state: &Arc<AppState>,
    account: &Arc<Account>,
    id: &PaymentId,
    wait: Option<&str>,
    headers: &HeaderMap,
    address: IpAddr,
) -> Result<Response, ApiProblem> {
    let wait = wait
        .map(|text| parse_wait(text, state.limits.poll_wait))
        .transpose()?;
    let known = known_version(headers);
    if known == 0 && !auth::is_back_end(headers) {
        // A page's first request.
        let visit = Visit::Watched(WatchTransport::Polling);
        state.payments.record_visit(id, visit);
    }
    let message = match wait {
        // A client without a version gets the status at once. Khipu is polled as well.
        Some(wait) if !wait.is_zero() && known > 0 => {
            held(state, account, id, known, wait, address).await?
        }
        _ => state.payments.status(account, id).await?,
    };
    Ok(render(&message, known))
}

/// Waits for a version newer than `known`; answers with the current one at the deadline.
async fn held(
    state: &Arc<AppState>,
    account: &Arc<Account>,
    id: &PaymentId,
    known: u16,
    wait: Duration,
    address: IpAddr,
) -> Result<StatusMessage, ApiProblem> {
    let deadline = tokio::time::Instant::now() + wait;
    let _permit = state.watchers.admit(address)?;
    let watch = state.payments.watch(account, id).await?;
    let watcher = watch.watcher();
    // The first message is ready: watching begins with it.
    let mut message = watcher.next().await;
    while message.version.number() <= known {
        tokio::select! {
            newer = watcher.next() => message = newer,
            () = watcher.going_away() => break,
            () = tokio::time::sleep_until(deadline) => break,
        }
    }
    Ok(message)
}

#[expect(clippy::expect_used, reason = "a number may stand in a header")]
fn render(message: &StatusMessage, known: u16) -> Response {
    let version = message.version.number();
    let mut response = if version <= known {
        let headers = [(header::CACHE_CONTROL, "no-store")];
        (StatusCode::NOT_MODIFIED, headers).into_response()
    } else {
        json(message.json.clone())
    };
    let etag = HeaderValue::from_str(&format!("\"{version}\"")).expect("a number in quotes");
    response.headers_mut().insert(header::ETAG, etag);
    response
}

/// Whole seconds, up to the limit.
fn parse_wait(text: &str, limit: Duration) -> Result<Duration, ApiProblem> {
    let wait = text.parse().ok().map(Duration::from_secs);
    wait.filter(|wait| *wait <= limit).ok_or_else(|| {
        let detail = format!("wait must be whole seconds from 0 to {}", limit.as_secs());
        ApiProblem::bad_request("invalid_wait", detail)
    })
}

/// The version in `If-None-Match`; 0, below every version, if there is none.
fn known_version(headers: &HeaderMap) -> u16 {
    headers
        .get(header::IF_NONE_MATCH)
        .and_then(|value| value.to_str().ok())
        .map(|text| text.trim().trim_start_matches("W/").trim_matches('"'))
        .and_then(|text| text.parse().ok())
        .unwrap_or(0)
}
