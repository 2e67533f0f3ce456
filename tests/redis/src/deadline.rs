//! How tests wait: for something named, and never for longer than it may take.

use std::future::Future;
use std::time::Duration;

/// No test waits longer than this for something that must happen. Generous: it is only ever reached by a failure.
pub const DEADLINE: Duration = Duration::from_secs(30);

/// Between two looks at something that cannot call us.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// Waits for `future`, or fails with what was waited for.
pub async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    due_in(Duration::ZERO, what, future).await
}

/// The same for something that is only due in a while.
pub async fn due_in<T>(wait: Duration, what: &str, future: impl Future<Output = T>) -> T {
    let limit = wait + DEADLINE;
    match tokio::time::timeout(limit, future).await {
        Ok(value) => value,
        Err(_) => panic!("{what}: not within {limit:?}"),
    }
}

/// Looks again and again until there is an answer, or fails with what was waited for.
pub async fn eventually<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    within(what, async {
        loop {
            if let Some(answer) = look().await {
                return answer;
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    })
    .await
}
