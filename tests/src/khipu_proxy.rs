//! A proxy between the gateway and Khipu: records requests, and delays or replaces responses.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri};
use axum::response::Response;
use bytes::Bytes;
use reqwest::Client;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::deadline::within;
use crate::gateway_client::client;

/// Use [`KhipuProxy::url`] as `khipu.base_url`.
#[derive(Debug)]
pub struct KhipuProxy {
    pub url: String,
    state: Arc<ProxyState>,
    task: JoinHandle<()>,
}

/// A request of the gateway.
#[derive(Debug, Clone)]
pub struct RecordedRequest {
    pub method: Method,
    pub path: String,
    pub query: Option<String>,
    pub headers: HeaderMap,
    pub body: Bytes,
    pub at: Instant,
}

/// Which responses are held back. Khipu has had the request by then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum HeldResponses {
    Nothing,
    /// To `GET`.
    Gets,
    Posts,
    All,
}

#[derive(Debug)]
struct ProxyState {
    khipu_url: String,
    client: Client,
    requests: Mutex<Vec<RecordedRequest>>,
    /// Sent instead of forwarding the request.
    replacement: Mutex<Option<Replacement>>,
    /// Sent to the next request alone, or to the next of a method.
    next: Mutex<Option<(Option<Method>, Replacement)>>,
    /// Sent instead of Khipu's response to the next POST.
    next_post_response: Mutex<Option<Replacement>>,
    hold_gets_after_post: AtomicBool,
    holding: watch::Sender<HeldResponses>,
    /// How many responses are held now.
    held: watch::Sender<usize>,
}

#[derive(Debug, Clone)]
struct Replacement {
    status: u16,
    headers: Vec<(String, String)>,
    body: String,
}

impl KhipuProxy {
    pub async fn start(khipu_url: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        Self::on(listener, khipu_url)
    }

    /// On a listener of the test's own.
    pub fn on(listener: TcpListener, khipu_url: &str) -> Self {
        let state = Arc::new(ProxyState {
            khipu_url: khipu_url.into(),
            client: client(),
            requests: Mutex::default(),
            replacement: Mutex::default(),
            next: Mutex::default(),
            next_post_response: Mutex::default(),
            hold_gets_after_post: AtomicBool::new(false),
            holding: watch::Sender::new(HeldResponses::Nothing),
            held: watch::Sender::new(0),
        });
        let url = format!("http://{}", listener.local_addr().expect("bound"));
        let router = Router::new()
            .fallback(forward)
            .with_state(Arc::clone(&state));
        let task = tokio::spawn(async move {
            let _ = axum::serve(listener, router).await;
        });
        Self { url, state, task }
    }

    /// Every request so far.
    pub fn requests(&self) -> Vec<RecordedRequest> {
        lock(&self.state.requests).clone()
    }

    /// How often the gateway read a payment.
    pub fn request_count(&self, payment_id: &str) -> usize {
        self.request_times(payment_id).len()
    }

    /// When the gateway read a payment.
    pub fn request_times(&self, payment_id: &str) -> Vec<Instant> {
        let path = format!("/v3/payments/{payment_id}");
        lock(&self.state.requests)
            .iter()
            .filter(|request| request.method == Method::GET && request.path == path)
            .map(|request| request.at)
            .collect()
    }

    /// Answers every later request with this instead of forwarding it.
    pub fn respond_with(&self, status: u16, headers: &[(&str, &str)], body: &str) {
        *lock(&self.state.replacement) = Some(Replacement {
            status,
            headers: headers
                .iter()
                .map(|(name, value)| ((*name).into(), (*value).into()))
                .collect(),
            body: body.into(),
        });
    }

    /// Answers the next request with this, and forwards those after it.
    pub fn respond_once(&self, status: u16, body: &str) {
        self.respond_to_next(None, status, body);
    }

    /// The same for the next POST.
    pub fn respond_to_post_once(&self, status: u16, body: &str) {
        self.respond_to_next(Some(Method::POST), status, body);
    }

    fn respond_to_next(&self, method: Option<Method>, status: u16, body: &str) {
        let replacement = Replacement {
            status,
            headers: Vec::new(),
            body: body.into(),
        };
        *lock(&self.state.next) = Some((method, replacement));
    }

    /// Forwards the next POST, and answers it with 500 in place of Khipu's answer.
    pub fn lose_next_post_response(&self) {
        self.replace_next_post_response(500, "{}");
    }

    /// The same with another answer.
    pub fn replace_next_post_response(&self, status: u16, body: &str) {
        *lock(&self.state.next_post_response) = Some(Replacement {
            status,
            headers: Vec::new(),
            body: body.into(),
        });
    }

