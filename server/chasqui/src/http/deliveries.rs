//! Deliveries to the merchant: those that are open or dead, and sending them again.

use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use chasqui_core::{Permission, RedeliveryError};
use chasqui_payment::{DeliveryState, PaymentId, Timestamp, Undelivered};
use chasqui_store::ListedDelivery;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::api_schemas::{ApiErrors, RedeliveryErrors};
use super::app_state::SharedState;
use super::auth::{MerchantAuth, payment_id};
use super::body::{self, json_of};
use super::listing::parse_limit;
use super::problem::ApiProblem;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DeliveriesQuery {
    state: Option<String>,
    limit: Option<String>,
    starting_after: Option<String>,
}

#[derive(Serialize, ToSchema)]
pub(super) struct DeliveryList {
    deliveries: Vec<DeliveryObject>,
    /// Whether there are more behind the last one.
    has_more: bool,
}

#[derive(Serialize, ToSchema)]
struct DeliveryObject {
    payment_id: String,
    /// open or dead
    #[schema(value_type = String)]
    state: DeliveryState,
    /// Since it was scheduled or sent again.
    attempts: u32,
    /// `200`, `connection refused`; null before the first attempt.
    last_result: Option<String>,
    #[schema(value_type = Option<String>, format = DateTime)]
    last_at: Option<Timestamp>,
    /// Null where none is planned.
    #[schema(value_type = Option<String>, format = DateTime)]
    next_at: Option<Timestamp>,
}

impl From<ListedDelivery> for DeliveryObject {
    fn from(listed: ListedDelivery) -> Self {
        let (last_result, last_at) = match listed.delivery.last {
            Some(last) => (Some(last.result), Some(last.at)),
            None => (None, None),
        };
        Self {
            payment_id: listed.payment_id.to_string(),
            state: listed.delivery.state,
            attempts: listed.delivery.attempts,
            last_result,
            last_at,
            next_at: listed.delivery.next_at,
        }
    }
}

/// Deliveries that the merchant does not have, the first scheduled first.
#[utoipa::path(
    get,
    path = "/v1/deliveries",
    operation_id = "list_deliveries",
    tag = "Deliveries",
    params(
        ("state" = String, Query, description = "open or dead"),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 1000, description = "100 if absent"),
        ("starting_after" = Option<String>, Query, description = "the payment_id of the last delivery of the page before")
    ),
    responses((status = 200, description = "The account's deliveries in this state", body = DeliveryList), ApiErrors),
    security(("api_key" = []))
)]
pub(super) async fn list(
    State(state): SharedState,
    auth: MerchantAuth,
    query: Result<Query<DeliveriesQuery>, QueryRejection>,
) -> Result<Response, ApiProblem> {
    let account = auth.require(Permission::Payments)?;
    let Query(query) =
        query.map_err(|error| ApiProblem::bad_request("invalid_query", error.body_text()))?;
    let of_state = query.state.as_deref().and_then(Undelivered::parse);
    let of_state = of_state
        .ok_or_else(|| ApiProblem::bad_request("invalid_state", "state must be open or dead"))?;
    let limit = parse_limit(query.limit.as_deref())?;
    let unknown = || {
        ApiProblem::bad_request(
            "invalid_starting_after",
            "starting_after must be the payment_id of a delivery of this account",
        )
    };
    let after = query.starting_after.as_deref().map(PaymentId::parse);
    let after = after.transpose().map_err(|_| unknown())?;
    let found = state
        .payments
        .undelivered(&account, of_state, after.as_ref(), limit + 1)
        .await?;
    let mut found = found.ok_or_else(unknown)?;
    let has_more = found.len() > limit;
    found.truncate(limit);
    Ok(json_of(&DeliveryList {
        deliveries: found.into_iter().map(DeliveryObject::from).collect(),
        has_more,
    }))
}

/// Sends the confirmation of one payment again, with the same webhook-id.
#[utoipa::path(
    post,
    path = "/v1/payments/{id}/redeliver",
    operation_id = "redeliver_payment",
    tag = "Deliveries",
    params(("id" = String, Path, description = "payment_id")),
    responses((status = 202, description = "It is due now, or was open already"), ApiErrors, RedeliveryErrors),
    security(("api_key" = []))
)]
pub(super) async fn redeliver(
    State(state): SharedState,
    auth: MerchantAuth,
    Path(id): Path<String>,
) -> Result<StatusCode, ApiProblem> {
    let account = auth.require(Permission::Payments)?;
    let id = payment_id(&id)?;
    state.payments.redeliver(&account, &id).await?;
    Ok(StatusCode::ACCEPTED)
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct BulkRedelivery {
    /// dead
    state: String,
    /// Only count. False if absent.
    #[serde(default)]
    dry_run: bool,
}

#[derive(Serialize, ToSchema)]
pub(super) struct RedeliveredCount {
    /// The deliveries that are due again, or with dry_run would be.
    count: usize,
    /// There may be more: one call takes 10,000. Call again.
    has_more: bool,
}

/// Sends all dead deliveries of the account again, 50 a second.
#[utoipa::path(
    post,
    path = "/v1/deliveries/redeliver",
    operation_id = "redeliver_dead",
    tag = "Deliveries",
    request_body = BulkRedelivery,
    responses((status = 200, description = "How many", body = RedeliveredCount), ApiErrors),
    security(("api_key" = []))
)]
pub(super) async fn redeliver_dead(
    State(state): SharedState,
    auth: MerchantAuth,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, ApiProblem> {
    let account = auth.require(Permission::Payments)?;
    let body = body::read(body)?;
    let request: BulkRedelivery = serde_json::from_slice(&body).map_err(|error| {
        let detail = format!(r#"send {{"state":"dead","dry_run":true}}: {error}"#);
        ApiProblem::bad_request("invalid_body", detail)
    })?;
    if Undelivered::parse(&request.state) != Some(Undelivered::Dead) {
        let detail = "state must be dead: an open delivery is sent by itself";
        return Err(ApiProblem::bad_request("invalid_state", detail));
    }
    let redelivered = state
        .payments
        .redeliver_dead(&account, request.dry_run)
        .await?;
    Ok(json_of(&RedeliveredCount {
        count: redelivered.count,
        has_more: redelivered.has_more,
    }))
}

impl From<RedeliveryError> for ApiProblem {
    fn from(error: RedeliveryError) -> Self {
        let detail = error.to_string();
        match error {
            RedeliveryError::NotConfirmed(_) => {
                Self::new(StatusCode::CONFLICT, "not_confirmed", detail)
            }
            RedeliveryError::NoDestination => {
                Self::new(StatusCode::CONFLICT, "no_notify_url", detail)
            }
            RedeliveryError::Erased(_) => Self::new(StatusCode::GONE, "erased", detail),
            RedeliveryError::Payments(error) => error.into(),
        }
    }
}
