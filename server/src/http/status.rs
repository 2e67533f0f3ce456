//! One resource, every transport: a payment's status as WebSocket or JSON.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{Path, Query, Request, State};
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;

use super::problem::Problem;
use super::{Shared, Site, auth, facade, origin, peer, polling, websocket};
use crate::account::Account;
use crate::payment::PaymentId;

#[derive(Debug, Deserialize)]
pub(super) struct Wish {
    /// Seconds to hold the request for.
    wait: Option<String>,
}

/// The request's head, and where it came from.
#[derive(Debug)]
pub(super) struct Asker<'a> {
    pub(super) headers: &'a HeaderMap,
    pub(super) address: IpAddr,
}

pub(super) async fn follow(
    State(site): Shared,
    Path(id): Path<String>,
    Query(wish): Query<Wish>,
    request: Request,
) -> Response {
    let address = peer::of(&request, &site.server.trusted_proxies);
    if websocket::is_upgrade(request.headers()) {
        return websocket::follow(site, &id, address, request)
            .unwrap_or_else(IntoResponse::into_response);
    }
    let headers = request.headers().clone();
    let asker = Asker {
        headers: &headers,
        address,
    };
    let mut response = as_json(&site, &id, &wish, &asker)
        .await
        .unwrap_or_else(IntoResponse::into_response);
    if origin::is_known(&site, &headers) {
        origin::expose(&headers, response.headers_mut());
    }
    response
}

async fn as_json(
    site: &Arc<Site>,
    id: &str,
    wish: &Wish,
    asker: &Asker<'_>,
) -> Result<Response, Problem> {
    let (account, id) = admit(site, asker.headers, None, id)?;
    polling::answer(site, &account, &id, wish.wait.as_deref(), asker).await
}

/// Who asks, and whether that page may.
pub(super) fn admit(
    site: &Arc<Site>,
    headers: &HeaderMap,
    subprotocol_token: Option<&str>,
    id: &str,
) -> Result<(Arc<Account>, PaymentId), Problem> {
    let id = facade::payment_id(id)?;
    let account = auth::watcher(site, headers, subprotocol_token, &id)?;
    origin::check(site, &account, headers)?;
    Ok((account, id))
}
