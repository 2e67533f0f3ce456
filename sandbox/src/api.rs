//! Khipu's API 3.0: the routes under `/v3`, behind an account's `x-api-key`. Each account
//! sees its own payments only.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, RawQuery, Request, State};
use axum::http::StatusCode;
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get, post};
use axum::{Extension, Json, Router};
use serde::Serialize;
use serde_json::{Value, json};

use crate::answers::{CreatedAnswer, PaymentAnswer, RefundAnswer};
use crate::api_error::ApiError;
use crate::catalogue::{BanksAnswer, banks};
use crate::error_shape::unknown_path;
use crate::identifiers::{new_receiver_id, new_secret};
use crate::options::SandboxAccount;
use crate::payment::{RefundError, Status, StatusDetail};
use crate::payment_method::{PaymentMethodsAnswer, payment_methods};
use crate::prediction::{PredictionAnswer, predict};
use crate::simulator::{MAX_PAYMENTS, RefundFrom, Refusal, Simulator, WALLET_CURRENCY};
use crate::validation;

/// A larger body is answered 413. Khipu's `custom` may be larger than this; a test's should not be.
const MAX_BODY_BYTES: usize = 1024 * 1024;

/// The account of the call's key, which [`require_key`] adds.
type Owner = Extension<Arc<SandboxAccount>>;

pub(crate) fn routes(simulator: &Simulator) -> Router<Simulator> {
    Router::new()
        .route("/v3/banks", get(list_banks))
        .route("/v3/payments", post(create_payment))
        .route(
            "/v3/payments/{id}",
            get(show_payment).delete(delete_payment),
        )
        .route("/v3/payments/{id}/confirm", post(confirm_payment))
        .route("/v3/payments/{id}/refunds", post(refund_payment))
        .route("/v3/refunds", post(refund_from_wallet))
        .route("/v3/refund-wallet/balance", get(wallet_balance))
        .route("/v3/predict", get(predict_payment))
        .route("/v3/receivers", post(create_receiver))
        .route(
            "/v3/merchants/{id}/paymentMethods",
            get(list_payment_methods),
        )
        .route("/v3", any(unknown_path))
        .route("/v3/", any(unknown_path))
        .route("/v3/{*unknown}", any(unknown_path))
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        // Injected failures come first: a failing Khipu also fails for a wrong key.
        .layer(middleware::from_fn_with_state(
            simulator.clone(),
            require_key,
        ))
        .layer(middleware::from_fn_with_state(
            simulator.clone(),
            inject_faults,
        ))
}

async fn list_banks(State(simulator): State<Simulator>) -> Json<BanksAnswer> {
    Json(banks(simulator.base_url()))
}

async fn create_payment(
    State(simulator): State<Simulator>,
    Extension(owner): Owner,
    body: Bytes,
) -> Result<Json<CreatedAnswer>, ApiError> {
    let is_individual = simulator.accounts().is_individual(&owner);
    let order = validation::order(&body, is_individual)?;
    let payment = simulator.create(&owner, order)?;
    Ok(Json(CreatedAnswer::new(&payment, simulator.base_url())))
}

async fn show_payment(
    State(simulator): State<Simulator>,
    Extension(owner): Owner,
    Path(id): Path<String>,
) -> Result<Json<PaymentAnswer>, ApiError> {
    let payment = simulator.payment_of(&owner, &id)?;
    Ok(Json(PaymentAnswer::new(&payment, simulator.base_url())))
}

async fn delete_payment(
    State(simulator): State<Simulator>,
    Extension(owner): Owner,
    Path(id): Path<String>,
) -> Result<Json<Success>, ApiError> {
    simulator
        .delete(&owner, &id)
        .map_err(|refusal| match refusal {
            Refusal::Impossible { .. } => {
                ApiError::bad_request("Solo se pueden borrar pagos que estén pendientes de pagar")
            }
            other => other.into(),
        })?;
    Ok(Success::new("El pago fue borrado"))
}

/// Early payout: only for a payment that was paid through Khipu.
async fn confirm_payment(
    State(simulator): State<Simulator>,
    Extension(owner): Owner,
    Path(id): Path<String>,
) -> Result<Json<Success>, ApiError> {
    match simulator.payment_of(&owner, &id)?.status {
        Status::Done(StatusDetail::Normal | StatusDetail::PartiallyRefunded) => {
            Ok(Success::new("El pago fue confirmado"))
        }
        _ => Err(ApiError::bad_request("El pago no está conciliado")),
    }
}

async fn refund_payment(
    State(simulator): State<Simulator>,
    Extension(owner): Owner,
    Path(id): Path<String>,
    body: Bytes,
) -> Result<Json<Success>, ApiError> {
    let amount = validation::payment_refund(&body)?;
    simulator.refund(&owner, &id, amount, RefundFrom::Collected)?;
    Ok(Success::new("El reembolso fue solicitado"))
}

