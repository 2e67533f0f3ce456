//! The objects and errors of the API, as `/openapi.json` describes them. A test compares them with real answers.

use utoipa::{IntoResponses, ToSchema};

/// A payment's status.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes what the core renders")]
pub(super) struct StatusObject {
    payment_id: String,
    /// pending, verifying, confirmed, rejected, cancelled, expired or reversed
    status: String,
    /// Only rises; 1000 is confirmed, 1001 reversed.
    version: u16,
    /// Who caused `pending` or `verifying`: payer or khipu.
    by: Option<String>,
    r#final: bool,
    #[schema(format = DateTime)]
    at: String,
    /// Confirmed after expires_date.
    late: Option<bool>,
    reason: Option<String>,
    /// Where the payer can pay or try again.
    resume_url: Option<String>,
}

#[derive(ToSchema)]
#[expect(dead_code, reason = "describes what the handler renders")]
pub(super) struct PaymentList {
    payments: Vec<ListedPayment>,
    /// With updated_since.
    has_more: Option<bool>,
    /// For `starting_after`; with updated_since, unless the list is empty.
    next: Option<String>,
}

/// A payment's status, and with updated_since its transaction id and its last change.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes what the handler renders")]
pub(super) struct ListedPayment {
    payment_id: String,
    status: String,
    version: u16,
    by: Option<String>,
    r#final: bool,
    #[schema(format = DateTime)]
    at: String,
    late: Option<bool>,
    reason: Option<String>,
    /// With transaction_id.
    resume_url: Option<String>,
    /// With updated_since; null where the payment has none.
    transaction_id: Option<String>,
    /// With updated_since.
    #[schema(format = DateTime)]
    updated_at: Option<String>,
}

/// A payment's history.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes what the handler renders")]
pub(super) struct Timeline {
    payment_id: String,
    transaction_id: Option<String>,
    #[schema(format = DateTime)]
    created_at: String,
    #[schema(format = DateTime)]
    expires_at: Option<String>,
    status: StatusObject,
    entries: Vec<TimelineEntry>,
    delivery: TimelineDelivery,
}

/// Which fields an entry has depends on its event.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes what the handler renders")]
pub(super) struct TimelineEntry {
    #[schema(format = DateTime)]
    at: String,
    /// created, returned, notified, observed, watched, seen, attempted, redelivered or erased
    event: String,
    /// Of `notified`: agrees, stale, unknown_payment, mismatch or unconciliated.
    verdict: Option<String>,
    /// Of `notified`: how often it came.
    copies: Option<u32>,
    /// Of `observed`: notification, khipu, merchant or payer.
    source: Option<String>,
    /// Of `observed`.
    status: Option<String>,
    /// Of `observed` and `seen`.
    version: Option<u16>,
    /// Of `observed`: whether the status changed.
    accepted: Option<bool>,
    /// Of `watched`: websocket, sse or polling.
    transport: Option<String>,
    /// Of `attempted`; from 1 again after `redelivered`.
    number: Option<u32>,
    /// Of `attempted`: `200`, `connection refused`.
    result: Option<String>,
    /// Of `attempted`.
    duration_ms: Option<u64>,
}

#[derive(ToSchema)]
#[expect(dead_code, reason = "describes what the handler renders")]
pub(super) struct TimelineDelivery {
    /// none, open, done or dead
    state: String,
    attempts: u32,
    #[schema(format = DateTime)]
    next_at: Option<String>,
}

/// The further error of an erasure.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "describes what `ApiProblem` renders")]
pub(super) enum ErasureErrors {
    /// `delivery_open`
    #[response(status = 409, content_type = "application/problem+json")]
    DeliveryOpen(Problem),
}

/// The further errors of a redelivery.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "describes what `ApiProblem` renders")]
pub(super) enum RedeliveryErrors {
    /// `not_confirmed`, or `no_notify_url`.
    #[response(status = 409, content_type = "application/problem+json")]
    Conflict(Problem),
    /// `erased`: the bytes are gone, and Khipu does not give the content.
    #[response(status = 410, content_type = "application/problem+json")]
    Gone(Problem),
}

/// `application/problem+json`, which is also Khipu's shape.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes what `ApiProblem` renders")]
pub(super) struct Problem {
    r#type: String,
    title: String,
    status: u16,
    detail: String,
    /// Stable, for programs.
    code: String,
    request_id: String,
    message: String,
    errors: Vec<FieldError>,
}

#[derive(ToSchema)]
#[expect(dead_code, reason = "describes what `ApiProblem` renders")]
pub(super) struct FieldError {
    field: String,
    message: String,
}

/// The errors of a merchant's or watcher's call.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "describes what `ApiProblem` renders")]
pub(super) enum ApiErrors {
    /// The request cannot be read, or Khipu refuses it.
    #[response(status = 400, content_type = "application/problem+json")]
    BadRequest(Problem),
    /// The credentials are missing or not valid.
    #[response(status = 401, content_type = "application/problem+json")]
    Unauthorized(Problem),
    /// The key may not do this, the page's origin is not allowed, or Khipu forbids it.
    #[response(status = 403, content_type = "application/problem+json")]
    Forbidden(Problem),
    /// There is no such payment or URL for these credentials.
    #[response(status = 404, content_type = "application/problem+json")]
    NotFound(Problem),
    /// The body does not arrive in time.
    #[response(status = 408, content_type = "application/problem+json")]
    TooSlow(Problem),
    /// The body is larger than `limits.facade_bytes`.
    #[response(status = 413, content_type = "application/problem+json")]
    TooLarge(Problem),
    /// With Retry-After.
    #[response(status = 429, content_type = "application/problem+json")]
    TooManyRequests(Problem),
    /// Khipu fails, or refuses the gateway's own key.
    #[response(status = 502, content_type = "application/problem+json")]
    BadGateway(Problem),
    /// With Retry-After.
    #[response(status = 503, content_type = "application/problem+json")]
    Unavailable(Problem),
    /// Khipu does not answer in time.
    #[response(status = 504, content_type = "application/problem+json")]
    GatewayTimeout(Problem),
}

/// The further errors of a call that takes an `Idempotency-Key`.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "describes what `ApiProblem` renders")]
pub(super) enum ConflictErrors {
    /// The first request with this key is in progress, or its outcome is unknown.
    #[response(status = 409, content_type = "application/problem+json")]
    Conflict(Problem),
    /// The key was used with another body.
    #[response(status = 422, content_type = "application/problem+json")]
    KeyReused(Problem),
}

/// The errors of a notification.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "describes what `ApiProblem` renders")]
pub(super) enum KhipuErrors {
    #[response(status = 400, content_type = "application/problem+json")]
    BadRequest(Problem),
    /// The signature does not verify.
    #[response(status = 401, content_type = "application/problem+json")]
    Unauthorized(Problem),
    #[response(status = 404, content_type = "application/problem+json")]
    UnknownAccount(Problem),
    #[response(status = 413, content_type = "application/problem+json")]
    TooLarge(Problem),
    /// Not durable: Khipu sends it again.
    #[response(status = 503, content_type = "application/problem+json")]
    Unavailable(Problem),
}
