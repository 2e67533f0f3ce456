//! One query of a payment for all callers that need it at the same time.

use std::sync::Arc;

use chasqui_khipu::wire::PaymentResponse;
use chasqui_payment::{AccountName, PaymentId};
use dashmap::DashMap;
use dashmap::mapref::entry::Entry;
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};

use crate::detached::detached;
use crate::error::RefreshError;

pub(crate) type RefreshResult = Result<Arc<PaymentResponse>, RefreshError>;

/// A response belongs to the account that asked.
type RefreshKey = (AccountName, PaymentId);

type Refreshes = Arc<DashMap<RefreshKey, Shared<BoxFuture<'static, RefreshResult>>>>;

#[derive(Debug, Default)]
pub(crate) struct InFlightRefreshes(Refreshes);

/// Removes a refresh that has ended or panicked.
struct InFlightGuard {
    refreshes: Refreshes,
    key: RefreshKey,
}

impl Drop for InFlightGuard {
    fn drop(&mut self) {
        self.refreshes.remove(&self.key);
    }
}

impl InFlightRefreshes {
    /// The result of the refresh in flight under this key; without one, `refresh` starts.
    pub(crate) async fn coalesce(
        &self,
        key: RefreshKey,
        refresh: impl Future<Output = RefreshResult> + Send + 'static,
    ) -> RefreshResult {
        let result = match self.0.entry(key.clone()) {
            Entry::Occupied(in_flight) => in_flight.get().clone(),
            Entry::Vacant(vacant) => {
                let guard = InFlightGuard {
                    refreshes: Arc::clone(&self.0),
                    key,
                };
                let refresh = async move {
                    let refreshed = detached(async move {
                        let _guard = guard;
                        refresh.await
                    });
                    refreshed.await?
                };
                vacant.insert(refresh.boxed().shared()).clone()
            }
        };
        result.await
    }
}
