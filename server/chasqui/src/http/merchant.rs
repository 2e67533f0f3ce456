//! Chasqui's own API for merchants' back ends, under `/v1`.

use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::response::Response;
use chasqui_core::{Permission, clock};
use chasqui_payment::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::api_schemas::{ApiErrors, PaymentList};
use super::app_state::SharedState;
use super::auth::{MerchantAuth, payment_id};
use super::body::json;
use super::problem::ApiProblem;

/// The longest that Khipu takes.
const LONGEST_TRANSACTION_ID: usize = 255;

#[derive(Debug, Deserialize)]
pub(super) struct TransactionQuery {
    transaction_id: Option<String>,
}

/// The status objects of all payments with a transaction id.
#[utoipa::path(
    get,
    path = "/v1/payments",
    tag = "Payments",
    params(("transaction_id" = String, Query, description = "1 to 255 characters")),
    responses((status = 200, description = "The account's payments with this transaction id, the newest first", body = PaymentList), ApiErrors),
    security(("api_key" = []))
)]
pub(super) async fn by_transaction(
    State(state): SharedState,
    auth: MerchantAuth,
    query: Result<Query<TransactionQuery>, QueryRejection>,
) -> Result<Response, ApiProblem> {
    let account = auth.require(Permission::Payments)?;
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

#[derive(Serialize, ToSchema)]
struct MintedToken {
    status_token: String,
    #[schema(value_type = String, format = DateTime)]
    expires_at: Timestamp,
}

#[utoipa::path(
    post,
    path = "/v1/payments/{id}/status-token",
    tag = "Payments",
    params(("id" = String, Path, description = "payment_id")),
    responses((status = 200, description = "A new status token", body = MintedToken), ApiErrors),
    security(("api_key" = []))
)]
pub(super) async fn status_token(
    State(state): SharedState,
    auth: MerchantAuth,
    Path(id): Path<String>,
) -> Result<Response, ApiProblem> {
    let account = auth.require(Permission::Payments)?;
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
