//! A merchant's notify_url: a real receiver that keeps what arrives and answers as it is told.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::deadline::{due_in, within};

#[derive(Debug)]
pub struct Merchant {
    pub url: String,
    arrivals: mpsc::UnboundedReceiver<Delivery>,
    answers: Answers,
    task: JoinHandle<()>,
}

/// One attempt to deliver, as it arrived.
#[derive(Debug, Clone)]
pub struct Delivery {
    pub headers: HeaderMap,
    pub body: Bytes,
}

/// What is answered next; 200 when there is nothing left.
type Answers = Arc<Mutex<VecDeque<Reply>>>;

#[derive(Debug)]
enum Reply {
    Status(u16),
    /// 302 to this URL.
    Found(String),
}

impl Merchant {
    pub async fn start() -> Self {
        let (sender, arrivals) = mpsc::unbounded_channel();
        let answers = Answers::default();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}/khipu", listener.local_addr().expect("bound"));
        let router = Router::new()
            .fallback(receive)
            .with_state((Arc::clone(&answers), sender));
        let task = tokio::spawn(async move {
            let _ = axum::serve(listener, router).await;
        });
        Self {
            url,
            arrivals,
            answers,
            task,
        }
    }

    /// Answers the next attempts so.
    pub fn will_answer(&self, statuses: &[u16]) {
        lock(&self.answers).extend(statuses.iter().map(|status| Reply::Status(*status)));
    }

    /// Sends the next attempt elsewhere.
    pub fn will_redirect(&self, url: &str) {
        lock(&self.answers).push_back(Reply::Found(url.into()));
    }

    /// Waits for the next attempt.
    pub async fn next(&mut self) -> Delivery {
        within("a delivery arrives", self.arrivals.recv())
            .await
            .expect("the receiver runs")
    }

    /// Waits for the next attempt, which is only due in a while.
    pub async fn next_due_in(&mut self, wait: Duration) -> Delivery {
        due_in(wait, "a delivery arrives", self.arrivals.recv())
            .await
            .expect("the receiver runs")
    }

    /// What has arrived and was not looked at.
    pub fn arrived(&mut self) -> Vec<Delivery> {
        std::iter::from_fn(|| self.arrivals.try_recv().ok()).collect()
    }
}

impl Delivery {
    /// A header's text; empty if it is missing.
    pub fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().expect("a header of text"))
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("JSON")
    }

    pub fn payment_id(&self) -> String {
        self.json()["payment_id"].as_str().expect("an id").into()
    }
}

impl Drop for Merchant {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn receive(
    State((answers, sender)): State<(Answers, mpsc::UnboundedSender<Delivery>)>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let reply = lock(&answers).pop_front().unwrap_or(Reply::Status(200));
    let _ = sender.send(Delivery { headers, body });
    match reply {
        Reply::Status(status) => StatusCode::from_u16(status)
            .expect("a status")
            .into_response(),
        Reply::Found(url) => (StatusCode::FOUND, [(header::LOCATION, url)]).into_response(),
    }
}

fn lock(answers: &Answers) -> MutexGuard<'_, VecDeque<Reply>> {
    answers.lock().unwrap_or_else(PoisonError::into_inner)
}
