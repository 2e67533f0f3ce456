//! Which pages may watch: exact origins, because the shop's page and the gateway have different ones.

use axum::extract::State;
use axum::http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ORIGIN, VARY,
};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use chasqui_core::Account;

use super::app_state::{AppState, SharedState};
use super::problem::ApiProblem;

/// A CORS preflight, which carries no token: allowed if any account lists the origin.
pub(super) async fn preflight(State(state): SharedState, headers: HeaderMap) -> Response {
    let mut response = StatusCode::NO_CONTENT.into_response();
    let answer = response.headers_mut();
    answer.insert(VARY, HeaderValue::from_static("Origin"));
    if let Some(origin) = headers.get(ORIGIN)
        && is_known(&state, &headers)
    {
        answer.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
        answer.insert(
            ACCESS_CONTROL_ALLOW_METHODS,
            HeaderValue::from_static("GET"),
        );
        answer.insert(
            ACCESS_CONTROL_ALLOW_HEADERS,
            HeaderValue::from_static("authorization, if-none-match, last-event-id"),
        );
        answer.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600"));
    }
    response
}

/// Refuses an origin that the account does not list. A request without one is not a browser's.
pub(super) fn check(
    state: &AppState,
    account: &Account,
    headers: &HeaderMap,
) -> Result<(), ApiProblem> {
    match headers.get(ORIGIN) {
        Some(origin) if !is_own(state, origin) && !lists(account, origin) => Err(ApiProblem::new(
            StatusCode::FORBIDDEN,
            "foreign_origin",
            format!(
                "this page's origin is not in the allowed_origins of account {}; add it there",
                account.name
            ),
        )),
        _ => Ok(()),
    }
}

/// Lets the page read the answer, a refusal too: otherwise a page could not distinguish a bad token from a broken network.
pub(super) fn expose(headers: &HeaderMap, answer: &mut HeaderMap) {
    answer.append(VARY, HeaderValue::from_static("Origin"));
    if let Some(origin) = headers.get(ORIGIN) {
        answer.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
        answer.insert(
            ACCESS_CONTROL_EXPOSE_HEADERS,
            HeaderValue::from_static("ETag, Retry-After"),
        );
    }
}

fn is_own(state: &AppState, origin: &HeaderValue) -> bool {
    origin.as_bytes()
        == state
            .server
            .public_url
            .origin()
            .ascii_serialization()
            .as_bytes()
}

fn lists(account: &Account, origin: &HeaderValue) -> bool {
    account
        .allowed_origins
        .iter()
        .any(|allowed| allowed.as_bytes() == origin.as_bytes())
}

/// Whether any account, or the gateway itself, knows the request's origin.
pub(super) fn is_known(state: &AppState, headers: &HeaderMap) -> bool {
    headers.get(ORIGIN).is_none_or(|origin| {
        let mut accounts = state.payments.accounts.iter();
        is_own(state, origin) || accounts.any(|account| lists(account, origin))
    })
}