async fn refund_from_wallet(
    State(simulator): State<Simulator>,
    Extension(owner): Owner,
    body: Bytes,
) -> Result<Json<RefundAnswer>, ApiError> {
    let request = validation::refund(&body)?;
    let (payment, refund) = simulator.refund(
        &owner,
        &request.payment_id,
        request.amount,
        RefundFrom::Wallet,
    )?;
    Ok(Json(RefundAnswer::new(&payment, &refund)))
}

async fn wallet_balance(
    State(simulator): State<Simulator>,
    Extension(owner): Owner,
) -> Json<Value> {
    Json(json!({
        "balance": simulator.wallet_balance(&owner),
        "currency": WALLET_CURRENCY,
        "add_funds_url": format!("{}/refund-wallet", simulator.base_url()),
    }))
}

async fn predict_payment(RawQuery(query): RawQuery) -> Result<Json<PredictionAnswer>, ApiError> {
    let request = validation::predict(&query.unwrap_or_default())?;
    Ok(Json(predict(&request)))
}

/// Answers a new account as Khipu does; the sandbox still serves only the accounts of its options.
async fn create_receiver(body: Bytes) -> Result<Json<Value>, ApiError> {
    validation::receiver(&body)?;
    Ok(Json(json!({
        "receiver_id": new_receiver_id().to_string(),
        "secret": new_secret(),
    })))
}

async fn list_payment_methods(
    State(simulator): State<Simulator>,
    Extension(owner): Owner,
    Path(id): Path<String>,
) -> Result<Json<PaymentMethodsAnswer>, ApiError> {
    let id: u64 = id
        .parse()
        .map_err(|_| ApiError::field("id", "debe ser un número"))?;
    if id != owner.receiver_id {
        return Err(ApiError::not_found("La cuenta de cobro no existe"));
    }
    Ok(Json(payment_methods(simulator.base_url())))
}

async fn require_key(
    State(simulator): State<Simulator>,
    mut request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    let key = request.headers().get("x-api-key");
    let owner = key.and_then(|key| simulator.accounts().by_key(key.as_bytes()));
    if let Some(owner) = owner {
        request.extensions_mut().insert(Arc::clone(owner));
        return Ok(next.run(request).await);
    }
    Err(ApiError::new(
        StatusCode::UNAUTHORIZED,
        "Credenciales no válidas o faltantes",
    ))
}

/// Delays the call or fails it, before or after its effect, according to the behaviour.
async fn inject_faults(
    State(simulator): State<Simulator>,
    request: Request,
    next: Next,
) -> Response {
    let faults = simulator.call_faults();
    if !faults.latency.is_zero() {
        tokio::time::sleep(faults.latency).await;
    }
    if let Some(status) = faults.refused_with {
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        return ApiError::new(status, "Error inyectado por el simulador").into_response();
    }
    let answer = next.run(request).await;
    if !faults.answer_delay.is_zero() {
        tokio::time::sleep(faults.answer_delay).await;
    }
    if faults.fails_after_effect && answer.status().is_success() {
        return ApiError::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "Servidor no pudo completar la solicitud",
        )
        .into_response();
    }
    answer
}

/// Khipu's answer to a call without a result.
#[derive(Serialize)]
struct Success {
    message: &'static str,
}

impl Success {
    fn new(message: &'static str) -> Json<Self> {
        Json(Self { message })
    }
}

/// The API's errors; `control` and `bank_page` have their own texts where they differ.
impl From<Refusal> for ApiError {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::UnknownPayment => Self::not_found("El pago no existe"),
            Refusal::Payer(_) => Self::bad_request("El pagador no puede pagar este cobro"),
            Refusal::Impossible { status } => Self::bad_request(format!(
                "El pago está en estado {} y no permite la operación",
                status.name()
            )),
            Refusal::Refund(RefundError::NotPaid) => Self::bad_request(
                "Solo se pueden reembolsar pagos conciliados que no hayan sido reembolsados por completo",
            ),
            Refusal::Refund(RefundError::PaidOut) => Self::bad_request(
                "Los fondos del cobro ya fueron rendidos: la fecha final para reembolsarlo pasó",
            ),
            Refusal::Refund(RefundError::MoreThanRemains) => {
                Self::field("amount", "excede lo que queda por reembolsar")
            }
            Refusal::EmptyWallet => Self::field("amount", "excede el saldo para reembolsos"),
            Refusal::Full => Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                format!(
                    "the sandbox holds {MAX_PAYMENTS} payments: POST /sandbox/reset to empty it"
                ),
            ),
        }
    }
}
