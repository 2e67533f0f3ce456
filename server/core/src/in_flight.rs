//! One question about a payment for all callers that want its answer at the same time.

use std::sync::Arc;

use dashmap::DashMap;
use dashmap::mapref::entry::Entry;
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};

use chasqui_khipu::wire::PaymentResponse;
use chasqui_payment::{AccountName, PaymentId};

use crate::detached::detached;
use crate::error::RefreshError;

/// Shared by all callers that wait for it.
pub type RefreshResult = Result<Arc<PaymentResponse>, RefreshError>;

/// A question is put on an account's behalf: its answer is not for another account.
type Key = (AccountName, PaymentId);

type Questions = Arc<DashMap<Key, Shared<BoxFuture<'static, RefreshResult>>>>;

#[derive(Debug, Default)]
pub(crate) struct InFlightRefreshes(Questions);

/// Removes the question when it has its answer, or when it panics.
struct InFlightGuard {
    questions: Questions,
    key: Key,
}

impl Drop for InFlightGuard {
    fn drop(&mut self) {
        self.questions.remove(&self.key);
    }
}

impl InFlightRefreshes {
    /// The answer to the question about the payment that is in flight; without one, `question` is put.
    pub(crate) async fn coalesce(
        &self,
        key: Key,
        question: impl Future<Output = RefreshResult> + Send + 'static,
    ) -> RefreshResult {
        let answer = match self.0.entry(key.clone()) {
            Entry::Occupied(in_flight) => in_flight.get().clone(),
            Entry::Vacant(vacant) => {
                let guard = InFlightGuard {
                    questions: Arc::clone(&self.0),
                    key,
                };
                let question = detached(async move {
                    let _until_answered = guard;
                    question.await
                });
                let question = async move { question.await? };
                vacant.insert(question.boxed().shared()).clone()
            }
        };
        answer.await
    }
}
