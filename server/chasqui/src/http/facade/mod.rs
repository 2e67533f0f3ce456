//! Khipu's API 3.0 for merchants' back ends, as a drop-in: same paths, same header, same bodies.
//!
//! Khipu's answers pass byte for byte. What Chasqui adds is in headers.

pub(super) mod forward;
pub(super) mod refunds;
mod schemas;

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use axum::response::Response;
use axum::routing::{any, get, post};
use chasqui_core::{Account, Permission, clock};
use chasqui_khipu::wire::CreateResponse;
use chasqui_khipu::{ForwardedHeaders, JsonObject};

use self::schemas::{CreatedPayment, KhipuPayment, NewPayment, Success};
use super::api_schemas::{ApiErrors, ConflictErrors};
use super::app_state::{AppState, SharedState};
use super::auth::{MerchantAuth, payment_id};
use super::body::{json, read};
use super::idempotency::{self, Answer, IdempotentCall};
use super::problem::ApiProblem;
use super::request_id::RequestId;

const STATUS_TOKEN: HeaderName = HeaderName::from_static("chasqui-status-token");
const STATUS_URL: HeaderName = HeaderName::from_static("chasqui-status-url");

pub(super) fn routes() -> Router<Arc<AppState>> {
    Router::new()
        .route("/v3/banks", get(forward::banks))
        .route("/v3/payments", post(create))
        .route("/v3/payments/{id}", get(payment).delete(delete))
        .route("/v3/payments/{id}/confirm", post(forward::confirm))
        .route("/v3/payments/{id}/refunds", post(refunds::of_payment))
        .route("/v3/predict", get(forward::predict))
        .route("/v3/receivers", post(forward::receivers))
        .route(
            "/v3/merchants/{id}/paymentMethods",
            get(forward::payment_methods),
        )
        .route("/v3/refunds", post(refunds::from_wallet))
        .route("/v3/refund-wallet/balance", get(forward::balance))
        .route("/v3/{*path}", any(forward::unknown))
}

#[utoipa::path(
    post,
    path = "/v3/payments",
    operation_id = "create_payment",
    tag = "Khipu's API",
    params(("idempotency-key" = Option<String>, Header, min_length = 1, max_length = 255, pattern = "^[!-~]+$", description = "1 to 255 visible ASCII characters"), ("chasqui-return-hop" = Option<String>, Header, description = "`off`: the payer returns to return_url directly"), ("chasqui-answer-extras" = Option<String>, Header, description = "`on`: status_token and status_url in the body too")),
    request_body(content = NewPayment, description = "as Khipu describes it", content_type = "application/json"),
    responses((status = 200, description = "Khipu's answer, byte for byte", body = CreatedPayment, content_type = "application/json", headers(("chasqui-status-token" = String, description = "for the payer's page"), ("chasqui-status-url" = String))), ApiErrors, ConflictErrors),
    security(("api_key" = []))
)]
async fn create(
    State(state): SharedState,
    auth: MerchantAuth,
    request_id: RequestId,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, ApiProblem> {
    let account = auth.require(Permission::Payments)?;
    let key = idempotency::key(&headers)?;
    let body = read(body)?;
    let fields = JsonObject::parse(&body)
        .map_err(|error| ApiProblem::bad_request("invalid_json", error.message()))?;
    let hop = switch(&headers, "chasqui-return-hop").unwrap_or(true);
    let extras = switch(&headers, "chasqui-answer-extras").unwrap_or(account.answer_extras);
    let work = {
        let (state, account) = (Arc::clone(&state), Arc::clone(&account));
        let forwarded = ForwardedHeaders::of(&headers);
        async move {
            let created = state
                .payments
                .create(&account, forwarded, fields, hop)
                .await?;
            Ok(created.body)
        }
    };
    let answer = match key {
        None => Answer::new(work.await?),
        Some(key) => {
            let call = IdempotentCall {
                account: &account,
                route: "POST /v3/payments",
                key,
                fingerprint: &[&body],
                request_id,
            };
            call.run(&state, Box::pin(work)).await?
        }
    };
    Ok(with_status_token(&state, &account, answer, extras))
}

/// Adds what a browser needs to watch the payment: to the headers, and to the body where the merchant asks for it. A
/// replayed answer gets a new token.
fn with_status_token(
    state: &AppState,
    account: &Account,
    mut answer: Answer,
    extras: bool,
) -> Response {
    // A stored refusal creates no payment.
    let created = match answer.is_success() {
        true => CreateResponse::parse(answer.body.clone()).ok(),
        false => None,
    };
    let Some(created) = created else {
        return answer.into_response();
    };
    let id = &created.payment_id;
    let token = state.tokens.mint(id, &account.name, clock::now()).text;
    let url = state.server.public(&format!("/v1/payments/{id}/status"));
    if extras {
        let fields = [("status_token", token.as_str()), ("status_url", &url)];
        answer.body = created.with_fields(fields).into();
    }
    let mut response = answer.into_response();
    for (name, value) in [(STATUS_TOKEN, token), (STATUS_URL, url)] {
        #[expect(clippy::expect_used, reason = "base64 and a checked URL")]
        let value = HeaderValue::try_from(value).expect("a header's text");
        response.headers_mut().insert(name, value);
    }
    response
}

/// A header of `on` or `off`. `None`: neither.
fn switch(headers: &HeaderMap, name: &str) -> Option<bool> {
    let value = headers.get(name)?.as_bytes();
    match (
        value.eq_ignore_ascii_case(b"on"),
        value.eq_ignore_ascii_case(b"off"),
    ) {
        (true, _) => Some(true),
        (_, true) => Some(false),
        _ => None,
    }
}

#[utoipa::path(
    get,
    path = "/v3/payments/{id}",
    tag = "Khipu's API",
    params(("id" = String, Path, description = "payment_id")),
    responses((status = 200, description = "Khipu's answer, with the merchant's own URLs", body = KhipuPayment, content_type = "application/json"), ApiErrors),
    security(("api_key" = []))
)]
async fn payment(
    State(state): SharedState,
    auth: MerchantAuth,
    Path(id): Path<String>,
) -> Result<Response, ApiProblem> {
    let account = auth.require(Permission::Payments)?;
    let fields = state.payments.payment(&account, &payment_id(&id)?).await?;
    Ok(json(fields.to_json()))
}

#[utoipa::path(
    delete,
    path = "/v3/payments/{id}",
    operation_id = "delete_payment",
    tag = "Khipu's API",
    params(("id" = String, Path, description = "payment_id")),
    responses((status = 200, description = "Khipu's answer, byte for byte", body = Success, content_type = "application/json"), ApiErrors),
    security(("api_key" = []))
)]
async fn delete(
    State(state): SharedState,
    auth: MerchantAuth,
    Path(id): Path<String>,
) -> Result<Response, ApiProblem> {
    let account = auth.require(Permission::Payments)?;
    let answer = state.payments.delete(&account, &payment_id(&id)?).await?;
    Ok(forward::passed_on(answer))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_switch_is_on_or_off_in_any_case() {
        let sent = |value: &'static str| {
            let headers = [(
                HeaderName::from_static("x"),
                HeaderValue::from_static(value),
            )];
            switch(&headers.into_iter().collect(), "x")
        };
        assert_eq!(sent("on"), Some(true));
        assert_eq!(sent("OFF"), Some(false));
        assert_eq!(sent("yes"), None);
        assert_eq!(switch(&HeaderMap::new(), "x"), None);
    }
}
