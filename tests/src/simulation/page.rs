//! A payer's page: follows one payment as js-client does, over several connections and gateways, and records what it
//! showed.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use reqwest::{Client, StatusCode};
use serde_json::Value;
use tokio::task::JoinHandle;

use super::plan::PageTransport;
use crate::gateway_client::TestPayment;
use crate::websocket_watcher::{WatcherEvent, WebSocketWatcher};

/// Upper bound of the random wait after a failed connection.
const BACKOFF: Duration = Duration::from_millis(1500);

/// How long the gateway may hold a poll, in seconds.
const HOLD: u64 = 10;

/// A poll that takes longer is lost.
const ANSWER_WITHIN: Duration = Duration::from_secs(20);

/// Dropping it closes the page.
#[derive(Debug)]
pub(super) struct PayerPage {
    shown: Arc<Mutex<PageState>>,
    task: JoinHandle<()>,
}

/// What the payer has seen on one page.
#[derive(Debug, Clone, Default)]
pub(super) struct PageState {
    /// The newest status; null before the first.
    pub(super) status: Value,
    version: u64,
    pub(super) confirmed_at: Option<Instant>,
    /// What must never happen to a page.
    pub(super) faults: Vec<String>,
}

impl PageState {
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
enum ConnectionOutcome {
    /// It showed a final status.
    Final,
    /// Closed with a code that forbids a retry.
    Refused(String),
    Retry(Option<Duration>),
}

impl PayerPage {
    /// Begins at the gateway with this number, and goes to the next after each connection.
    pub(super) fn open(
        transport: PageTransport,
        gateways: Arc<[String]>,
        first: usize,
        client: Client,
        payment: TestPayment,
    ) -> Self {
        let shown = Arc::<Mutex<PageState>>::default();
        let task = tokio::spawn({
            let shown = Arc::clone(&shown);
            async move {
                for gateway in gateways.iter().cycle().skip(first) {
                    let connection_outcome = match transport {
                        PageTransport::WebSocket => {
                            follow_websocket(gateway, &payment, &shown).await
                        }
                        PageTransport::Polling => {
                            follow_by_polling(gateway, &client, &payment, &shown).await
                        }
                    };
                    match connection_outcome {
                        ConnectionOutcome::Final => return,
                        ConnectionOutcome::Refused(why) => {
                            lock(&shown).faults.push(format!("refused: {why}"));
                            return;
                        }
                        ConnectionOutcome::Retry(after) => {
                            let any_part = BACKOFF.mul_f64(rand::random());
                            tokio::time::sleep(after.unwrap_or(any_part)).await;
                        }
                    }
                }
            }
        });
        Self { shown, task }
    }

    pub(super) fn shown(&self) -> PageState {
        lock(&self.shown).clone()
    }

    /// Whether it still follows the payment. A page that has ended shows a final status, was refused, or broke.
    pub(super) fn is_open(&self) -> bool {
        !self.task.is_finished()
    }
}

impl Drop for PayerPage {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn follow_websocket(
    gateway: &str,
    payment: &TestPayment,
    shown: &Mutex<PageState>,
) -> ConnectionOutcome {
    let Some(mut watcher) = WebSocketWatcher::try_open(gateway, payment).await else {
        return ConnectionOutcome::Retry(None);
    };
    loop {
        match watcher.next_event().await {
            WatcherEvent::Status(status) => {
                let (version, is_final) = (status["version"].as_u64(), status["final"] == true);
                lock(shown).show(status);
                watcher.acknowledge(version.unwrap_or_default()).await;
                if is_final {
                    return ConnectionOutcome::Final;
                }
            }
            WatcherEvent::Closed(code, reason) => return connection_outcome(code, &reason),
            WatcherEvent::Lost => return ConnectionOutcome::Retry(None),
        }
    }
}

/// 44xx except 4429 is final.
fn connection_outcome(code: u16, reason: &str) -> ConnectionOutcome {
    if (4400..4500).contains(&code) && code != 4429 {
        return ConnectionOutcome::Refused(format!("{code} {reason}"));
    }
    let asked = reason.strip_prefix("retry_after_ms=");
    let after = asked.and_then(|after| after.parse().ok());
    ConnectionOutcome::Retry(after.map(Duration::from_millis))
}

async fn follow_by_polling(
    gateway: &str,
    client: &Client,
    payment: &TestPayment,
    shown: &Mutex<PageState>,
) -> ConnectionOutcome {
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
            return ConnectionOutcome::Retry(None);
        };
        match answer.status() {
            StatusCode::OK => {
                let body = answer.bytes().await.ok();
                let Some(status) = body.and_then(|body| serde_json::from_slice(&body).ok()) else {
                    return ConnectionOutcome::Retry(None);
                };
                let mut shown = lock(shown);
                shown.show(status);
                if shown.is_final() {
                    return ConnectionOutcome::Final;
                }
            }
            StatusCode::NOT_MODIFIED => {}
            refused
            @ (StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::NOT_FOUND) => {
                return ConnectionOutcome::Refused(refused.to_string());
            }
            _ => return ConnectionOutcome::Retry(None),
        }
        // For a gateway that does not hold the request.
        tokio::time::sleep(BACKOFF.mul_f64(rand::random())).await;
    }
}

fn lock(shown: &Mutex<PageState>) -> MutexGuard<'_, PageState> {
    shown.lock().unwrap_or_else(PoisonError::into_inner)
}
