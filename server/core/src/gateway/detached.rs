//! Work that runs to its end although its caller is gone.

use tokio::task::JoinError;

use super::{AskError, GatewayError};
use crate::store::StoreError;

/// Detached work ended without a result: it panicked, or the process stops. Part of it may have been done.
#[derive(Debug, thiserror::Error)]
#[error("the operation broke off: {0}")]
pub(super) struct BrokeOff(#[from] JoinError);

/// Runs work as a task of its own, which a caller that hangs up does not cancel.
pub(super) async fn detached<T: Send + 'static>(
    work: impl Future<Output = T> + Send + 'static,
) -> Result<T, BrokeOff> {
    Ok(tokio::spawn(work).await?)
}

impl From<BrokeOff> for StoreError {
    fn from(error: BrokeOff) -> Self {
        Self::Unavailable(error.to_string())
    }
}

impl From<BrokeOff> for AskError {
    fn from(error: BrokeOff) -> Self {
        Self::Store(error.to_string())
    }
}

impl From<BrokeOff> for GatewayError {
    fn from(error: BrokeOff) -> Self {
        Self::BrokeOff(error.0.to_string())
    }
}
