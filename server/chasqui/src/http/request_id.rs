//! The id of each request, in its answer, its errors and the log.

use std::convert::Infallible;
use std::sync::Arc;

use axum::extract::{FromRequestParts, MatchedPath, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use axum::middleware::Next;
use axum::response::Response;
use tracing::Instrument;

use super::problem::ApiProblem;

const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// A caller's id is kept if it is short and plain, so that callers cannot write log lines.
const MAX_REQUEST_ID_LENGTH: usize = 128;

/// For a handler that renders a problem itself.
#[derive(Debug, Clone)]
pub(super) struct RequestId(Arc<str>);

impl RequestId {
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

impl<S: Sync> FromRequestParts<S> for RequestId {
    type Rejection = Infallible;

    #[expect(clippy::expect_used, reason = "every request passes `identify`")]
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let id = parts.extensions.get::<Self>();
        Ok(id.expect("a request has an id").clone())
    }
}

/// The outermost layer: accepts or generates the request's id, echoes it, and renders problems.
pub(super) async fn identify(mut request: Request, next: Next) -> Response {
    let id = id_of(request.headers());
    // The URL's pattern, not its path, which may hold a payer's reference.
    let pattern = request
        .extensions()
        .get::<MatchedPath>()
        .map_or("unknown", MatchedPath::as_str);
    let span = tracing::info_span!("request", request_id = %id, method = %request.method(), path = pattern);
    request
        .extensions_mut()
        .insert(RequestId(id.as_str().into()));
    let mut response = next.run(request).instrument(span.clone()).await;
    if let Some(problem) = response.extensions_mut().remove::<ApiProblem>() {
        let _entered = span.enter();
        let (status, code, detail) = (problem.status.as_u16(), problem.code, &problem.detail);
        if problem.status.is_server_error() {
            tracing::warn!(status, code, detail, "request failed");
        } else {
            tracing::debug!(status, code, detail, "request failed");
        }
        let rendered = problem.render(&id);
        // Keep headers that other layers added (CORS).
        let (mut parts, body) = rendered.into_parts();
        for (name, value) in response.headers() {
            if !parts.headers.contains_key(name) && name != axum::http::header::CONTENT_LENGTH {
                parts.headers.append(name.clone(), value.clone());
            }
        }
        response = Response::from_parts(parts, body);
    }
    name(&mut response, &id);
    response
}

/// The answer to a request that reaches no router. It is not logged: there may be very many.
pub(super) fn refuse<B>(request: &Request<B>, problem: &ApiProblem) -> Response {
    let id = id_of(request.headers());
    let mut response = problem.render(&id);
    name(&mut response, &id);
    response
}

fn id_of(headers: &HeaderMap) -> String {
    headers
        .get(&X_REQUEST_ID)
        .and_then(|value| value.to_str().ok())
        .filter(|id| is_plain(id))
        .map_or_else(|| format!("{:032x}", rand::random::<u128>()), str::to_owned)
}

#[expect(clippy::expect_used, reason = "an id is made here or checked")]
fn name(response: &mut Response, id: &str) {
    let value = HeaderValue::from_str(id).expect("a plain id");
    response.headers_mut().insert(X_REQUEST_ID, value);
}

fn is_plain(id: &str) -> bool {
    (1..=MAX_REQUEST_ID_LENGTH).contains(&id.len())
        && id
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"-_.:".contains(&b))
}
