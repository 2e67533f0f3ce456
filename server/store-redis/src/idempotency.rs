//! Merchants' requests that may arrive twice, each in a partition of its own.

use std::time::Duration;

use async_trait::async_trait;
use chasqui_store::{
    BeginOutcome, Completion, IDEMPOTENCY_TERM, IN_PROGRESS_LIMIT, IdempotencyStore,
    IdempotentRequest, StoreError, StoredResponse,
};

use super::redis_store::{RedisStore, ms};
use super::{keys, replies, scripts};

/// The times of the requests decide when a key is free again; Redis only clears away what is over. An hour later, because
/// an instance's clock may be behind Redis's.
const RECORD_KEPT: Duration = IDEMPOTENCY_TERM.saturating_add(Duration::from_secs(3600));

#[async_trait]
impl IdempotencyStore for RedisStore {
    async fn begin(&self, request: &IdempotentRequest) -> Result<BeginOutcome, StoreError> {
        let (partition, key) = keys::idempotent_request(&request.key);
        let call = scripts::BEGIN
            .call()
            .key(key)
            .arg(&request.fingerprint[..])
            .arg(request.arrival)
            .arg(request.at.unix_ms())
            .arg(ms(IDEMPOTENCY_TERM))
            .arg(ms(IN_PROGRESS_LIMIT))
            .arg(ms(RECORD_KEPT));
        let reply: Vec<Vec<u8>> = self.run(partition, &call).await?;
        let [word, response @ ..] = &reply[..] else {
            return Err(replies::damaged("request"));
        };
        match (str::from_utf8(word), response) {
            (Ok(replies::STARTED), []) => Ok(BeginOutcome::Started),
            (Ok(replies::KEY_REUSED), []) => Ok(BeginOutcome::KeyReused),
            (Ok(keys::IN_PROGRESS), []) => Ok(BeginOutcome::InProgress),
            (Ok(keys::OUTCOME_UNKNOWN), []) => Ok(BeginOutcome::OutcomeUnknown),
            (Ok(keys::ANSWERED), [status, body]) => Ok(BeginOutcome::Replay(StoredResponse {
                status: replies::number(&String::from_utf8_lossy(status))?,
                body: body.clone().into(),
            })),
            _ => Err(replies::damaged("request")),
        }
    }

    async fn complete(
        &self,
        request: &IdempotentRequest,
        completion: &Completion,
    ) -> Result<(), StoreError> {
        let (partition, key) = keys::idempotent_request(&request.key);
        let call = scripts::COMPLETE.call().key(key).arg(request.arrival);
        let call = match completion {
            Completion::Response(answer) => call
                .arg(keys::ANSWERED)
                .arg(answer.status)
                .arg(answer.body.as_ref()),
            Completion::OutcomeUnknown => call.arg(keys::OUTCOME_UNKNOWN),
            Completion::Released => call.arg(""),
        };
        self.run(partition, &call).await
    }
}
