//! Refunds. With an `Idempotency-Key` a refund happens once, although its answer may be lost.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::response::Response;
use chasqui_core::{Account, Permission, RefundCall};
use chasqui_khipu::KhipuCall;
use chasqui_khipu::wire::RefundRequest;
use chasqui_payment::PaymentId;

use super::forward::{Forwarded, passed_on};
use super::schemas::{NewPaymentRefund, NewWalletRefund, Success, WalletRefund};
use crate::http::api_schemas::{ApiErrors, ConflictErrors};
use crate::http::app_state::{AppState, SharedState};
use crate::http::auth::{MerchantAuth, payment_id};
use crate::http::idempotency::{self, IdempotentCall};
use crate::http::problem::ApiProblem;
use crate::http::request_id::RequestId;

/// `POST /v3/payments/{id}/refunds`
#[utoipa::path(
    post,
    path = "/v3/payments/{id}/refunds",
    operation_id = "refund_payment",
    tag = "Khipu's API",
    params(("id" = String, Path, description = "payment_id"), ("idempotency-key" = Option<String>, Header, min_length = 1, max_length = 255, pattern = "^[!-~]+$", description = "1 to 255 visible ASCII characters")),
    request_body(content = NewPaymentRefund, description = "as Khipu describes it", content_type = "application/json"),
    responses((status = 200, description = "Khipu's answer, byte for byte", body = Success, content_type = "application/json"), ApiErrors, ConflictErrors),
    security(("api_key" = []))
)]
pub(super) async fn of_payment(
    State(state): SharedState,
    auth: MerchantAuth,
    Path(id): Path<String>,
    request_id: RequestId,
    headers: HeaderMap,
    request: Forwarded,
) -> Result<Response, ApiProblem> {
    let account = auth.require(Permission::Refunds)?;
    let id = payment_id(&id)?;
    let refund = RefundRequest::of_payment(&request.body).map(|refund| (id.clone(), refund));
    let route = "POST /v3/payments/{id}/refunds";
    let call = request.to(format!("/v3/payments/{id}/refunds"));
    let refund = Refund {
        about: Some(id),
        refund,
        route,
        call,
    };
    refund.run(&state, &account, &headers, request_id).await
}

/// `POST /v3/refunds`
#[utoipa::path(
    post,
    path = "/v3/refunds",
    operation_id = "refund_from_wallet",
    tag = "Khipu's API",
    params(("idempotency-key" = Option<String>, Header, min_length = 1, max_length = 255, pattern = "^[!-~]+$", description = "1 to 255 visible ASCII characters")),
    request_body(content = NewWalletRefund, description = "as Khipu describes it", content_type = "application/json"),
    responses((status = 200, description = "Khipu's answer, byte for byte", body = WalletRefund, content_type = "application/json"), ApiErrors, ConflictErrors),
    security(("api_key" = []))
)]
pub(super) async fn from_wallet(
    State(state): SharedState,
    auth: MerchantAuth,
    request_id: RequestId,
    headers: HeaderMap,
    request: Forwarded,
) -> Result<Response, ApiProblem> {
    let account = auth.require(Permission::Refunds)?;
    let refund = RefundRequest::from_wallet(&request.body);
    let about = refund.as_ref().map(|(id, _)| id.clone());
    let (route, call) = ("POST /v3/refunds", request.to("/v3/refunds"));
    let refund = Refund {
        about,
        refund,
        route,
        call,
    };
    refund.run(&state, &account, &headers, request_id).await
}

struct Refund {
    about: Option<PaymentId>,
    /// `None`: not a form that is known here. Khipu judges it.
    refund: Option<(PaymentId, RefundRequest)>,
    route: &'static str,
    call: KhipuCall,
}

impl Refund {
    async fn run(
        self,
        state: &AppState,
        account: &Arc<Account>,
        headers: &HeaderMap,
        request_id: RequestId,
    ) -> Result<Response, ApiProblem> {
        let Some(key) = idempotency::key(headers)? else {
            let answer = match self.refund {
                Some((payment_id, request)) => {
                    let call = self.call;
                    let refund = RefundCall {
                        payment_id,
                        request,
                        call,
                    };
                    state.payments.refund(account, refund).await
                }
                None => state.payments.forward(account, self.call, self.about).await,
            };
            return Ok(passed_on(answer?));
        };
        let about = self.about.clone();
        let id = about.as_ref().map_or("", PaymentId::as_str);
        let body = self.call.body.clone();
        let idempotent = IdempotentCall {
            account,
            route: self.route,
            key,
            fingerprint: &[id.as_bytes(), &body],
            request_id,
        };
        let answer = match self.refund {
            Some((payment_id, request)) => {
                let call = self.call;
                let refund = RefundCall {
                    payment_id,
                    request,
                    call,
                };
                idempotent.refund(state, account, refund).await?
            }
            None => {
                let (payments, account) = (Arc::clone(&state.payments), Arc::clone(account));
                let work = async move {
                    Ok(payments
                        .forward(&account, self.call, self.about)
                        .await?
                        .body)
                };
                idempotent.run(state, Box::pin(work)).await?
            }
        };
        Ok(answer.into_response())
    }
}
