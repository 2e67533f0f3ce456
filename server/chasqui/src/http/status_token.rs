//! A new status token for a merchant's back end.

use axum::extract::{Path, State};
use axum::response::Response;
use chasqui_core::{Permission, clock};
use chasqui_payment::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use super::api_schemas::ApiErrors;
use super::app_state::SharedState;
use super::auth::{MerchantAuth, payment_id};
use super::body::json_of;
use super::problem::ApiProblem;

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
pub(super) async fn mint(
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
    Ok(json_of(&minted))
}
