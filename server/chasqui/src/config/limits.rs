//! `[limits]`: each named limit, and what happens when it is reached.

use std::num::NonZero;
use std::time::Duration;

use serde::Deserialize;

use super::duration::HumanDuration;
use super::problem::Problems;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Watchers on this instance. One more is closed with 4503 and retries, perhaps on another instance.
    pub watchers: usize,
    /// Watchers of one payment. One more is closed with 4429: a payer has a few tabs.
    pub watchers_per_payment: usize,
    /// Watchers from one address. One more is closed with 4429. High, because a phone network is one address.
    pub watchers_per_address: usize,
    /// Requests that a listener answers at once, without watchers; one more is answered 503.
    pub connections: usize,
    /// Connections beyond these: for probes and notifications, which are always answered, and for incomplete requests. When
    /// they are used up, the connection that has waited longest for its request is evicted.
    pub reserved_connections: usize,
    /// Connections from one address; one more is closed. Behind a trusted proxy: requests of one client at once; one more
    /// is answered 429.
    pub connections_per_address: usize,
    /// From accept to the end of the request's head; then the connection is closed.
    pub handshake_timeout: Duration,
    /// From the end of the head to the end of the body, and a second more for every `body_bytes_per_second` received;
    /// then 408, and the connection is closed.
    pub body_timeout: Duration,
    /// The least rate of a body that takes longer than `body_timeout`.
    pub body_bytes_per_second: usize,
    /// From request to answer, for all but a held poll; then 503.
    pub(crate) request_timeout: Duration,
    /// A merchant's requests with one API key to this instance in a second, after a burst of twice as many; then 429.
    pub(crate) requests_per_second: u32,
    /// A notification's body; beyond it 413. Khipu sends `custom` and `body` back, so the default is a facade request and
    /// 64 KiB.
    pub notification_bytes: usize,
    /// A facade request's body; beyond it 413. Khipu's `custom` field may be large.
    pub(crate) facade_bytes: usize,
    /// An answer of Khipu's; beyond it 502.
    pub(crate) khipu_answer_bytes: usize,
    /// The silence, ±10 %, after which a watcher receives a heartbeat.
    pub heartbeat_interval: Duration,
    /// Between two pings to a watcher, ±10 %; two unanswered close it.
    pub ping_interval: Duration,
    /// How long a watcher may stay on one connection, ±20 %; then 4508, and it reconnects, perhaps to another instance.
    pub connection_lifetime: Duration,
    /// The longest that a poll is held.
    pub(crate) poll_wait: Duration,
    /// How far a notification's `t` may differ from now, both ways, before Khipu is asked instead of believing it.
    pub notification_tolerance: Duration,
    /// Polls of Khipu for one account in a second; above it the intervals stretch.
    pub polls_per_second: u32,
    /// Polls of Khipu for one account in flight at once.
    pub polls_in_flight: usize,
}

/// With its jitter still under the 45 s after which the browser client gives up a silent connection.
const LONGEST_HEARTBEAT_INTERVAL: Duration = Duration::from_secs(40);

const FACADE_BYTES: usize = 1024 * 1024;

/// The most that Khipu adds to a merchant's fields in a notification.
const NOTIFICATION_MARGIN: usize = 64 * 1024;

impl Default for Limits {
    fn default() -> Self {
        Self {
            watchers: 100_000,
            watchers_per_payment: 32,
            watchers_per_address: 2_000,
            connections: 10_000,
            reserved_connections: 1_000,
            connections_per_address: 1_000,
            handshake_timeout: Duration::from_secs(10),
            body_timeout: Duration::from_secs(10),
            // 1 MiB over 250 kbit/s passes, within the request's time.
            body_bytes_per_second: 32 * 1024,
            request_timeout: Duration::from_secs(60),
            requests_per_second: 1000,
            notification_bytes: FACADE_BYTES + NOTIFICATION_MARGIN,
            facade_bytes: FACADE_BYTES,
            khipu_answer_bytes: 2 * 1024 * 1024,
            heartbeat_interval: Duration::from_secs(30),
            ping_interval: Duration::from_secs(120),
            connection_lifetime: Duration::from_secs(3600),
            poll_wait: Duration::from_secs(60),
            notification_tolerance: Duration::from_secs(600),
            polls_per_second: 10,
            polls_in_flight: 32,
        }
    }
}

macro_rules! raw_limits {
    (counts: $($count:ident: $type:ty),*; spans: $($span:ident),*) => {
        #[derive(Debug, Default, Deserialize)]
        #[serde(default)]
        pub(super) struct RawLimits {
            $($count: Option<NonZero<$type>>,)*
            $($span: Option<HumanDuration>,)*
        }

        impl RawLimits {
            /// The default limits, with the given ones in their places. Zero is refused.
            fn over_defaults(&self, problems: &mut Problems) -> Limits {
                let mut limits = Limits::default();
                $(if let Some(value) = self.$count {
                    limits.$count = value.get();
                })*
                $(if let Some(value) = self.$span {
                    if value.0.is_zero() {
                        problems.add(concat!("limits.", stringify!($span)), "must be longer than zero");
                    }
                    limits.$span = value.0;
                })*
                limits
            }
        }
    };
}

raw_limits! {
    counts:
        watchers: usize, watchers_per_payment: usize, watchers_per_address: usize, connections: usize, reserved_connections: usize,
        connections_per_address: usize, body_bytes_per_second: usize,
        notification_bytes: usize, facade_bytes: usize, khipu_answer_bytes: usize,
        polls_per_second: u32, polls_in_flight: usize, requests_per_second: u32;
    spans:
        handshake_timeout, body_timeout, request_timeout, heartbeat_interval, ping_interval, connection_lifetime,
        poll_wait, notification_tolerance
}

impl RawLimits {
    pub(super) fn check(&self, problems: &mut Problems) -> Limits {
        let mut limits = self.over_defaults(problems);
        let notification_bytes = limits.facade_bytes.saturating_add(NOTIFICATION_MARGIN);
        if self.notification_bytes.is_none() {
            limits.notification_bytes = notification_bytes;
        } else if limits.notification_bytes < notification_bytes {
            problems.add(
                "limits.notification_bytes",
                format!(
                    "must be at least {notification_bytes}, which is limits.facade_bytes and 64 KiB: khipu sends back what a \
                     merchant sent, and a refused notification delays the confirmation"
                ),
            );
        }
        if limits.watchers_per_payment > limits.watchers {
            problems.add(
                "limits.watchers_per_payment",
                "is above limits.watchers, so it cannot be reached",
            );
        }
        if limits.body_timeout >= limits.request_timeout {
            problems.add(
                "limits.body_timeout",
                "must be shorter than limits.request_timeout, which includes it",
            );
        }
        if limits.heartbeat_interval > LONGEST_HEARTBEAT_INTERVAL {
            problems.add(
                "limits.heartbeat_interval",
                "must be at most 40s: a browser gives up a connection that is silent for 45s, and proxies cut it after 60s",
            );
        }
        if limits.connection_lifetime <= limits.ping_interval {
            problems.add(
                "limits.connection_lifetime",
                "must be longer than limits.ping_interval",
            );
        }
        if limits.poll_wait > Duration::from_secs(60) {
            problems.add(
                "limits.poll_wait",
                "must be at most 60s: proxies give up on an answer after that",
            );
        }
        limits
    }
}
