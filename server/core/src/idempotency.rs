//! Runs a merchant's request once, although it may arrive twice.
//!
//! The key is durable before the work begins, and the response before the merchant receives it. Work that may have had its
//! effect never runs again under the same key.

use std::sync::Arc;

use chasqui_store::{
    BeginOutcome, Completion, IdempotencyKey, IdempotencyStore, IdempotentRequest, StoredResponse,
};

use crate::clock;
use crate::detached::detached;
use crate::error::PaymentsError;
use crate::payments::Payments;

#[derive(Debug, PartialEq, Eq)]
pub enum IdempotentResult<T> {
    Executed(T),
    /// The response to the first request with this key.
    Replayed(StoredResponse),
}

#[derive(Debug, Clone, thiserror::Error)]
pub enum IdempotencyError {
    #[error("the first request with this idempotency key is in progress")]
    InProgress,
    #[error("the idempotency key belongs to another request")]
    KeyReused,
    #[error("the first request with this idempotency key may have been executed")]
    OutcomeUnknown,
    #[error(transparent)]
    Payments(#[from] PaymentsError),
}

impl Payments {
    /// Runs the work unless it ran before under this key. `fingerprint`: see [`IdempotentRequest`]. `render` returns the
    /// response to store.
    ///
    /// The work may return `Store`, `Fields`, `NotSent`, `Busy`, `RefundInProgress` or `UnknownPayment` only if it had no effect: that releases the key. Work that
    /// has begun runs to its end although the merchant hangs up.
    pub async fn run_idempotent<T: Send + Sync + 'static>(
        &self,
        key: IdempotencyKey,
        fingerprint: [u8; 32],
        work: impl Future<Output = Result<T, PaymentsError>> + Send + 'static,
        render: impl FnOnce(&Result<T, PaymentsError>) -> StoredResponse + Send + 'static,
    ) -> Result<IdempotentResult<T>, IdempotencyError> {
        let request = IdempotentRequest {
            key,
            fingerprint,
            arrival: rand::random(),
            at: clock::now(),
        };
        run_idempotent(self.store.clone(), request, work, render).await
    }
}

async fn run_idempotent<T: Send + Sync + 'static>(
    store: Arc<dyn IdempotencyStore>,
    request: IdempotentRequest,
    work: impl Future<Output = Result<T, PaymentsError>> + Send + 'static,
    render: impl FnOnce(&Result<T, PaymentsError>) -> StoredResponse + Send + 'static,
) -> Result<IdempotentResult<T>, IdempotencyError> {
    let run = async move {
        let begun = store.begin(&request).await;
        if begun.is_err() {
            // It may have taken effect, and a repeat would then wait for work that does not run.
            let _ = store.complete(&request, &Completion::Released).await;
        }
        let (outcome, repeated) = match begun.map_err(PaymentsError::from)? {
            BeginOutcome::Started => ("started", None),
            BeginOutcome::Replay(response) => {
                ("replayed", Some(Ok(IdempotentResult::Replayed(response))))
            }
            BeginOutcome::InProgress => ("in_progress", Some(Err(IdempotencyError::InProgress))),
            BeginOutcome::KeyReused => ("key_reused", Some(Err(IdempotencyError::KeyReused))),
            BeginOutcome::OutcomeUnknown => (
                "outcome_unknown",
                Some(Err(IdempotencyError::OutcomeUnknown)),
            ),
        };
        metrics::counter!("chasqui_idempotent_requests_total", "outcome" => outcome).increment(1);
        if let Some(repeated) = repeated {
            return repeated;
        }
        // A task of its own: the end of work that panics is stored too.
        let result = detached(work)
            .await
            .unwrap_or_else(|error| Err(error.into()));
        let completion = completion(&result, render);
        if let Err(error) = store.complete(&request, &completion).await {
            // The merchant receives the response. A repeat is answered "in progress", and later "outcome unknown".
            tracing::error!(account = %request.key.account, route = request.key.route, %error, "the end of an idempotent request could not be stored; a repeat will not find its response");
        }
        Ok(IdempotentResult::Executed(result?))
    };
    detached(run).await.map_err(PaymentsError::from)?
}

fn completion<T>(
    result: &Result<T, PaymentsError>,
    render: impl FnOnce(&Result<T, PaymentsError>) -> StoredResponse,
) -> Completion {
    match result {
        Ok(_) => Completion::Response(render(result)),
        Err(PaymentsError::Khipu(error)) if error.is_passing() => Completion::Released,
        Err(PaymentsError::Khipu(error)) if error.outcome_is_unknown() => {
            Completion::OutcomeUnknown
        }
        Err(PaymentsError::Khipu(_)) => Completion::Response(render(result)),
        Err(
            PaymentsError::Fields(_)
            | PaymentsError::UnknownPayment
            | PaymentsError::NotSent(_)
            | PaymentsError::Store(_)
            | PaymentsError::Busy { .. }
            | PaymentsError::RefundInProgress { .. },
        ) => Completion::Released,
        Err(PaymentsError::Interrupted(_)) => Completion::OutcomeUnknown,
    }
}

#[cfg(test)]
mod tests;
