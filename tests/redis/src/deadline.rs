//! How tests wait: for a named event, with a deadline.

use std::future::Future;
use std::time::Duration;

/// No test waits longer than this for an event that must happen. Generous: only a failure reaches it.
pub const DEADLINE: Duration = Duration::from_secs(30);

/// Between two polls.
const POLL_INTERVAL: Duration = Duration::from_millis(10);

/// Waits for `future`, or fails with what was waited for.
pub async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    due_in(Duration::ZERO, what, future).await
}

/// The same for an event that is due after `wait`.
pub async fn due_in<T>(wait: Duration, what: &str, future: impl Future<Output = T>) -> T {
    let limit = wait + DEADLINE;
    match tokio::time::timeout(limit, future).await {
        Ok(value) => value,
        Err(_) => panic!("{what}: not within {limit:?}"),
    }
}

/// Polls until there is a value, or fails with what was waited for.
pub async fn eventually<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    within(what, async {
        loop {
            if let Some(answer) = look().await {
                return answer;
            }
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    })
    .await
}
