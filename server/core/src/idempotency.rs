//! A merchant's request that may come twice, done once.
//!
//! Its key is durable before anything is done, and its answer before the merchant is told. What may have been done is
//! never done again under the same key: that is for the merchant to look into.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures_util::FutureExt;

use chasqui_store::{
    BeginOutcome, Completion, IdempotencyKey, IdempotencyStore, IdempotentRequest, StoreError,
    StoredResponse,
};

use crate::clock;
use crate::detached::detached;
use crate::error::PaymentsError;
use crate::payments::Payments;

/// What a request came to.
#[derive(Debug, PartialEq, Eq)]
pub enum IdempotentResult<T> {
    Executed(T),
    /// It was done before; this was its answer.
    Replayed(StoredResponse),
}

#[derive(Debug, Clone, thiserror::Error)]
pub enum IdempotencyError {
    #[error("the same request is being done now")]
    InProgress,
    #[error("the idempotency key stands for another request")]
    KeyReused,
    #[error("the request was made before and may have been done")]
    OutcomeUnknown,
    #[error(transparent)]
    Payments(#[from] PaymentsError),
}

impl Payments {
    /// Does the work unless it was done before under this key. `fingerprint`: see [`IdempotentRequest`]. `render` is
    /// asked for the answer that the merchant is about to be given, if that is to be kept.
    ///
    /// The work must answer `Store`, `Fields` or `UnknownPayment` only while nothing has been done: the key is let go
    /// then. Once begun it is brought to its end even if the merchant hangs up.
    pub async fn run_idempotent<T>(
        &self,
        key: IdempotencyKey,
        fingerprint: [u8; 32],
        work: impl Future<Output = Result<T, PaymentsError>> + Send + 'static,
        render: impl FnOnce(&Result<T, PaymentsError>) -> StoredResponse + Send + 'static,
    ) -> Result<IdempotentResult<T>, IdempotencyError>
    where
        T: Send + Sync + 'static,
    {
        let request = IdempotentRequest {
            key,
            fingerprint,
            arrival: rand::random(),
            at: clock::now(),
        };
        run_idempotent(self.store.clone(), request, work, render).await
    }
}

/// A task of its own: a key that is begun must come to its end.
async fn run_idempotent<T>(
    store: Arc<dyn IdempotencyStore>,
    request: IdempotentRequest,
    work: impl Future<Output = Result<T, PaymentsError>> + Send + 'static,
    render: impl FnOnce(&Result<T, PaymentsError>) -> StoredResponse + Send + 'static,
) -> Result<IdempotentResult<T>, IdempotencyError>
where
    T: Send + Sync + 'static,
{
    detached(async move { begin_and_complete(&*store, &request, work, render).await })
        .await
        .map_err(PaymentsError::from)?
}

async fn begin_and_complete<T>(
    store: &dyn IdempotencyStore,
    request: &IdempotentRequest,
    work: impl Future<Output = Result<T, PaymentsError>> + Send,
    render: impl FnOnce(&Result<T, PaymentsError>) -> StoredResponse + Send,
) -> Result<IdempotentResult<T>, IdempotencyError> {
    let begun = begin(store, request).await.map_err(PaymentsError::from)?;
    let outcome = match begun {
        BeginOutcome::Started => "first",
        BeginOutcome::Replay(_) => "again",
        BeginOutcome::InProgress => "under_way",
        BeginOutcome::KeyReused => "other_body",
        BeginOutcome::OutcomeUnknown => "unknown",
    };
    metrics::counter!("chasqui_idempotent_requests_total", "outcome" => outcome).increment(1);
    match begun {
        BeginOutcome::Started => {}
        BeginOutcome::Replay(answer) => return Ok(IdempotentResult::Replayed(answer)),
        BeginOutcome::InProgress => return Err(IdempotencyError::InProgress),
        BeginOutcome::KeyReused => return Err(IdempotencyError::KeyReused),
        BeginOutcome::OutcomeUnknown => return Err(IdempotencyError::OutcomeUnknown),
    }
    // Nothing that the work has half done is looked at after a panic.
    let result = AssertUnwindSafe(work)
        .catch_unwind()
        .await
        .unwrap_or_else(|_| Err(PaymentsError::BrokeOff("it panicked".to_owned())));
    let finished = match leaves(&result) {
        Left::Response => Completion::Response(render(&result)),
        Left::Nothing => Completion::Released,
        Left::Doubt => Completion::OutcomeUnknown,
    };
    if let Err(error) = store.complete(request, &finished).await {
        // The merchant is told all the same. A repeat will hear that it is under way, and in time that nobody knows.
        tracing::error!(account = %request.key.account, route = request.key.route, %error, "the end of an idempotent request could not be recorded");
    }
    Ok(IdempotentResult::Executed(result?))
}

async fn begin(
    store: &dyn IdempotencyStore,
    request: &IdempotentRequest,
) -> Result<BeginOutcome, StoreError> {
    let begun = store.begin(request).await;
    if begun.is_err() {
        // It may have been begun after all, or be begun yet: then a repeat would find it under way with nobody at it.
        let _ = store.complete(request, &Completion::Released).await;
    }
    begun
}

/// What a piece of work leaves behind for those who ask again.
#[derive(Debug, PartialEq, Eq)]
enum Left {
    Response,
    Nothing,
    Doubt,
}

fn leaves<T>(result: &Result<T, PaymentsError>) -> Left {
    match result {
        Ok(_) => Left::Response,
        Err(PaymentsError::Khipu(error)) if error.is_passing() => Left::Nothing,
        Err(PaymentsError::Khipu(error)) if error.outcome_is_unknown() => Left::Doubt,
        Err(PaymentsError::Khipu(_)) => Left::Response,
        Err(
            PaymentsError::Fields(_)
            | PaymentsError::UnknownPayment
            | PaymentsError::Store(_)
            | PaymentsError::Busy { .. },
        ) => Left::Nothing,
        Err(PaymentsError::BrokeOff(_)) => Left::Doubt,
    }
}

#[cfg(test)]
mod tests;
