//! Sends notifications to merchants: concurrent, bounded, retried until a 200 for up to two days, and with
//! the behaviour's failures. Keeps the log that `GET /sandbox/notifications` shows.
//!
//! A retry sends the same body. It is not known whether Khipu renews the signature of a retry. Here each attempt
//! has a new `t`, without which a receiver that refuses old timestamps could not accept a late retry.

use std::collections::VecDeque;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use reqwest::StatusCode;
use reqwest::header::CONTENT_TYPE;
use reqwest::redirect::Policy;
use serde::{Serialize, Serializer};
use tokio::sync::{Semaphore, watch};
use tokio::time::Instant;

use crate::answers::date;
use crate::behaviour::FaultInjector;
use crate::options::{SandboxAccount, SandboxOptions};
use crate::signature::{SIGNATURE_HEADER, corrupt_signature, signature};
use crate::state::SandboxState;

/// Concurrent attempts; the rest wait. A receiver that does not answer occupies a place for
/// [`ANSWER_WITHIN`] and delays the others.
const MAX_SENDS_IN_FLIGHT: usize = 256;

/// How long Khipu waits for the 200.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);

/// How long Khipu retries without a 200.
const RETRY_FOR: Duration = Duration::from_secs(2 * 24 * 3600);

/// The pause between attempts doubles up to this.
const RETRY_PAUSE_CAP: Duration = Duration::from_secs(60);

/// The longest that a notification waits to be overtaken.
const REORDER_HOLD_CAP: Duration = Duration::from_secs(2);

/// Attempts in the log; beyond that the oldest is removed.
const MAX_LOGGED_ATTEMPTS: usize = 200_000;

/// How much of an answer is read so that its connection can be reused; beyond that the connection is closed.
const MAX_ANSWER_BYTES: usize = 64 * 1024;

/// The values of `injected`, named like the settings.
const DROPPED: &str = "drop";
const DUPLICATED: &str = "duplicate";
const CORRUPTED: &str = "corrupt_signature";

/// One notification to send.
#[derive(Clone, Debug)]
pub(crate) struct OutgoingNotification {
    pub(crate) payment_id: String,
    pub(crate) url: String,
    /// The account that is notified; its secret signs.
    pub(crate) owner: Arc<SandboxAccount>,
    pub(crate) body: Arc<str>,
}

/// A notification's place in the order, and whether a later one may overtake it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct QueuePosition {
    number: u64,
    held: bool,
}

/// One attempt of a notification, as logged.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct LoggedAttempt {
    pub(crate) payment_id: String,
    url: String,
    /// From 1. A duplicate has the number of its original.
    attempt: u32,
    /// When it was sent.
    at: String,
    /// The receiver's answer; null when there was none.
    status: Option<u16>,
    /// The reason for a missing answer.
    error: Option<String>,
    /// The header as sent.
    signature: String,
    /// The behaviour's injected failures.
    injected: Vec<&'static str>,
    /// Shared by all attempts of one notification: a retry sends the same bytes.
    #[serde(serialize_with = "as_text")]
    body: Arc<str>,
}

impl LoggedAttempt {
    fn is_accepted(&self) -> bool {
        self.status == Some(200)
    }
}

/// Counts of attempts by their outcome. A duplicate counts as an attempt.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(crate) struct Counts {
    attempts: u64,
    /// Answered 200.
    accepted: u64,
    dropped: u64,
    duplicated: u64,
    corrupted: u64,
}

impl Counts {
    fn add(&mut self, attempt: &LoggedAttempt) {
        let injected = |what| u64::from(attempt.injected.contains(&what));
        self.attempts += 1;
        self.accepted += u64::from(attempt.is_accepted());
        self.dropped += injected(DROPPED);
        self.duplicated += injected(DUPLICATED);
        self.corrupted += injected(CORRUPTED);
    }
}

#[derive(Debug, Default)]
struct AttemptLog {
    /// The newest.
    attempts: VecDeque<LoggedAttempt>,
    /// Of all attempts.
    counts: Counts,
}

pub(crate) struct Notifier {
    client: reqwest::Client,
    retry_first_delay: Duration,
    injector: Arc<FaultInjector>,
    state: Arc<Mutex<SandboxState>>,
    places: Semaphore,
    log: Mutex<AttemptLog>,
    next_number: AtomicU64,
    /// Whether a notification is being held. Only one at a time, because each waits for a later one.
    holding: AtomicBool,
    /// The latest place in the order that was answered 200.
    arrived: watch::Sender<u64>,
}

impl Notifier {
    pub(crate) fn new(
        options: &SandboxOptions,
        injector: Arc<FaultInjector>,
        state: Arc<Mutex<SandboxState>>,
    ) -> io::Result<Self> {
        Ok(Self {
            client: client().map_err(io::Error::other)?,
            retry_first_delay: options.retry_first_delay,
            injector,
            state,
            places: Semaphore::new(MAX_SENDS_IN_FLIGHT),
            log: Mutex::default(),
            next_number: AtomicU64::new(1),
            holding: AtomicBool::new(false),
            arrived: watch::Sender::new(0),
        })
    }

    /// The place of a new notification in the order of conciliation.
    pub(crate) fn next_position(&self) -> QueuePosition {
        let hold = self.injector.holds_notification();
        QueuePosition {
            number: self.next_number.fetch_add(1, Ordering::Relaxed),
            held: hold && !self.holding.swap(true, Ordering::AcqRel),
        }
    }

    /// Every attempt that ended, in that order.
    pub(crate) fn attempts(&self) -> Vec<LoggedAttempt> {
        self.log().attempts.iter().cloned().collect()
    }

