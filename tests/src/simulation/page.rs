//! A payer's page: follows one payment as js-client does, over as many connections and gateways as it takes, and
//! remembers what it showed.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use reqwest::{Client, StatusCode};
use serde_json::Value;
use tokio::task::JoinHandle;

use super::plan::Transport;
use crate::gateway_client::Created;
use crate::websocket_watcher::{Event, Watcher};

/// Any part of it is waited after a connection that failed.
const BACKOFF: Duration = Duration::from_millis(1500);

/// How long the gateway may hold a poll, in seconds.
const HOLD: u64 = 10;

/// A poll that takes longer is lost.
const ANSWER_WITHIN: Duration = Duration::from_secs(20);

/// Closed when it is dropped; what it showed can still be read.
#[derive(Debug)]
pub(super) struct Page {
    shown: Arc<Mutex<Shown>>,
    task: JoinHandle<()>,
}

/// What the payer has seen on one page.
#[derive(Debug, Clone, Default)]
pub(super) struct Shown {
    /// The newest status; null before the first.
    pub(super) status: Value,
    version: u64,
    pub(super) confirmed_at: Option<Instant>,
    /// What must never happen to a page.
    pub(super) faults: Vec<String>,
}

impl Shown {
    /// Whether nothing more can come.
    pub(super) fn is_final(&self) -> bool {
        self.status["final"] == true
    }

    pub(super) fn word(&self) -> &str {
        self.status["status"].as_str().unwrap_or("nothing")
    }

    fn show(&mut self, status: Value) {
        let version = status["version"].as_u64().unwrap_or_default();
        if version < self.version {
            let before = &self.status;
            self.faults.push(format!("after {before} came {status}"));
        }
        if status["status"] == "confirmed" && self.confirmed_at.is_none() {
            self.confirmed_at = Some(Instant::now());
        }
        self.version = version;
        self.status = status;
    }
}

/// Why a connection is over.
enum Ending {
    /// It showed a final status.
    Final,
    /// It was told never to come back.
    Refused(String),
    Retry(Option<Duration>),
}

impl Page {
    /// Begins at the gateway with this number, and goes to the next after each connection.
    pub(super) fn open(
        transport: Transport,
        gateways: Arc<[String]>,
        first: usize,
        client: Client,
        payment: Created,
    ) -> Self {
        let shown = Arc::<Mutex<Shown>>::default();
        let task = tokio::spawn({
            let shown = Arc::clone(&shown);
            async move {
                for gateway in gateways.iter().cycle().skip(first) {
                    let ending = match transport {
                        Transport::WebSocket => listen(gateway, &payment, &shown).await,
                        Transport::Polling => poll(gateway, &client, &payment, &shown).await,
                    };
                    match ending {
                        Ending::Final => return,
                        Ending::Refused(why) => {
                            lock(&shown).faults.push(format!("refused: {why}"));
                            return;
                        }
                        Ending::Retry(after) => {
                            let any_part = BACKOFF.mul_f64(rand::random());
                            tokio::time::sleep(after.unwrap_or(any_part)).await;
                        }
                    }
                }
            }
        });
        Self { shown, task }
    }

    pub(super) fn shown(&self) -> Shown {
        lock(&self.shown).clone()
    }

    /// Whether it follows still. One that has ended shows a final status, was refused, or broke.
    pub(super) fn is_open(&self) -> bool {
        !self.task.is_finished()
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn listen(gateway: &str, payment: &Created, shown: &Mutex<Shown>) -> Ending {
    let Some(mut watcher) = Watcher::try_open(gateway, payment).await else {
        return Ending::Retry(None);
    };
    loop {
        match watcher.hear().await {
            Event::Status(status) => {
                let (version, is_final) = (status["version"].as_u64(), status["final"] == true);
                lock(shown).show(status);
                watcher.acknowledge(version.unwrap_or_default()).await;
                if is_final {
                    return Ending::Final;
                }
            }
            Event::Closed(code, reason) => return ending(code, &reason),
            Event::Lost => return Ending::Retry(None),
        }
    }
}

/// 44xx is for good, except 4429.
fn ending(code: u16, reason: &str) -> Ending {
    if (4400..4500).contains(&code) && code != 4429 {
        return Ending::Refused(format!("{code} {reason}"));
    }
    let asked = reason.strip_prefix("retry_after_ms=");
    let after = asked.and_then(|after| after.parse().ok());
    Ending::Retry(after.map(Duration::from_millis))
}

async fn poll(gateway: &str, client: &Client, payment: &Created, shown: &Mutex<Shown>) -> Ending {
    loop {
        let version = lock(shown).version;
        let url = format!("{gateway}/v1/payments/{}/status?wait={HOLD}", payment.id);
        let mut request = client
            .get(url)
            .timeout(ANSWER_WITHIN)
            .bearer_auth(&payment.token);
        if version > 0 {
            request = request.header("if-none-match", format!("\"{version}\""));
        }
        let Ok(answer) = request.send().await else {
            return Ending::Retry(None);
        };
        match answer.status() {
            StatusCode::OK => {
                let body = answer.bytes().await.ok();
                let Some(status) = body.and_then(|body| serde_json::from_slice(&body).ok()) else {
                    return Ending::Retry(None);
                };
                let mut shown = lock(shown);
                shown.show(status);
                if shown.is_final() {
                    return Ending::Final;
                }
            }
            StatusCode::NOT_MODIFIED => {}
            refused
            @ (StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::NOT_FOUND) => {
                return Ending::Refused(refused.to_string());
            }
            _ => return Ending::Retry(None),
        }
        // For one that does not hold the request.
        tokio::time::sleep(BACKOFF.mul_f64(rand::random())).await;
    }
}

fn lock(shown: &Mutex<Shown>) -> MutexGuard<'_, Shown> {
    shown.lock().unwrap_or_else(PoisonError::into_inner)
}
