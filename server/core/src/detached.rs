//! Tasks that run to their end although their caller is gone.

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
