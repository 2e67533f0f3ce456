//! A payer's browser that reconnects until it has a final status, as js-client does.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::JoinHandle;

use crate::deadline::due_in;
use crate::gateway_client::TestPayment;
use crate::websocket_watcher::{WatcherEvent, WebSocketWatcher};

/// Upper bound of the first wait after a failure. It doubles with each failure; the wait is a random part of it.
const FIRST_BACKOFF: Duration = Duration::from_millis(500);
const LONGEST_BACKOFF: Duration = Duration::from_secs(8);

#[derive(Debug)]
pub struct ReconnectingWatcher {
    task: JoinHandle<WatchSummary>,
}

/// The result: the final status and every disconnection.
#[derive(Debug, Clone, Default)]
pub struct WatchSummary {
    /// The final status.
    pub status: String,
    /// Every close and every lost connection before it.
    pub disconnections: Vec<Disconnection>,
}

#[derive(Debug, Clone, Copy)]
pub struct Disconnection {
    /// `None`: the connection broke.
    pub code: Option<u16>,
    pub at: Instant,
    /// When it began to reconnect.
    pub reconnected_at: Instant,
}

impl ReconnectingWatcher {
    /// Has its first status when this returns. It reconnects to the next gateway each time.
    pub async fn open(gateway_urls: Arc<[String]>, first: usize, payment: &TestPayment) -> Self {
        let mut watcher = WebSocketWatcher::open(&gateway_urls[first], payment).await;
        watcher.status().await;
        let payment = payment.clone();
        let mut index = first;
        let task = tokio::spawn(async move {
            let mut summary = WatchSummary::default();
            loop {
                match follow(&mut watcher).await {
                    Ok(status) => {
                        summary.status = status;
                        return summary;
                    }
                    Err(end) => {
                        let any_part = FIRST_BACKOFF.mul_f64(rand::random());
                        tokio::time::sleep(end.after.unwrap_or(any_part)).await;
                        summary.disconnections.push(Disconnection {
                            code: end.code,
                            at: end.at,
                            reconnected_at: Instant::now(),
                        });
                        watcher = connect(&gateway_urls, &mut index, &payment).await;
                    }
                }
            }
        });
        Self { task }
    }

    /// Waits for the final status, which is due within `wait`.
    pub async fn ended(self, wait: Duration) -> WatchSummary {
        let ended = due_in(wait, "a browser sees a final status", self.task).await;
        ended.unwrap_or_else(|failure| std::panic::resume_unwind(failure.into_panic()))
    }
}

/// Why a connection ended, and when to reconnect if the close reason has a time.
#[derive(Debug, Clone, Copy)]
struct Disconnect {
    code: Option<u16>,
    after: Option<Duration>,
    at: Instant,
}

/// `Ok`: the final status.
async fn follow(watcher: &mut WebSocketWatcher) -> Result<String, Disconnect> {
    let mut last = String::new();
    loop {
        match watcher.next_event().await {
            WatcherEvent::Status(status) => {
                last = status["status"].as_str().unwrap_or_default().to_owned();
                if status["final"] == true {
                    let version = status["version"].as_u64().unwrap_or_default();
                    watcher.acknowledge(version).await;
                    return Ok(last);
                }
            }
            WatcherEvent::Closed(1000, _) => return Ok(last),
            WatcherEvent::Closed(code, reason) => {
                assert!(
                    !(4400..4500).contains(&code) || code == 4429,
                    "closed for good: {code} {reason}"
                );
                return Err(Disconnect {
                    code: Some(code),
                    after: wait_asked_for(&reason),
                    at: Instant::now(),
                });
            }
            WatcherEvent::Lost => {
                return Err(Disconnect {
                    code: None,
                    after: None,
                    at: Instant::now(),
                });
            }
        }
    }
}

fn wait_asked_for(reason: &str) -> Option<Duration> {
    let wait = reason.strip_prefix("retry_after_ms=")?.parse().ok()?;
    Some(Duration::from_millis(wait))
}

/// Tries one gateway after the other.
async fn connect(
    gateway_urls: &[String],
    index: &mut usize,
    payment: &TestPayment,
) -> WebSocketWatcher {
    let mut backoff = FIRST_BACKOFF;
    loop {
        *index = (*index + 1) % gateway_urls.len();
        if let Some(watcher) = WebSocketWatcher::try_open(&gateway_urls[*index], payment).await {
            return watcher;
        }
        backoff = (backoff * 2).min(LONGEST_BACKOFF);
        tokio::time::sleep(backoff.mul_f64(rand::random())).await;
    }
}
