//! The control API under `/sandbox`, for tests and demos. It needs no key.

use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::action_request::{ActionRequest, refusal_error};
use crate::answers::PaymentAnswer;
use crate::api_error::ApiError;
use crate::behaviour::Behaviour;
use crate::notifier::{Counts, LoggedAttempt};
use crate::simulator::Simulator;

pub(crate) fn routes() -> Router<Simulator> {
    Router::new()
        .route("/sandbox/payments", get(list_payments))
        .route("/sandbox/payments/{id}", get(show_payment))
        .route("/sandbox/payments/{id}/actions", post(act))
        .route("/sandbox/behaviour", get(show_behaviour).put(put_behaviour))
        .route("/sandbox/notifications", get(list_notifications))
        .route("/sandbox/notifications/counts", get(count_notifications))
        .route("/sandbox/reset", post(reset))
}

async fn list_payments(State(simulator): State<Simulator>) -> Json<Vec<PaymentAnswer>> {
    Json(
        simulator
            .payments()
            .iter()
            .map(|payment| PaymentAnswer::new(payment, simulator.base_url()))
            .collect(),
    )
}

/// The same as `GET /v3/payments/{id}`, without its injected failures.
async fn show_payment(
    State(simulator): State<Simulator>,
    Path(id): Path<String>,
) -> Result<Json<PaymentAnswer>, ApiError> {
    let payment = simulator.payment(&id)?;
    Ok(Json(PaymentAnswer::new(&payment, simulator.base_url())))
}

/// Answers the payment in the form of GET.
async fn act(
    State(simulator): State<Simulator>,
    Path(id): Path<String>,
    body: Bytes,
) -> Result<Json<PaymentAnswer>, ApiError> {
    let request = ActionRequest::read(&body)?;
    let acted = if request.is_notified {
        simulator.act(&id, request.action)
    } else {
        simulator.act_unnotified(&id, request.action)
    };
    let payment = acted.map_err(|refusal| refusal_error(refusal, request.name))?;
    Ok(Json(PaymentAnswer::new(&payment, simulator.base_url())))
}

async fn show_behaviour(State(simulator): State<Simulator>) -> Json<Behaviour> {
    Json(simulator.behaviour())
}

/// Replaces the behaviour and restarts the random generators. Answers the new behaviour.
async fn put_behaviour(
    State(simulator): State<Simulator>,
    body: Bytes,
) -> Result<Json<Behaviour>, ApiError> {
    let behaviour = Behaviour::read(&body).map_err(ApiError::bad_request)?;
    simulator.behave(behaviour);
    Ok(Json(simulator.behaviour()))
}

#[derive(Deserialize)]
struct NotificationsQuery {
    payment_id: Option<String>,
}

async fn list_notifications(
    State(simulator): State<Simulator>,
    Query(query): Query<NotificationsQuery>,
) -> Json<Vec<LoggedAttempt>> {
    let mut attempts = simulator.notifier().attempts();
    if let Some(id) = query.payment_id {
        attempts.retain(|attempt| attempt.payment_id == id);
    }
    Json(attempts)
}

/// Counts since the start or the last reset, independent of the list's length.
async fn count_notifications(State(simulator): State<Simulator>) -> Json<Counts> {
    Json(simulator.notifier().counts())
}

async fn reset(State(simulator): State<Simulator>) -> Response {
    simulator.reset();
    let answer: Json<Value> = Json(json!({ "message": "the sandbox is empty" }));
    answer.into_response()
}