    /// Forwards requests to Khipu again.
    pub fn forward_again(&self) {
        *lock(&self.state.replacement) = None;
    }

    /// Forwards requests and holds all responses back.
    pub fn hold_responses(&self) {
        self.state.holding.send_replace(HeldResponses::All);
    }

    /// The same for responses to GET alone: a status that still arrives did not come from Khipu.
    pub fn hold_get_responses(&self) {
        self.state.holding.send_replace(HeldResponses::Gets);
    }

    /// The same, beginning with the next POST.
    pub fn hold_get_responses_after_post(&self) {
        self.state
            .hold_gets_after_post
            .store(true, Ordering::Relaxed);
    }

    pub fn hold_post_responses(&self) {
        self.state.holding.send_replace(HeldResponses::Posts);
    }

    pub fn release_responses(&self) {
        self.state.holding.send_replace(HeldResponses::Nothing);
    }

    /// Waits until this many responses are held.
    pub async fn until_held(&self, count: usize) {
        let mut held = self.state.held.subscribe();
        within(
            "khipu's answer is held back",
            held.wait_for(|&held| held >= count),
        )
        .await
        .expect("the proxy runs");
    }
}

impl Drop for KhipuProxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl From<Replacement> for Response {
    fn from(replacement: Replacement) -> Self {
        let mut answer = Response::builder().status(replacement.status);
        for (name, value) in &replacement.headers {
            answer = answer.header(name, value);
        }
        answer
            .body(Body::from(replacement.body))
            .expect("a response")
    }
}

async fn forward(
    State(state): State<Arc<ProxyState>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    if is_key_check(&method, &uri, &headers) {
        return forward_to_khipu(&state, method, &uri, &headers, body).await;
    }
    lock(&state.requests).push(RecordedRequest {
        method: method.clone(),
        path: uri.path().to_owned(),
        query: uri.query().map(str::to_owned),
        headers: headers.clone(),
        body: body.clone(),
        at: Instant::now(),
    });
    let (is_get, is_post) = (method == Method::GET, method == Method::POST);
    let is_next =
        |(of, _): &mut (Option<Method>, Replacement)| of.as_ref().is_none_or(|of| *of == method);
    let next = lock(&state.next).take_if(is_next);
    let replacement = next
        .map(|(_, replacement)| replacement)
        .or_else(|| lock(&state.replacement).clone());
    let answer = match replacement {
        Some(replacement) => replacement.into(),
        None => {
            let answer = forward_to_khipu(&state, method, &uri, &headers, body).await;
            let next = lock(&state.next_post_response).take_if(|_| is_post);
            next.map_or(answer, Response::from)
        }
    };
    state.held.send_modify(|held| *held += 1);
    let mut holding = state.holding.subscribe();
    let _ = holding
        .wait_for(|holding| match holding {
            HeldResponses::Nothing => true,
            HeldResponses::Gets => !is_get,
            HeldResponses::Posts => !is_post,
            HeldResponses::All => false,
        })
        .await;
    state.held.send_modify(|held| *held -= 1);
    answer
}

/// Whether a gateway that has just started checks its own key. Tests do not count, hold or replace that. In a merchant's
/// call, `accept` is that of the test's client.
fn is_key_check(method: &Method, uri: &Uri, headers: &HeaderMap) -> bool {
    let accept = headers.get("accept").map(HeaderValue::as_bytes);
    method == Method::GET && uri.path() == "/v3/banks" && accept == Some(b"application/json")
}

async fn forward_to_khipu(
    state: &ProxyState,
    method: Method,
    uri: &Uri,
    headers: &HeaderMap,
    body: Bytes,
) -> Response {
    let mut request = state
        .client
        .request(method, format!("{}{uri}", state.khipu_url))
        .body(body);
    for name in ["x-api-key", "content-type", "accept"] {
        if let Some(value) = headers.get(name) {
            request = request.header(name, value);
        }
    }
    let Ok(answer) = request.send().await else {
        return status(StatusCode::BAD_GATEWAY);
    };
    let mut response = Response::builder().status(answer.status());
    if let Some(value) = answer.headers().get("content-type") {
        response = response.header("content-type", value);
    }
    match answer.bytes().await {
        Ok(body) => response.body(Body::from(body)).expect("a response"),
        Err(_) => status(StatusCode::BAD_GATEWAY),
    }
}

fn status(status: StatusCode) -> Response {
    Response::builder()
        .status(status)
        .body(Body::empty())
        .expect("a response")
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
