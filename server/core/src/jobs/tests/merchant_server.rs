//! A merchant's HTTP server that reports the requests it receives.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use bytes::Bytes;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::fixture::DEADLINE;

#[derive(Debug)]
pub(in crate::jobs) struct ReceivedRequest {
    pub(in crate::jobs) path: String,
    pub(in crate::jobs) headers: HeaderMap,
    pub(in crate::jobs) body: Bytes,
}

impl ReceivedRequest {
    pub(in crate::jobs) fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().expect("text"))
    }
}

/// The path chooses the answer; [`MerchantServer::next`] returns the requests.
#[derive(Debug)]
pub(in crate::jobs) struct MerchantServer {
    pub(in crate::jobs) address: SocketAddr,
    pub(in crate::jobs) bytes_answered: Arc<AtomicUsize>,
    received: mpsc::UnboundedReceiver<ReceivedRequest>,
}

#[derive(Clone)]
struct Inbox {
    received: mpsc::UnboundedSender<ReceivedRequest>,
    bytes_answered: Arc<AtomicUsize>,
}

impl MerchantServer {
    pub(in crate::jobs) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
        let address = listener.local_addr().expect("address");
        let (sender, received) = mpsc::unbounded_channel();
        let bytes_answered = Arc::new(AtomicUsize::new(0));
        let inbox = Inbox {
            received: sender,
            bytes_answered: Arc::clone(&bytes_answered),
        };
        let router = Router::new()
            .route("/answer/{status}", post(answer))
            .route("/answer/{status}/{retry_after}", post(answer_later))
            .route("/hang", post(hang))
            .route("/huge", post(huge))
            .with_state(inbox);
        tokio::spawn(axum::serve(listener, router).into_future());
        Self {
            address,
            bytes_answered,
            received,
        }
    }

    pub(in crate::jobs) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub(in crate::jobs) async fn next(&mut self) -> ReceivedRequest {
        timeout(DEADLINE, self.received.recv())
            .await
            .expect("in time")
            .expect("a request")
    }

    /// The requests that [`next`](Self::next) has not returned.
    pub(in crate::jobs) fn waiting(&self) -> usize {
        self.received.len()
    }

    pub(in crate::jobs) fn is_empty(&self) -> bool {
        self.received.is_empty()
    }
}

impl Inbox {
    async fn take(&self, request: Request) {
        let (parts, body) = request.into_parts();
        let body = axum::body::to_bytes(body, 1 << 20).await.expect("body");
        let received = ReceivedRequest {
            path: parts.uri.path().to_owned(),
            headers: parts.headers,
            body,
        };
        // A test that has seen enough may be gone.
        let _ = self.received.send(received);
    }
}

async fn answer(State(inbox): State<Inbox>, Path(status): Path<u16>, request: Request) -> Response {
    inbox.take(request).await;
    let status = StatusCode::from_u16(status).expect("status");
    (status, [("location", "/answer/200")]).into_response()
}

async fn answer_later(
    State(inbox): State<Inbox>,
    Path((status, retry_after)): Path<(u16, String)>,
    request: Request,
) -> Response {
    inbox.take(request).await;
    let status = StatusCode::from_u16(status).expect("status");
    (status, [("retry-after", retry_after)]).into_response()
}

async fn hang(State(inbox): State<Inbox>, request: Request) -> Response {
    inbox.take(request).await;
    std::future::pending().await
}

/// 200 and a body without an end.
async fn huge(State(inbox): State<Inbox>, request: Request) -> Response {
    const CHUNK: &[u8] = &[b'x'; 64 * 1024];
    let counter = Arc::clone(&inbox.bytes_answered);
    inbox.take(request).await;
    let endless = futures_util::stream::repeat_with(move || {
        counter.fetch_add(CHUNK.len(), Ordering::Relaxed);
        Ok::<_, Infallible>(Bytes::from_static(CHUNK))
    });
    Body::from_stream(endless).into_response()
}
