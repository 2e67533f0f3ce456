//! A merchant's notify_url: an HTTP server that records deliveries and answers as the test chooses.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::Value;
use sha2::Sha256;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::deadline::{due_in, within};

#[derive(Debug)]
pub struct WebhookReceiver {
    pub url: String,
    arrivals: mpsc::UnboundedReceiver<ReceivedDelivery>,
    state: Arc<Mutex<ReceiverState>>,
    task: JoinHandle<()>,
}

/// One attempt to deliver, as it arrived.
#[derive(Debug, Clone)]
pub struct ReceivedDelivery {
    pub headers: HeaderMap,
    pub body: Bytes,
}

/// Shared with the request handler.
#[derive(Debug, Default)]
struct ReceiverState {
    /// Responses to the next attempts; 200 when empty.
    responses: VecDeque<PlannedResponse>,
    /// Delay of each response.
    delay: Duration,
    /// Attempts that are being answered, by `webhook-id`.
    in_progress: HashMap<String, usize>,
    /// Attempts that arrived while another of the same delivery was in progress.
    concurrent_attempts: usize,
}

#[derive(Debug)]
enum PlannedResponse {
    Status(u16),
    /// 302 to this URL.
    Found(String),
}

impl WebhookReceiver {
    pub async fn start() -> Self {
        let (sender, arrivals) = mpsc::unbounded_channel();
        let state = Arc::<Mutex<ReceiverState>>::default();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}/khipu", listener.local_addr().expect("bound"));
        let router = Router::new()
            .fallback(receive)
            .with_state((Arc::clone(&state), sender));
        let task = tokio::spawn(async move {
            let _ = axum::serve(listener, router).await;
        });
        Self {
            url,
            arrivals,
            state,
            task,
        }
    }

    /// Answers the next attempts with these statuses.
    pub fn respond_next(&self, statuses: &[u16]) {
        let replies = statuses
            .iter()
            .map(|status| PlannedResponse::Status(*status));
        lock(&self.state).responses.extend(replies);
    }

    /// Answers every later attempt with 200.
    pub fn forget_responses(&self) {
        lock(&self.state).responses.clear();
    }

    /// Answers the next attempt with a redirect.
    pub fn redirect_next(&self, url: &str) {
        let response = PlannedResponse::Found(url.into());
        lock(&self.state).responses.push_back(response);
    }

    /// Delays every later response.
    pub fn delay_responses(&self, delay: Duration) {
        lock(&self.state).delay = delay;
    }

    /// Attempts that arrived while another of the same delivery was in progress.
    pub fn concurrent_attempts(&self) -> usize {
        lock(&self.state).concurrent_attempts
    }

    /// Waits for the next attempt.
    pub async fn next(&mut self) -> ReceivedDelivery {
        within("a delivery arrives", self.arrivals.recv())
            .await
            .expect("the receiver runs")
    }

    /// Waits for the next attempt, which is due within `wait`.
    pub async fn next_within(&mut self, wait: Duration) -> ReceivedDelivery {
        due_in(wait, "a delivery arrives", self.arrivals.recv())
            .await
            .expect("the receiver runs")
    }

    /// Attempts that arrived and were not read yet.
    pub fn drain(&mut self) -> Vec<ReceivedDelivery> {
        std::iter::from_fn(|| self.arrivals.try_recv().ok()).collect()
    }
}

impl ReceivedDelivery {
    /// A header's text; empty if it is missing.
    pub fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().expect("a header of text"))
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("JSON")
    }

    /// The value of `webhook-signature` that Standard Webhooks asks for, by a secret in its `whsec_` form.
    pub fn standard_signature(&self, secret: &str) -> String {
        let secret = secret.strip_prefix("whsec_").expect("a prefix");
        let secret = BASE64_STANDARD.decode(secret).expect("base64");
        let mut mac = Hmac::<Sha256>::new_from_slice(&secret).expect("any length");
        mac.update(self.header("webhook-id").as_bytes());
        mac.update(b".");
        mac.update(self.header("webhook-timestamp").as_bytes());
        mac.update(b".");
        mac.update(&self.body);
        format!("v1,{}", BASE64_STANDARD.encode(mac.finalize().into_bytes()))
    }

    pub fn payment_id(&self) -> String {
        self.json()["payment_id"].as_str().expect("an id").into()
    }
}

impl Drop for WebhookReceiver {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn receive(
    State((state, sender)): State<(
        Arc<Mutex<ReceiverState>>,
        mpsc::UnboundedSender<ReceivedDelivery>,
    )>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let delivery = ReceivedDelivery { headers, body };
    let _attempt = AttemptInProgress::begin(&state, delivery.header("webhook-id"));
    let (response, delay) = {
        let mut state = lock(&state);
        let response = state.responses.pop_front();
        (
            response.unwrap_or(PlannedResponse::Status(200)),
            state.delay,
        )
    };
    let _ = sender.send(delivery);
    tokio::time::sleep(delay).await;
    match response {
        PlannedResponse::Status(status) => StatusCode::from_u16(status)
            .expect("a status")
            .into_response(),
        PlannedResponse::Found(url) => {
            (StatusCode::FOUND, [(header::LOCATION, url)]).into_response()
        }
    }
}

/// In progress until dropped: answered, or disconnected.
struct AttemptInProgress {
    state: Arc<Mutex<ReceiverState>>,
    webhook_id: String,
}

impl AttemptInProgress {
    fn begin(state: &Arc<Mutex<ReceiverState>>, webhook_id: &str) -> Self {
        let mut locked = lock(state);
        let others = locked.in_progress.entry(webhook_id.to_owned()).or_default();
        *others += 1;
        if *others > 1 {
            locked.concurrent_attempts += 1;
        }
        Self {
            state: Arc::clone(state),
            webhook_id: webhook_id.into(),
        }
    }
}

impl Drop for AttemptInProgress {
    fn drop(&mut self) {
        if let Some(count) = lock(&self.state).in_progress.get_mut(&self.webhook_id) {
            *count -= 1;
        }
    }
}

fn lock(state: &Mutex<ReceiverState>) -> MutexGuard<'_, ReceiverState> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}
