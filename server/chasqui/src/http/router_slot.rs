//! What a listener answers: what it can say before the storage is there, and then all of it.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::Router;
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware;
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use super::operations;
use super::problem::ApiProblem;
use super::request_id;

/// The storage is looked for every second.
const RETRY_AFTER: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(crate) struct RouterSlot {
    starting: Router,
    opened: OnceLock<Router>,
}

impl RouterSlot {
    /// Says that the process lives, and that it cannot do anything yet.
    pub(crate) fn starting() -> Arc<Self> {
        let starting = Router::new()
            .route("/livez", get(operations::alive))
            .route("/readyz", get(not_ready))
            .fallback(not_yet)
            .layer(middleware::from_fn(request_id::identify));
        Arc::new(Self {
            starting,
            opened: OnceLock::new(),
        })
    }

    /// From now on this answers, on connections that are open too.
    pub(crate) fn install(&self, router: Router) {
        let opened = self.opened.set(router);
        assert!(opened.is_ok(), "it is opened once");
    }

    pub(super) fn current(&self) -> Router {
        self.opened.get().unwrap_or(&self.starting).clone()
    }
}

async fn not_ready() -> Response {
    let retry_after = [(
        header::RETRY_AFTER,
        HeaderValue::from(RETRY_AFTER.as_secs()),
    )];
    (StatusCode::SERVICE_UNAVAILABLE, retry_after, "starting\n").into_response()
}

async fn not_yet() -> ApiProblem {
    let detail = "this instance waits for its storage; try again";
    ApiProblem::new(StatusCode::SERVICE_UNAVAILABLE, "starting", detail).retry_after(RETRY_AFTER)
}
