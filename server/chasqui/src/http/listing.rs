//! `GET /v1/payments`: an account's payments, by their transaction id or by their last change.

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::response::Response;
use chasqui_core::push::StatusObject;
use chasqui_core::{Account, Permission};
use chasqui_payment::{PaymentId, Status, Timestamp};
use chasqui_store::{ChangeCursor, ChangedPayment};
use serde::{Deserialize, Serialize};

use super::api_schemas::{ApiErrors, PaymentList};
use super::app_state::{AppState, SharedState};
use super::auth::MerchantAuth;
use super::body::{json, json_of};
use super::problem::ApiProblem;

/// The longest that Khipu takes.
const LONGEST_TRANSACTION_ID: usize = 255;

/// The objects of a page: by default, and at most.
const USUAL_LIMIT: usize = 100;
const LARGEST_LIMIT: usize = 1000;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ListQuery {
    transaction_id: Option<String>,
    updated_since: Option<String>,
    status: Option<String>,
    limit: Option<String>,
    starting_after: Option<String>,
}

/// The status objects of the payments with a transaction id, or of those that changed since a time.
#[utoipa::path(
    get,
    path = "/v1/payments",
    operation_id = "list_payments",
    tag = "Payments",
    params(
        ("transaction_id" = Option<String>, Query, min_length = 1, max_length = 255, description = "the payments with exactly this id, the newest first, at most 100; without the other parameters"),
        ("updated_since" = Option<String>, Query, format = DateTime, description = "the payments whose last change came after this time, the oldest change first"),
        ("status" = Option<String>, Query, description = "with updated_since: only payments that have this status now"),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 1000, description = "with updated_since; 100 if absent"),
        ("starting_after" = Option<String>, Query, description = "with updated_since: `next` of the page before, or the payment_id of its last object")
    ),
    responses((status = 200, description = "The account's payments; with updated_since each has transaction_id and updated_at", body = PaymentList), ApiErrors),
    security(("api_key" = []))
)]
pub(super) async fn payments(
    State(state): SharedState,
    auth: MerchantAuth,
    query: Result<Query<ListQuery>, QueryRejection>,
) -> Result<Response, ApiProblem> {
    let account = auth.require(Permission::Payments)?;
    let Query(query) =
        query.map_err(|error| ApiProblem::bad_request("invalid_query", error.body_text()))?;
    match (&query.transaction_id, &query.updated_since) {
        (Some(_), Some(_)) => Err(ApiProblem::bad_request(
            "invalid_query",
            "give transaction_id or updated_since, not both",
        )),
        (None, Some(since)) => changed_since(&state, &account, since, &query).await,
        (transaction_id, None) => {
            by_transaction(&state, &account, transaction_id.as_deref(), &query).await
        }
    }
}

async fn by_transaction(
    state: &AppState,
    account: &Account,
    transaction_id: Option<&str>,
    query: &ListQuery,
) -> Result<Response, ApiProblem> {
    let transaction_id = transaction_id
        .filter(|id| (1..=LONGEST_TRANSACTION_ID).contains(&id.chars().count()))
        .ok_or_else(|| {
            ApiProblem::bad_request(
                "invalid_transaction_id",
                "give ?transaction_id= with 1 to 255 characters, or ?updated_since= with a time",
            )
        })?;
    let others = [&query.status, &query.limit, &query.starting_after];
    if others.iter().any(|other| other.is_some()) {
        return Err(ApiProblem::bad_request(
            "invalid_query",
            "status, limit and starting_after go with updated_since, not with transaction_id",
        ));
    }
    let found = state.payments.by_transaction(account, transaction_id);
    let payments = found.await?;
    let objects: Vec<_> = payments.iter().map(|message| &message.json[..]).collect();
    Ok(json(
        [br#"{"payments":["#, &*objects.join(&b","[..]), b"]}"].concat(),
    ))
}

#[derive(Serialize)]
struct ChangedPage<'a> {
    payments: Vec<ChangedObject<'a>>,
    has_more: bool,
    /// For `starting_after`. On the last page too: a reading that goes on from it tomorrow misses nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

#[derive(Serialize)]
struct ChangedObject<'a> {
    #[serde(flatten)]
    status: StatusObject<'a>,
    transaction_id: Option<&'a str>,
    updated_at: Timestamp,
}

