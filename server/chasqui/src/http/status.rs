//! A payment's status: one resource, as WebSocket or JSON.

use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, Request, State};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;

use super::api_schemas::{ApiErrors, StatusObject};
use super::app_state::SharedState;
use super::problem::ApiProblem;
use super::{auth, origin, peer, polling, websocket};

#[derive(Debug, Deserialize)]
pub(super) struct StatusQuery {
    /// Seconds to hold the request.
    wait: Option<String>,
}

#[utoipa::path(
    get,
    path = "/v1/payments/{id}/status",
    tag = "Payments",
    params(("id" = String, Path, description = "payment_id"), ("wait" = Option<u32>, Query, description = "0 to 60: seconds to hold the request until there is news"), ("if-none-match" = Option<String>, Header)),
    responses((status = 200, description = "The status; with an upgrade to WebSocket 101", body = StatusObject), (status = 101, description = "A WebSocket with the subprotocol chasqui.v1"), (status = 304, description = "Nothing newer"), ApiErrors),
    security(("status_token" = []), ("api_key" = []))
)]
pub(super) async fn status(
    State(state): SharedState,
    Path(id): Path<String>,
    query: Result<Query<StatusQuery>, QueryRejection>,
    request: Request,
) -> Response {
    let address = peer::of(&request, &state.server.trusted_proxies);
    if websocket::is_upgrade(request.headers()) {
        return websocket::upgrade(state, &id, address, request)
            .unwrap_or_else(IntoResponse::into_response);
    }
    let headers = request.headers();
    let answer = async {
        let Query(query) =
            query.map_err(|error| ApiProblem::bad_request("invalid_query", error.body_text()))?;
        let (account, id) = auth::admit(&state, headers, None, &id)?;
        polling::answer(
            &state,
            &account,
            &id,
            query.wait.as_deref(),
            headers,
            address,
        )
        .await
    };
    let mut response = answer.await.unwrap_or_else(IntoResponse::into_response);
    if origin::is_known(&state, headers) {
        origin::expose(headers, response.headers_mut());
    }
    response
}
