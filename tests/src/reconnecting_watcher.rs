//! A payer's browser that comes back: follows one payment over as many connections as it takes, as js-client does.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::JoinHandle;

use crate::deadline::due_in;
use crate::gateway_client::TestPayment;
use crate::websocket_watcher::{WatcherEvent, WebSocketWatcher};

/// The longest first wait after a failure; it doubles with each, and any part of it may be waited.
const FIRST_BACKOFF: Duration = Duration::from_millis(500);
const LONGEST_BACKOFF: Duration = Duration::from_secs(8);

#[derive(Debug)]
pub struct ReconnectingWatcher {
    task: JoinHandle<WatchSummary>,
}

/// What the payer lived through.
#[derive(Debug, Clone, Default)]
pub struct WatchSummary {
    /// The final status.
    pub status: String,
    /// Every time that it was sent away or lost its connection.
    pub disconnections: Vec<Disconnection>,
}

#[derive(Debug, Clone, Copy)]
pub struct Disconnection {
    /// `None`: the connection broke.
    pub code: Option<u16>,
    pub at: Instant,
    /// When it first tried to connect again.
    pub reconnected_at: Instant,
}

impl ReconnectingWatcher {
    /// Has seen a first status when this returns. After each connection it goes to the next gateway.
    pub async fn open(gateway_urls: Arc<[String]>, first: usize, payment: &TestPayment) -> Self {
        let mut watcher = WebSocketWatcher::open(&gateway_urls[first], payment).await;
        watcher.status().await;
        let payment = payment.clone();
        let mut turn = first;
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
                        watcher = connect(&gateway_urls, &mut turn, &payment).await;
                    }
                }
            }
        });
        Self { task }
    }

    /// Waits for the end of the story, which is only due in a while.
    pub async fn ended(self, wait: Duration) -> WatchSummary {
        let ended = due_in(wait, "a browser sees a final status", self.task).await;
        ended.unwrap_or_else(|failure| std::panic::resume_unwind(failure.into_panic()))
    }
}

/// Why a connection is over, and when to try again if that was said.
#[derive(Debug, Clone, Copy)]
struct ConnectionEnd {
    code: Option<u16>,
    after: Option<Duration>,
    at: Instant,
}

/// `Ok`: the final status.
async fn follow(watcher: &mut WebSocketWatcher) -> Result<String, ConnectionEnd> {
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
                    "told never to come back: {code} {reason}"
                );
                return Err(ConnectionEnd {
                    code: Some(code),
                    after: wait_asked_for(&reason),
                    at: Instant::now(),
                });
            }
            WatcherEvent::Lost => {
                return Err(ConnectionEnd {
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

/// At the next gateway, and then the next.
async fn connect(
    gateway_urls: &[String],
    turn: &mut usize,
    payment: &TestPayment,
) -> WebSocketWatcher {
    let mut backoff = FIRST_BACKOFF;
    loop {
        *turn = (*turn + 1) % gateway_urls.len();
        if let Some(watcher) = WebSocketWatcher::try_open(&gateway_urls[*turn], payment).await {
            return watcher;
        }
        backoff = (backoff * 2).min(LONGEST_BACKOFF);
        tokio::time::sleep(backoff.mul_f64(rand::random())).await;
    }
}
