//! Operations that go on to Khipu as they came: those that Chasqui need not understand, and those that Khipu adds tomorrow.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{FromRequest, Path, Request, State};
use axum::http::{Method, header};
use axum::response::Response;
use chasqui_core::{Account, Permission};
use chasqui_khipu::{ForwardedHeaders, KhipuCall, KhipuResponse};
use chasqui_payment::PaymentId;

use super::schemas::{
    BankList, NewReceiver, PaymentMethodList, Prediction, Receiver, RefundWallet, Success,
};
use crate::http::api_schemas::ApiErrors;
use crate::http::app_state::{AppState, SharedState};
use crate::http::auth::{MerchantAuth, payment_id};
use crate::http::body::{json, read};
use crate::http::problem::ApiProblem;

/// What of a request goes on to Khipu.
pub(super) struct Forwarded {
    pub(super) body: Bytes,
    method: Method,
    headers: ForwardedHeaders,
    /// As received.
    path: String,
    query: Option<String>,
}

impl FromRequest<Arc<AppState>> for Forwarded {
    type Rejection = ApiProblem;

    async fn from_request(request: Request, state: &Arc<AppState>) -> Result<Self, ApiProblem> {
        let (method, uri) = (request.method().clone(), request.uri().clone());
        let headers = ForwardedHeaders::of(request.headers());
        Ok(Self {
            body: read(Bytes::from_request(request, state).await)?,
            method,
            headers,
            path: uri.path().to_owned(),
            query: uri.query().map(str::to_owned),
        })
    }
}

impl Forwarded {
    /// The call of an operation: its path is written here, so that no spelling of another operation gets through.
    pub(super) fn to(self, path: impl Into<String>) -> KhipuCall {
        let mut path = path.into();
        if let Some(query) = self.query {
            path.push('?');
            path.push_str(&query);
        }
        KhipuCall {
            method: self.method,
            path,
            headers: self.headers,
            body: self.body,
        }
    }
}

async fn pass(
    state: &AppState,
    account: &Arc<Account>,
    call: KhipuCall,
    about: Option<PaymentId>,
) -> Result<Response, ApiProblem> {
    let is_about_a_payment = about.is_some();
    match state.payments.forward(account, call, about).await {
        Ok(answer) => Ok(passed_on(answer)),
        Err(error) if is_about_a_payment => Err(error.into()),
        Err(error) => Err(ApiProblem::from(error).not_about_a_payment()),
    }
}

/// Khipu's answer as it came.
pub(super) fn passed_on(answer: KhipuResponse) -> Response {
    let mut response = json(answer.body);
    *response.status_mut() = answer.status;
    let headers = response.headers_mut();
    match answer.content_type {
        Some(content_type) => {
            headers.insert(header::CONTENT_TYPE, content_type);
        }
        None => {
            headers.remove(header::CONTENT_TYPE);
        }
    }
    response
}

#[utoipa::path(
    get,
    path = "/v3/banks",
    tag = "Khipu's API",
    responses((status = 200, description = "Khipu's answer, byte for byte", body = BankList, content_type = "application/json"), ApiErrors),
    security(("api_key" = []))
)]
pub(super) async fn banks(
    State(state): SharedState,
    auth: MerchantAuth,
    request: Forwarded,
) -> Result<Response, ApiProblem> {
    let account = auth.require(Permission::Payments)?;
    pass(&state, &account, request.to("/v3/banks"), None).await
}

#[utoipa::path(
    post,
    path = "/v3/payments/{id}/confirm",
    operation_id = "confirm_payment",
    tag = "Khipu's API",
    params(("id" = String, Path, description = "payment_id")),
    responses((status = 200, description = "Khipu's answer, byte for byte", body = Success, content_type = "application/json"), ApiErrors),
    security(("api_key" = []))
)]
pub(super) async fn confirm(
    State(state): SharedState,
    auth: MerchantAuth,
    Path(id): Path<String>,
    request: Forwarded,
) -> Result<Response, ApiProblem> {
    let account = auth.require(Permission::Payments)?;
    let id = payment_id(&id)?;
    let call = request.to(format!("/v3/payments/{id}/confirm"));
    pass(&state, &account, call, Some(id)).await
}

#[utoipa::path(
    get,
    path = "/v3/predict",
    tag = "Khipu's API",
    params(("payer_email" = String, Query, format = Email, min_length = 1), ("bank_id" = String, Query, min_length = 1), ("amount" = String, Query, pattern = r"^[0-9]+(\.[0-9]{1,4})?$"), ("currency" = String, Query, pattern = "^(CLP|CLF|ARS|PEN|MXN|USD|EUR|BOB|COP)$")),
    responses((status = 200, description = "Khipu's answer, byte for byte", body = Prediction, content_type = "application/json"), ApiErrors),
    security(("api_key" = []))
)]
pub(super) async fn predict(
    State(state): SharedState,
    auth: MerchantAuth,
    request: Forwarded,
) -> Result<Response, ApiProblem> {
    let account = auth.require(Permission::Payments)?;
    pass(&state, &account, request.to("/v3/predict"), None).await
}

