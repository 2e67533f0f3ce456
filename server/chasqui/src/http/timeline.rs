//! A payment's history, and the erasure of its payer's data.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use chasqui_core::push::StatusObject;
use chasqui_core::{ErasureError, PaymentTimeline, Permission, clock};
use chasqui_payment::{JobKind, Source, Status, Timestamp, Verdict, WatchTransport};
use chasqui_store::{Delivery, TimelineEntry, TimelineEvent, Visit};
use serde::Serialize;

use super::api_schemas::{ApiErrors, ErasureErrors, Timeline};
use super::app_state::SharedState;
use super::auth::{MerchantAuth, payment_id};
use super::body::json_of;
use super::problem::ApiProblem;

/// What happened to a payment, oldest first.
#[utoipa::path(
    get,
    path = "/v1/payments/{id}/timeline",
    operation_id = "payment_timeline",
    tag = "Payments",
    params(("id" = String, Path, description = "payment_id")),
    responses((status = 200, description = "Its history, without the payer's data", body = Timeline), ApiErrors),
    security(("api_key" = []))
)]
pub(super) async fn timeline(
    State(state): SharedState,
    auth: MerchantAuth,
    Path(id): Path<String>,
) -> Result<Response, ApiProblem> {
    let account = auth.require(Permission::Payments)?;
    let id = payment_id(&id)?;
    let timeline = state.payments.timeline(&account, &id).await?;
    Ok(json_of(&TimelineObject::of(&timeline, clock::now())))
}

/// Erases the bytes of the payment's notifications, which hold the payer's data. The timeline stays.
#[utoipa::path(
    delete,
    path = "/v1/payments/{id}/personal-data",
    operation_id = "erase_personal_data",
    tag = "Payments",
    params(("id" = String, Path, description = "payment_id")),
    responses((status = 204, description = "There is none, or no more"), ApiErrors, ErasureErrors),
    security(("api_key" = []))
)]
pub(super) async fn erase(
    State(state): SharedState,
    auth: MerchantAuth,
    Path(id): Path<String>,
) -> Result<StatusCode, ApiProblem> {
    let account = auth.require(Permission::Payments)?;
    let id = payment_id(&id)?;
    state.payments.require_payment(&account, &id).await?;
    state.payments.erase_payer_data(&account, &id).await?;
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Serialize)]
struct TimelineObject<'a> {
    payment_id: &'a str,
    transaction_id: Option<&'a str>,
    created_at: Timestamp,
    expires_at: Option<Timestamp>,
    status: StatusObject<'a>,
    entries: Vec<Entry<'a>>,
    delivery: DeliveryObject,
}

#[derive(Serialize)]
struct DeliveryObject {
    state: &'static str,
    attempts: u32,
    next_at: Option<Timestamp>,
}

#[derive(Serialize)]
struct Entry<'a> {
    at: Timestamp,
    #[serde(flatten)]
    event: Event<'a>,
}

#[derive(Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
enum Event<'a> {
    Created,
    Returned,
    Notified {
        verdict: Verdict,
        copies: u32,
    },
    Observed {
        source: Source,
        status: Status,
        version: u16,
        accepted: bool,
    },
    Watched {
        transport: WatchTransport,
    },
    Seen {
        version: u16,
    },
    Attempted {
        number: u32,
        result: &'a str,
        duration_ms: u64,
    },
    Redelivered,
    Erased,
}

impl<'a> TimelineObject<'a> {
    fn of(timeline: &'a PaymentTimeline, now: Timestamp) -> Self {
        let payment = &timeline.payment;
        let terms = payment.terms.as_ref();
        Self {
            payment_id: payment.id.as_str(),
            transaction_id: terms.and_then(|terms| terms.transaction_id.as_deref()),
            created_at: payment.created_at,
            expires_at: payment.expires_at,
            status: StatusObject::of(payment, now),
            entries: timeline.entries.iter().filter_map(entry).collect(),
            delivery: DeliveryObject::of(timeline.delivery.as_ref()),
        }
    }
}

impl DeliveryObject {
    fn of(delivery: Option<&Delivery>) -> Self {
        Self {
            state: delivery.map_or("none", |delivery| delivery.state.as_str()),
            attempts: delivery.map_or(0, |delivery| delivery.attempts),
            next_at: delivery.and_then(|delivery| delivery.next_at),
        }
    }
}

/// `None`: an attempt that is not a delivery's. What a check found out is observed.
fn entry(entry: &TimelineEntry) -> Option<Entry<'_>> {
    let event = match &entry.event {
        TimelineEvent::Created => Event::Created,
        TimelineEvent::Observed {
            source,
            version,
            accepted,
        } => Event::Observed {
            source: *source,
            status: version.status(),
            version: version.number(),
            accepted: *accepted,
        },
        TimelineEvent::Notified { verdict, copies } => Event::Notified {
            verdict: *verdict,
            copies: *copies,
        },
        TimelineEvent::Attempted {
            kind: JobKind::Delivery,
            number,
            result,
            duration,
        } => Event::Attempted {
            number: *number,
            result,
            duration_ms: u64::try_from(duration.as_millis()).unwrap_or(u64::MAX),
        },
        TimelineEvent::Attempted { .. } => return None,
        TimelineEvent::Visited(Visit::Returned) => Event::Returned,
        TimelineEvent::Visited(Visit::Watched(transport)) => Event::Watched {
            transport: *transport,
        },
        TimelineEvent::Visited(Visit::Seen(version)) => Event::Seen {
            version: version.number(),
        },
        TimelineEvent::Redelivered => Event::Redelivered,
        TimelineEvent::Erased => Event::Erased,
    };
    Some(Entry {
        at: entry.at,
        event,
    })
}

impl From<ErasureError> for ApiProblem {
    fn from(error: ErasureError) -> Self {
        match error {
            ErasureError::DeliveryOpen => {
                let detail = error.to_string();
                Self::new(StatusCode::CONFLICT, "delivery_open", detail)
            }
            ErasureError::Payments(error) => error.into(),
        }
    }
}