    pub(crate) fn counts(&self) -> Counts {
        self.log().counts
    }

    pub(crate) fn forget(&self) {
        *self.log() = AttemptLog::default();
    }

    fn record(&self, attempt: LoggedAttempt) {
        let mut log = self.log();
        log.counts.add(&attempt);
        if log.attempts.len() >= MAX_LOGGED_ATTEMPTS {
            log.attempts.pop_front();
        }
        log.attempts.push_back(attempt);
    }

    fn log(&self) -> MutexGuard<'_, AttemptLog> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends one notification until a 200, the end of two days, or a reset.
    pub(crate) async fn deliver(
        self: Arc<Self>,
        notification: OutgoingNotification,
        position: QueuePosition,
    ) {
        let delay_ms = self.injector.behaviour().notify.delay_ms;
        tokio::time::sleep(Duration::from_millis(delay_ms)).await;
        self.hold(position).await;
        let begun = Instant::now();
        let mut pause = self.retry_first_delay;
        for number in 1.. {
            if !self.knows(&notification.payment_id) {
                return;
            }
            let arrived = self.attempt(&notification, number).await;
            if arrived {
                let advance = |latest: &mut u64| *latest = position.number.max(*latest);
                self.arrived.send_modify(advance);
            }
            if arrived || begun.elapsed() + pause > RETRY_FOR {
                return;
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(RETRY_PAUSE_CAP);
        }
    }

    /// Waits, when held, until a later notification has arrived.
    async fn hold(&self, position: QueuePosition) {
        if position.held {
            let mut arrived = self.arrived.subscribe();
            let overtaken = arrived.wait_for(|&latest| latest > position.number);
            let _ = tokio::time::timeout(REORDER_HOLD_CAP, overtaken).await;
            self.holding.store(false, Ordering::Release);
        }
    }

    /// Makes one attempt, with any injected failures. Returns true after a 200.
    async fn attempt(&self, notification: &OutgoingNotification, number: u32) -> bool {
        let faults = self.injector.for_attempt();
        let Ok(_place) = self.places.acquire().await else {
            return false;
        };
        let now = Timestamp::now();
        let secret = &notification.owner.secret;
        let header = if faults.corrupted {
            corrupt_signature(secret, now, &notification.body)
        } else {
            signature(secret, now, &notification.body)
        };
        let mut entry = LoggedAttempt {
            payment_id: notification.payment_id.clone(),
            url: notification.url.clone(),
            attempt: number,
            at: date(now),
            status: None,
            error: None,
            signature: header,
            injected: Vec::new(),
            body: Arc::clone(&notification.body),
        };
        if faults.corrupted {
            entry.injected.push(CORRUPTED);
        }
        if faults.dropped {
            entry.injected.push(DROPPED);
            entry.error = Some("dropped by notify.drop, never sent".to_owned());
            return self.conclude(entry);
        }
        if faults.duplicated {
            let mut twin = entry.clone();
            twin.injected.push(DUPLICATED);
            let (first, second) = tokio::join!(
                self.send(notification, entry),
                self.send(notification, twin)
            );
            first || second
        } else {
            self.send(notification, entry).await
        }
    }

    async fn send(&self, notification: &OutgoingNotification, mut entry: LoggedAttempt) -> bool {
        match self.post(notification, &entry.signature).await {
            Ok(status) => entry.status = Some(status.as_u16()),
            Err(error) => entry.error = Some(reason(&error)),
        }
        self.conclude(entry)
    }

    fn conclude(&self, entry: LoggedAttempt) -> bool {
        let arrived = entry.is_accepted();
        if !arrived {
            tracing::debug!(
                payment_id = entry.payment_id,
                attempt = entry.attempt,
                status = entry.status,
                "notification without a 200"
            );
        }
        // After a reset the log excludes attempts that began before it.
        if self.knows(&entry.payment_id) {
            self.record(entry);
        }
        arrived
    }

    /// False after a reset.
    fn knows(&self, payment_id: &str) -> bool {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.payments.contains_key(payment_id)
    }

    async fn post(
        &self,
        notification: &OutgoingNotification,
        signature: &str,
    ) -> reqwest::Result<StatusCode> {
        let mut answer = self
            .client
            .post(&notification.url)
            .header(CONTENT_TYPE, "application/json")
            .header(SIGNATURE_HEADER, signature)
            .body(notification.body.to_string())
            .send()
            .await?;
        let mut read = 0;
        while let Ok(Some(chunk)) = answer.chunk().await {
            read += chunk.len();
            if read > MAX_ANSWER_BYTES {
                break;
            }
        }
        Ok(answer.status())
    }
}

fn as_text<S: Serializer>(body: &Arc<str>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(body)
}

/// The innermost cause names the failure; the outer ones only report that sending failed.
fn reason(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return format!("no answer within {} s", ANSWER_WITHIN.as_secs());
    }
    let mut cause: &dyn std::error::Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}

/// Ignores proxy variables: the receivers are on this machine or in this test. Without CA certificates
/// http works and every https certificate is refused.
fn client() -> reqwest::Result<reqwest::Client> {
    let builder = || {
        reqwest::Client::builder()
            .no_proxy()
            .redirect(Policy::none())
            .timeout(ANSWER_WITHIN)
            .pool_max_idle_per_host(MAX_SENDS_IN_FLIGHT)
            .tcp_nodelay(true)
            .user_agent("khipu-sandbox")
    };
    builder().build().or_else(|error| {
        tracing::warn!(
            error = reason(&error),
            "no CA certificates: notify_url over https will fail, http works"
        );
        builder().tls_certs_only([]).build()
    })
}
