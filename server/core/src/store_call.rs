//! Calls of the store with a time limit.

use std::time::Duration;

use chasqui_store::StoreError;
use tokio::time::timeout;

/// A store that does not answer in time is unavailable.
pub(crate) async fn within<T>(
    limit: Duration,
    call: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, StoreError> {
    timeout(limit, call).await.unwrap_or_else(|_| {
        let reason = format!("no answer within {limit:?}");
        Err(StoreError::Unavailable(reason))
    })
}
