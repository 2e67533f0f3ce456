//! One resource, every transport: a payment's status as WebSocket or JSON.

use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, Request, State};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;

use super::problem::Problem;
use super::{Shared, auth, origin, peer, polling, websocket};

#[derive(Debug, Deserialize)]
pub(super) struct Wish {
    /// Seconds to hold the request for.
    wait: Option<String>,
}

pub(super) async fn follow(
    State(site): Shared,
    Path(id): Path<String>,
    wish: Result<Query<Wish>, QueryRejection>,
    request: Request,
) -> Response {
    let address = peer::of(&request, &site.server.trusted_proxies);
    if websocket::is_upgrade(request.headers()) {
        return websocket::follow(site, &id, address, request)
            .unwrap_or_else(IntoResponse::into_response);
    }
    let headers = request.headers();
    let answer = async {
        let Query(wish) =
            wish.map_err(|error| Problem::bad_request("invalid_query", error.body_text()))?;
        let (account, id) = auth::admit(&site, headers, None, &id)?;
        polling::answer(&site, &account, &id, wish.wait.as_deref(), headers, address).await
    };
    let mut response = answer.await.unwrap_or_else(IntoResponse::into_response);
    if origin::is_known(&site, headers) {
        origin::expose(headers, response.headers_mut());
    }
    response
}
