//! A watcher that a task reads continuously, as a page does.

use std::time::Instant;

use serde_json::Value;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::deadline::within;
use crate::websocket_watcher::{WatcherEvent, WebSocketWatcher};

/// Answers pings and acknowledges a final status. A version that is not higher than the one before fails the test.
#[derive(Debug)]
pub struct BackgroundWatcher {
    seen: watch::Receiver<Seen>,
    task: JoinHandle<()>,
}

/// Events so far.
#[derive(Debug, Clone, Default)]
struct Seen {
    statuses: Vec<(Value, Instant)>,
    end: Option<WatcherEvent>,
}

impl Seen {
    fn when(&self, status: &str) -> Option<Instant> {
        self.statuses
            .iter()
            .find(|(seen, _)| seen["status"] == status)
            .map(|(_, at)| *at)
    }
}

impl BackgroundWatcher {
    pub fn spawn(mut watcher: WebSocketWatcher) -> Self {
        let (sender, seen) = watch::channel(Seen::default());
        let task = tokio::spawn(async move {
            loop {
                let event = watcher.next_event().await;
                let at = Instant::now();
                let WatcherEvent::Status(status) = event else {
                    sender.send_modify(|seen| seen.end = Some(event));
                    return;
                };
                if status["final"] == true {
                    let version = status["version"].as_u64().unwrap_or_default();
                    watcher.acknowledge(version).await;
                }
                sender.send_modify(|seen| seen.statuses.push((status, at)));
            }
        });
        Self { seen, task }
    }

    /// Waits for the first status.
    pub async fn first_status(&mut self) {
        self.wait("a first status", |seen| seen.statuses.first().map(drop))
            .await;
    }

    /// Waits for this status and returns its time of arrival. A status that was skipped never arrives.
    pub async fn until(&mut self, status: &str) -> Instant {
        self.wait(&format!("a watcher sees {status}"), |seen| {
            seen.when(status)
        })
        .await
    }

    /// Waits for the end of the connection.
    pub async fn closed(&mut self) -> WatcherEvent {
        self.wait("the end of a connection", |seen| seen.end.clone())
            .await
    }

    /// Fails unless it is still connected.
    #[track_caller]
    pub fn expect_open(&self) {
        let seen = self.seen.borrow();
        assert!(seen.end.is_none(), "the connection has ended: {seen:?}");
    }

    /// The latest status; empty before the first.
    pub fn status(&self) -> String {
        let seen = self.seen.borrow();
        let last = seen.statuses.last();
        last.and_then(|(status, _)| status["status"].as_str())
            .unwrap_or_default()
            .to_owned()
    }

    async fn wait<T>(&mut self, what: &str, find: impl Fn(&Seen) -> Option<T>) -> T {
        let waited = within(
            what,
            self.seen
                .wait_for(|seen| find(seen).is_some() || seen.end.is_some()),
        )
        .await;
        let is_over = waited.is_err();
        drop(waited);
        if let Some(found) = find(&self.seen.borrow()) {
            return found;
        }
        if is_over && let Err(failure) = (&mut self.task).await {
            std::panic::resume_unwind(failure.into_panic());
        }
        panic!("{what}: it ended as {:?}", self.seen.borrow());
    }
}

impl Drop for BackgroundWatcher {
    fn drop(&mut self) {
        self.task.abort();
    }
}
