//! The API for merchants' back ends: a drop-in for Khipu's API 3.0, and Chasqui's own additions.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::HeaderMap;
use axum::response::Response;
use chasqui_core::{Account, CreatedPayment, PaymentsError, clock};
use chasqui_khipu::JsonObject;
use chasqui_payment::Timestamp;
use serde::{Deserialize, Serialize};

use super::app_state::{AppState, SharedState};
use super::auth::{MerchantAuth, payment_id};
use super::body::{json, read};
use super::idempotency::{self, IdempotentCall};
use super::problem::ApiProblem;
use super::request_id::RequestId;

pub(super) async fn banks(
    State(state): SharedState,
    MerchantAuth(account): MerchantAuth,
) -> Result<Response, ApiProblem> {
    Ok(json(state.payments.banks(&account).await?))
}

pub(super) async fn create(
    State(state): SharedState,
    MerchantAuth(account): MerchantAuth,
    request_id: RequestId,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, ApiProblem> {
    let key = idempotency::key(&headers)?;
    let body = read(body)?;
    let fields = JsonObject::parse(&body)
        .map_err(|error| ApiProblem::bad_request("invalid_json", format!("the body is {error}")))?;
    let hop = !headers
        .get("chasqui-return-hop")
        .is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"off"));
    let work = create_and_render(Arc::clone(&state), Arc::clone(&account), fields, hop);
    match key {
        None => Ok(json(work.await?)),
        Some(key) => {
            let call = IdempotentCall {
                account: &account,
                route: "POST /v3/payments",
                key,
                body: &body,
                request_id,
            };
            call.run(&state, work).await
        }
    }
}

/// Khipu's answer, with the fields that a browser needs to watch the payment.
async fn create_and_render(
    state: Arc<AppState>,
    account: Arc<Account>,
    fields: JsonObject,
    hop: bool,
) -> Result<Bytes, PaymentsError> {
    let CreatedPayment {
        payment_id,
        mut fields,
    } = state.payments.create(&account, fields, hop).await?;
    let token = state.tokens.mint(&payment_id, &account.name, clock::now());
    let status_url = format!("/v1/payments/{payment_id}/status");
    fields.set("status_token", &token.text);
    fields.set("status_url", &state.server.public(&status_url));
    Ok(fields.to_json().into())
}

pub(super) async fn payment(
    State(state): SharedState,
    MerchantAuth(account): MerchantAuth,
    Path(id): Path<String>,
) -> Result<Response, ApiProblem> {
    let fields = state.payments.payment(&account, &payment_id(&id)?).await?;
    Ok(json(fields.to_json()))
}

pub(super) async fn delete(
    State(state): SharedState,
    MerchantAuth(account): MerchantAuth,
    Path(id): Path<String>,
) -> Result<Response, ApiProblem> {
    let answer = state.payments.delete(&account, &payment_id(&id)?).await?;
    Ok(json(answer))
}

/// The longest that Khipu takes.
const LONGEST_TRANSACTION_ID: usize = 255;

#[derive(Debug, Deserialize)]
pub(super) struct TransactionQuery {
    transaction_id: Option<String>,
}

/// The status objects of all payments with a transaction id.
pub(super) async fn by_transaction(
    State(state): SharedState,
    MerchantAuth(account): MerchantAuth,
    query: Result<Query<TransactionQuery>, QueryRejection>,
) -> Result<Response, ApiProblem> {
    let Query(query) =
        query.map_err(|error| ApiProblem::bad_request("invalid_query", error.body_text()))?;
    let transaction_id = query
        .transaction_id
        .filter(|id| (1..=LONGEST_TRANSACTION_ID).contains(&id.chars().count()))
        .ok_or_else(|| {
            ApiProblem::bad_request(
                "invalid_transaction_id",
                "give ?transaction_id= with 1 to 255 characters; other lists do not exist",
            )
        })?;
    let payments = state
        .payments
        .by_transaction(&account, &transaction_id)
        .await?;
    let objects: Vec<_> = payments.iter().map(|message| &message.json[..]).collect();
    Ok(json(
        [br#"{"payments":["#, &*objects.join(&b","[..]), b"]}"].concat(),
    ))
}

#[derive(Serialize)]
struct MintedToken {
    status_token: String,
    expires_at: Timestamp,
}

pub(super) async fn status_token(
    State(state): SharedState,
    MerchantAuth(account): MerchantAuth,
    Path(id): Path<String>,
) -> Result<Response, ApiProblem> {
    let id = payment_id(&id)?;
    state.payments.require_payment(&account, &id).await?;
    let token = state.tokens.mint(&id, &account.name, clock::now());
    let minted = MintedToken {
        status_token: token.text,
        expires_at: token.expires_at,
    };
    #[expect(clippy::expect_used, reason = "it has text fields alone")]
    let body = serde_json::to_vec(&minted).expect("JSON of text");
    Ok(json(body))
}
