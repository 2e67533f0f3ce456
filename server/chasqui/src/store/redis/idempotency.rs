//! Merchants' requests that may come twice, each in a partition of its own.

use std::sync::LazyLock;
use std::time::Duration;

use super::{RedisStore, ms, names, replies};
use crate::redis::{Partition, Script};
use crate::store::{
    BeginOutcome, Completion, IDEMPOTENCY_TERM, IN_PROGRESS_LIMIT, IdempotencyKey,
    IdempotentRequest, StoreError, StoredResponse,
};

static BEGIN: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("begin.lua")));
static FINISH: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("finish.lua")));

/// When a key is free again is told by the times of the requests; Redis only clears away what is over. An hour later,
/// because an instance's clock may be behind Redis's.
const KEPT: Duration = IDEMPOTENCY_TERM.saturating_add(Duration::from_secs(3600));

pub(super) async fn begin(
    store: &RedisStore,
    request: &IdempotentRequest,
) -> Result<BeginOutcome, StoreError> {
    let (partition, key) = place(&request.key);
    let call = BEGIN
        .call()
        .key(key)
        .arg(&request.fingerprint[..])
        .arg(request.arrival)
        .arg(request.at.unix_ms())
        .arg(ms(IDEMPOTENCY_TERM))
        .arg(ms(IN_PROGRESS_LIMIT))
        .arg(ms(KEPT));
    let reply: Vec<Vec<u8>> = replies::read(store.redis.run_durably(partition, &call).await?)?;
    match reply.as_slice() {
        [word] => match word.as_slice() {
            b"fresh" => Ok(BeginOutcome::Started),
            b"under_way" => Ok(BeginOutcome::InProgress),
            b"other_body" => Ok(BeginOutcome::KeyReused),
            b"unknown" => Ok(BeginOutcome::OutcomeUnknown),
            _ => Err(replies::damaged("standing")),
        },
        [_, status, body] => Ok(BeginOutcome::Replay(StoredResponse {
            status: replies::number(&String::from_utf8_lossy(status))?,
            body: body.clone().into(),
        })),
        _ => Err(replies::damaged("request")),
    }
}

pub(super) async fn complete(
    store: &RedisStore,
    request: &IdempotentRequest,
    finished: &Completion,
) -> Result<(), StoreError> {
    let (partition, key) = place(&request.key);
    let call = FINISH.call().key(key).arg(request.arrival);
    let call = match finished {
        Completion::Response(answer) => call
            .arg("answered")
            .arg(answer.status)
            .arg(answer.body.as_ref()),
        Completion::OutcomeUnknown => call.arg("unknown"),
        Completion::Released => call.arg("nothing_done"),
    };
    store.redis.run_durably(partition, &call).await?;
    Ok(())
}

fn place(key: &IdempotencyKey) -> (Partition, String) {
    let IdempotencyKey {
        account,
        route,
        key,
    } = key;
    let name = names::digest(&[account.as_str(), route, key]);
    let partition = Partition::of(&name);
    (partition, partition.key("idempotency", &name))
}
