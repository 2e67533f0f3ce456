//! Work that runs to its end although its caller is gone.

use tokio::task::JoinError;

/// Detached work ended without a result: it panicked, or the process stops. Part of it may have been done.
#[derive(Debug, thiserror::Error)]
#[error("the operation broke off: {0}")]
pub(crate) struct DetachedTaskError(#[from] pub(crate) JoinError);

/// Runs work as a task of its own, which a caller that hangs up does not cancel.
pub(crate) async fn detached<T: Send + 'static>(
    work: impl Future<Output = T> + Send + 'static,
) -> Result<T, DetachedTaskError> {
    Ok(tokio::spawn(work).await?)
}
