//! The router of a listener: a small one while the store opens, then the full one.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Router, middleware};

use super::problem::ApiProblem;
use super::{operations, request_id};

/// A store that is not there yet is tried every second.
const STARTING_RETRY_AFTER: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(crate) struct RouterSlot {
    starting: Router,
    full: OnceLock<Router>,
}

impl RouterSlot {
    /// Answers `/livez`, and 503 elsewhere.
    pub(crate) fn starting() -> Arc<Self> {
        let starting = Router::new()
            .route("/livez", get(operations::alive))
            .route("/readyz", get(not_ready))
            .fallback(not_yet)
            .layer(middleware::from_fn(request_id::identify));
        Arc::new(Self {
            starting,
            full: OnceLock::new(),
        })
    }

    /// Replaces the router, for open connections too.
    pub(crate) fn install(&self, router: Router) {
        let installed = self.full.set(router);
        assert!(installed.is_ok(), "the router is installed once");
    }

    pub(super) fn current(&self) -> Router {
        self.full.get().unwrap_or(&self.starting).clone()
    }
}

async fn not_ready() -> Response {
    let retry_after = [(
        header::RETRY_AFTER,
        HeaderValue::from(STARTING_RETRY_AFTER.as_secs()),
    )];
    (StatusCode::SERVICE_UNAVAILABLE, retry_after, "starting\n").into_response()
}

async fn not_yet() -> ApiProblem {
    let detail = "this instance is waiting for its storage; try again";
    ApiProblem::new(StatusCode::SERVICE_UNAVAILABLE, "starting", detail)
        .retry_after(STARTING_RETRY_AFTER)
}