async fn changed_since(
    state: &AppState,
    account: &Account,
    since: &str,
    query: &ListQuery,
) -> Result<Response, ApiProblem> {
    let since = Timestamp::parse(since).map_err(|_| {
        ApiProblem::bad_request(
            "invalid_updated_since",
            "updated_since must be a time such as 2026-11-22T06:30:00Z",
        )
    })?;
    let status = query.status.as_deref().map(parse_status).transpose()?;
    let limit = parse_limit(query.limit.as_deref())?;
    let place = match &query.starting_after {
        Some(after) => Some(place(state, account, after).await?),
        None => None,
    };
    let cursor = later(since, place.as_ref());
    let found = state
        .payments
        .changed_since(account, &cursor, status, limit + 1);
    let mut changed = found.await?;
    let has_more = changed.len() > limit;
    changed.truncate(limit);
    let end = changed.last().map(Place::of).or(place);
    let page = ChangedPage {
        has_more,
        next: end.as_ref().map(Place::to_text),
        payments: changed.iter().map(ChangedObject::of).collect(),
    };
    Ok(json_of(&page))
}

impl<'a> ChangedObject<'a> {
    fn of(changed: &'a ChangedPayment) -> Self {
        Self {
            status: StatusObject::new(&changed.id, &changed.state, None),
            transaction_id: changed.transaction_id.as_deref(),
            updated_at: changed.updated_at,
        }
    }
}

/// The place of a change, not only of its payment, which may have changed again by then.
struct Place {
    updated_at: Timestamp,
    id: PaymentId,
}

impl Place {
    fn of(changed: &ChangedPayment) -> Self {
        Self {
            updated_at: changed.updated_at,
            id: changed.id.clone(),
        }
    }

    fn parse(text: &str) -> Option<Self> {
        let (ms, id) = text.split_once('.')?;
        Some(Self {
            updated_at: Timestamp::from_unix_ms(ms.parse().ok()?),
            id: PaymentId::parse(id).ok()?,
        })
    }

    /// `<unix ms>.<payment id>`
    fn to_text(&self) -> String {
        format!("{}.{}", self.updated_at.unix_ms(), self.id)
    }
}

/// A `next`, or the place that a payment has now.
async fn place(state: &AppState, account: &Account, after: &str) -> Result<Place, ApiProblem> {
    let place = match PaymentId::parse(after) {
        Ok(id) => {
            let updated_at = state.payments.changed_at(account, &id).await?;
            updated_at.map(|updated_at| Place { updated_at, id })
        }
        Err(_) => Place::parse(after),
    };
    place.ok_or_else(|| {
        ApiProblem::bad_request(
            "invalid_starting_after",
            "starting_after must be `next` of a page before, or a payment_id of this account's list",
        )
    })
}

/// The later of `since` and the place after which to go on.
fn later(since: Timestamp, place: Option<&Place>) -> ChangeCursor {
    match place {
        Some(place) if place.updated_at >= since => ChangeCursor {
            updated_at: place.updated_at,
            id: Some(place.id.clone()),
        },
        _ => ChangeCursor {
            updated_at: since,
            id: None,
        },
    }
}

fn parse_status(text: &str) -> Result<Status, ApiProblem> {
    Status::parse(text).ok_or_else(|| {
        ApiProblem::bad_request(
            "invalid_status",
            "status must be pending, verifying, confirmed, rejected, cancelled, expired or reversed",
        )
    })
}

/// The most objects of a page.
pub(super) fn parse_limit(text: Option<&str>) -> Result<usize, ApiProblem> {
    let Some(text) = text else {
        return Ok(USUAL_LIMIT);
    };
    let limit = text.parse().ok();
    limit
        .filter(|limit| (1..=LARGEST_LIMIT).contains(limit))
        .ok_or_else(|| {
            let detail = format!("limit must be a number from 1 to {LARGEST_LIMIT}");
            ApiProblem::bad_request("invalid_limit", detail)
        })
}
