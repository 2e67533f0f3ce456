//! Tasks that run to their end although their caller is gone.

use std::panic::AssertUnwindSafe;

use futures_util::FutureExt;
use tokio::task::JoinError;

/// A detached task ended without a result: it panicked, or the process stops. It may have had part of its effect.
#[derive(Debug, thiserror::Error)]
#[error("the operation was interrupted: {0}")]
pub(crate) struct DetachedTaskError(#[from] pub(crate) JoinError);

/// Runs the work as its own task, which dropping the returned future does not cancel.
pub(crate) async fn detached<T: Send + 'static>(
    work: impl Future<Output = T> + Send + 'static,
) -> Result<T, DetachedTaskError> {
    Ok(tokio::spawn(work).await?)
}

/// Runs work that no caller waits for as its own task. A panic is logged and ends that task alone.
pub fn spawn_detached(task: &'static str, work: impl Future<Output = ()> + Send + 'static) {
    tokio::spawn(AssertUnwindSafe(work).catch_unwind().map(move |ended| {
        if ended.is_err() {
            tracing::error!(task, "a task panicked; its message is on standard error");
        }
    }));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::logs::Logs;

    #[tokio::test]
    async fn a_panic_in_a_task_that_no_caller_awaits_is_logged() {
        let logs = Logs::default();
        let _guard = logs.capture(tracing::Level::ERROR);
        spawn_detached("a poll", async { panic!("a bug, on purpose") });
        tokio::task::yield_now().await;
        let text = logs.text();
        assert!(
            text.contains("a task panicked") && text.contains("a poll"),
            "{text}"
        );
    }
}