#[utoipa::path(
    post,
    path = "/v3/receivers",
    operation_id = "create_receiver",
    tag = "Khipu's API",
    request_body(content = NewReceiver, description = "as Khipu describes it", content_type = "application/json"),
    responses((status = 200, description = "Khipu's answer, byte for byte", body = Receiver, content_type = "application/json"), ApiErrors),
    security(("api_key" = []))
)]
pub(super) async fn receivers(
    State(state): SharedState,
    auth: MerchantAuth,
    request: Forwarded,
) -> Result<Response, ApiProblem> {
    let account = auth.require(Permission::Other)?;
    pass(&state, &account, request.to("/v3/receivers"), None).await
}

#[utoipa::path(
    get,
    path = "/v3/merchants/{id}/paymentMethods",
    tag = "Khipu's API",
    params(("id" = u64, Path, description = "receiver_id")),
    responses((status = 200, description = "Khipu's answer, byte for byte", body = PaymentMethodList, content_type = "application/json"), ApiErrors),
    security(("api_key" = []))
)]
pub(super) async fn payment_methods(
    State(state): SharedState,
    auth: MerchantAuth,
    Path(id): Path<String>,
    request: Forwarded,
) -> Result<Response, ApiProblem> {
    let account = auth.require(Permission::Payments)?;
    let receiver_id: u64 = id.parse().map_err(|_| ApiProblem::unknown_url())?;
    let call = request.to(format!("/v3/merchants/{receiver_id}/paymentMethods"));
    pass(&state, &account, call, None).await
}

#[utoipa::path(
    get,
    path = "/v3/refund-wallet/balance",
    operation_id = "refund_wallet_balance",
    tag = "Khipu's API",
    responses((status = 200, description = "Khipu's answer, byte for byte", body = RefundWallet, content_type = "application/json"), ApiErrors),
    security(("api_key" = []))
)]
pub(super) async fn balance(
    State(state): SharedState,
    auth: MerchantAuth,
    request: Forwarded,
) -> Result<Response, ApiProblem> {
    let account = auth.require(Permission::Refunds)?;
    let call = request.to("/v3/refund-wallet/balance");
    pass(&state, &account, call, None).await
}

/// A path that this version does not know, for keys that may use any.
pub(super) async fn unknown(
    State(state): SharedState,
    auth: MerchantAuth,
    request: Request,
) -> Result<Response, ApiProblem> {
    let unknown = match is_plain(request.uri().path()) {
        true => auth
            .require(Permission::Other)
            .map_err(|_| ApiProblem::unknown_url()),
        false => Err(ApiProblem::unknown_url()),
    };
    let account = unknown?;
    const METHODS: [Method; 5] = [
        Method::GET,
        Method::POST,
        Method::PUT,
        Method::PATCH,
        Method::DELETE,
    ];
    if !METHODS.contains(request.method()) {
        return Err(ApiProblem::unknown_method());
    }
    let request = Forwarded::from_request(request, &state).await?;
    let path = request.path.clone();
    let about = path.strip_prefix("/v3/payments/");
    let about = about.and_then(|rest| PaymentId::parse(rest.split('/').next()?).ok());
    pass(&state, &account, request.to(path), about).await
}

/// Whether a path below `/v3/` can mean only itself: plain segments, and not a known operation in another spelling, which
/// Khipu might take for it and which would get past what Chasqui does there.
fn is_plain(path: &str) -> bool {
    let is_plain = |segment: &&str| {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
        !segment.is_empty() && segment.bytes().all(plain)
    };
    let segments = path.strip_prefix("/v3/").unwrap_or_default().split('/');
    if !segments.clone().all(|segment| is_plain(&segment)) {
        return false;
    }
    let lower: Vec<String> = segments.map(str::to_ascii_lowercase).collect();
    let lower: Vec<&str> = lower.iter().map(String::as_str).collect();
    !matches!(
        lower[..],
        ["banks" | "payments" | "predict" | "receivers" | "refunds"]
            | ["payments", _]
            | ["payments", _, "confirm" | "refunds"]
            | ["merchants", _, "paymentmethods"]
            | ["refund-wallet", "balance"]
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_path_that_means_only_itself_passes() {
        for path in [
            "/v3/tomorrow",
            "/v3/tomorrow/x_1/y-2",
            "/v3/payments/id/logs",
        ] {
            assert!(is_plain(path), "{path}");
        }
        for path in [
            "/v3/",
            "/v3//refunds",
            "/v3/payments/",
            "/v3/%70ayments",
            "/v3/Payments",
            "/v3/REFUNDS",
            "/v3/payments/id/Refunds",
            "/v3/merchants/1/paymentMethods",
            "/v3/tomorrow/",
            "/v3/a/../payments",
            "/v3/a;b",
            "/v3/ñ",
            "/other",
        ] {
            assert!(!is_plain(path), "{path}");
        }
    }
}
