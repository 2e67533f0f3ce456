//! A sandbox on a free port, a client for it, and a real receiver for its notifications.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use jiff::Timestamp;
use khipu_sandbox::{SIGNATURE_HEADER, SandboxOptions, run, signature};
use reqwest::redirect::Policy;
use reqwest::{Client, Method, RequestBuilder};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// The deadline for every wait.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

pub(crate) struct Sandbox {
    pub(crate) url: String,
    client: Client,
    key: String,
    stop: Option<oneshot::Sender<()>>,
    server: JoinHandle<std::io::Result<()>>,
}

pub(crate) struct SandboxResponse {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

impl SandboxResponse {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap()
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).unwrap().to_str().unwrap()
    }
}

impl Sandbox {
    pub(crate) async fn start() -> Self {
        Self::start_with(SandboxOptions::default()).await
    }

    /// Retries after 20 ms instead of a second; otherwise uses `options`.
    pub(crate) async fn start_with(options: SandboxOptions) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (stop, stopped) = oneshot::channel::<()>();
        let options = SandboxOptions {
            retry_first_delay: Duration::from_millis(20),
            ..options
        };
        let key = options.api_key.clone();
        let server = tokio::spawn(run(options, listener, async {
            let _ = stopped.await;
        }));
        Self {
            url,
            client: Client::builder()
                .no_proxy()
                .redirect(Policy::none())
                .timeout(DEADLINE)
                .build()
                .unwrap(),
            key,
            stop: Some(stop),
            server,
        }
    }

    pub(crate) async fn stop(mut self) {
        self.stop.take().unwrap().send(()).unwrap();
        timeout(DEADLINE, self.server)
            .await
            .unwrap()
            .unwrap()
            .unwrap();
    }

    /// A request without a key.
    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("{}{path}", self.url))
    }

    /// A call of Khipu's API with the right key.
    pub(crate) async fn call(
        &self,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> SandboxResponse {
        let request = self.request(method, path).header("x-api-key", &self.key);
        send(match body {
            Some(body) => request.body(body.to_string()),
            None => request,
        })
        .await
    }

    /// A call with another account's key.
    pub(crate) async fn call_as(
        &self,
        key: &str,
        method: Method,
        path: &str,
        body: Value,
    ) -> SandboxResponse {
        let request = self.request(method, path).header("x-api-key", key);
        send(if body.is_null() {
            request
        } else {
            request.body(body.to_string())
        })
        .await
    }

    pub(crate) async fn get(&self, path: &str) -> SandboxResponse {
        self.call(Method::GET, path, None).await
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> SandboxResponse {
        self.call(Method::POST, path, Some(body)).await
    }

    pub(crate) async fn put(&self, path: &str, body: Value) -> SandboxResponse {
        self.call(Method::PUT, path, Some(body)).await
    }

    /// Presses a button of the bank page.
    pub(crate) async fn press(&self, path: &str) -> SandboxResponse {
        send(self.request(Method::POST, path)).await
    }

    /// Creates a payment of 24990 CLP with `more` fields and returns its id.
    pub(crate) async fn create(&self, more: Value) -> String {
        let mut body = json!({ "amount": 24990, "currency": "CLP", "subject": "Zapatillas" });
        let fields = body.as_object_mut().unwrap();
        fields.extend(more.as_object().unwrap().clone());
        let answer = self.post("/v3/payments", body).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        answer.json()["payment_id"].as_str().unwrap().to_owned()
    }

    pub(crate) async fn create_notified(&self, receiver: &Receiver) -> String {
        self.create(json!({ "notify_url": receiver.url, "notify_api_version": "3.0" }))
            .await
    }

    pub(crate) async fn act(&self, id: &str, action: &str) -> SandboxResponse {
        let path = format!("/sandbox/payments/{id}/actions");
        self.post(&path, json!({ "action": action })).await
    }

    /// An action that must be possible.
    pub(crate) async fn done(&self, id: &str, action: &str) -> Value {
        let answer = self.act(id, action).await;
        assert_eq!(answer.status, 200, "{action}: {}", answer.text);
        answer.json()
    }

    pub(crate) async fn payment(&self, id: &str) -> Value {
        let answer = self.get(&format!("/v3/payments/{id}")).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        answer.json()
    }

    pub(crate) async fn status(&self, id: &str) -> (String, String) {
        let payment = self.payment(id).await;
        let text = |field: &str| payment[field].as_str().unwrap().to_owned();
        (text("status"), text("status_detail"))
    }

    pub(crate) async fn behave(&self, behaviour: Value) {
        let answer = self.put("/sandbox/behaviour", behaviour).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
    }

    pub(crate) async fn attempts(&self) -> Vec<Value> {
        let answer = self.get("/sandbox/notifications").await;
        answer.json().as_array().unwrap().clone()
    }

    /// Waits until `count` attempts are in the log.
    pub(crate) async fn attempts_until(&self, count: usize) -> Vec<Value> {
        eventually(async || {
            let attempts = self.attempts().await;
            (attempts.len() >= count).then_some(attempts)
        })
        .await
    }
}

/// Calls `ask` every few milliseconds until it returns a value, or fails at the deadline.
pub(crate) async fn eventually<T>(mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    timeout(DEADLINE, async {
        loop {
            if let Some(answer) = ask().await {
                return answer;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await
    .unwrap()
}

pub(crate) async fn send(request: RequestBuilder) -> SandboxResponse {
    let answer = request.send().await.unwrap();
    SandboxResponse {
        status: answer.status().as_u16(),
        headers: answer.headers().clone(),
        text: answer.text().await.unwrap(),
    }
}

/// A merchant's webhook endpoint: answers with the given status codes, then always 200.
pub(crate) struct Receiver {
    pub(crate) url: String,
    arrived: mpsc::UnboundedReceiver<Arrival>,
}

#[derive(Clone, Debug)]
pub(crate) struct Arrival {
    pub(crate) content_type: String,
    pub(crate) signature: String,
    pub(crate) body: Bytes,
}

impl Receiver {
    pub(crate) async fn start(first_answers: &[u16]) -> Self {
        let mut answers: Vec<_> = first_answers.to_vec();
        answers.reverse();
        let (sender, arrived) = mpsc::unbounded_channel();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/khipu/hook", listener.local_addr().unwrap());
        let router = Router::new()
            .route("/khipu/hook", post(receive))
            .with_state((Arc::new(Mutex::new(answers)), sender));
        tokio::spawn(async { axum::serve(listener, router).await });
        Self { url, arrived }
    }

    pub(crate) async fn next(&mut self) -> Arrival {
        timeout(DEADLINE, self.arrived.recv())
            .await
            .unwrap()
            .unwrap()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.arrived.is_empty()
    }
}

type RouteState = (Arc<Mutex<Vec<u16>>>, mpsc::UnboundedSender<Arrival>);

async fn receive(
    State((answers, sender)): State<RouteState>,
    headers: HeaderMap,
    body: Bytes,
) -> StatusCode {
    let text = |name: &str| headers.get(name).unwrap().to_str().unwrap().to_owned();
    let _ = sender.send(Arrival {
        content_type: text("content-type"),
        signature: text(SIGNATURE_HEADER),
        body,
    });
    let status = answers.lock().unwrap().pop().unwrap_or(200);
    StatusCode::from_u16(status).unwrap()
}

impl Arrival {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    pub(crate) fn payment_id(&self) -> String {
        self.json()["payment_id"].as_str().unwrap().to_owned()
    }

    pub(crate) fn t(&self) -> i64 {
        let (t, _) = self.signature.split_once(",s=").unwrap();
        t.strip_prefix("t=").unwrap().parse().unwrap()
    }

    /// Recomputes the signature over the bytes that arrived.
    pub(crate) fn is_signed_with(&self, secret: &str) -> bool {
        let at = Timestamp::from_millisecond(self.t()).unwrap();
        signature(secret, at, std::str::from_utf8(&self.body).unwrap()) == self.signature
    }
}
