//! A merchant's notify_url: a real receiver that keeps what arrives and answers as it is told.

use std::collections::{HashMap, VecDeque};
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
    counter: Arc<Mutex<Counter>>,
    task: JoinHandle<()>,
}

/// One attempt to deliver, as it arrived.
#[derive(Debug, Clone)]
pub struct Delivery {
    pub headers: HeaderMap,
    pub body: Bytes,
}

/// Where attempts are taken in.
#[derive(Debug, Default)]
struct Counter {
    /// What is answered next; 200 when there is nothing left.
    answers: VecDeque<Reply>,
    /// How long each attempt takes to be answered.
    pace: Duration,
    /// Attempts that are being answered, by `webhook-id`.
    under_way: HashMap<String, usize>,
    /// How often one came while another of the same delivery was being answered.
    doubled: usize,
}

#[derive(Debug)]
enum Reply {
    Status(u16),
    /// 302 to this URL.
    Found(String),
}

impl Merchant {
    pub async fn start() -> Self {
        let (sender, arrivals) = mpsc::unbounded_channel();
        let counter = Arc::<Mutex<Counter>>::default();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}/khipu", listener.local_addr().expect("bound"));
        let router = Router::new()
            .fallback(receive)
            .with_state((Arc::clone(&counter), sender));
        let task = tokio::spawn(async move {
            let _ = axum::serve(listener, router).await;
        });
        Self {
            url,
            arrivals,
            counter,
            task,
        }
    }

    /// Answers the next attempts so.
    pub fn will_answer(&self, statuses: &[u16]) {
        let replies = statuses.iter().map(|status| Reply::Status(*status));
        lock(&self.counter).answers.extend(replies);
    }

    /// Sends the next attempt elsewhere.
    pub fn will_redirect(&self, url: &str) {
        let reply = Reply::Found(url.into());
        lock(&self.counter).answers.push_back(reply);
    }

    /// From now on each attempt is answered only after so long.
    pub fn will_take(&self, pace: Duration) {
        lock(&self.counter).pace = pace;
    }

    /// How often an attempt came while another of the same delivery was being answered.
    pub fn doubled(&self) -> usize {
        lock(&self.counter).doubled
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
    State((counter, sender)): State<(Arc<Mutex<Counter>>, mpsc::UnboundedSender<Delivery>)>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let delivery = Delivery { headers, body };
    let _attempt = Attempt::begin(&counter, delivery.header("webhook-id"));
    let (reply, pace) = {
        let mut counter = lock(&counter);
        let reply = counter.answers.pop_front();
        (reply.unwrap_or(Reply::Status(200)), counter.pace)
    };
    let _ = sender.send(delivery);
    tokio::time::sleep(pace).await;
    match reply {
        Reply::Status(status) => StatusCode::from_u16(status)
            .expect("a status")
            .into_response(),
        Reply::Found(url) => (StatusCode::FOUND, [(header::LOCATION, url)]).into_response(),
    }
}

/// Under way until this is dropped: answered, or hung up on.
struct Attempt {
    counter: Arc<Mutex<Counter>>,
    webhook_id: String,
}

impl Attempt {
    fn begin(counter: &Arc<Mutex<Counter>>, webhook_id: &str) -> Self {
        let mut locked = lock(counter);
        let others = locked.under_way.entry(webhook_id.to_owned()).or_default();
        *others += 1;
        if *others > 1 {
            locked.doubled += 1;
        }
        Self {
            counter: Arc::clone(counter),
            webhook_id: webhook_id.into(),
        }
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        if let Some(count) = lock(&self.counter).under_way.get_mut(&self.webhook_id) {
            *count -= 1;
        }
    }
}

fn lock(counter: &Mutex<Counter>) -> MutexGuard<'_, Counter> {
    counter.lock().unwrap_or_else(PoisonError::into_inner)
}
