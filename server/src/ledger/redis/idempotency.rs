//! Merchants' requests that may come twice, each in a partition of its own.

use std::sync::LazyLock;
use std::time::Duration;

use super::{RedisLedger, ms, names, replies};
use crate::ledger::{
    Begun, Finished, IDEMPOTENCY_TERM, IdempotencyKey, IdempotentRequest, KeptAnswer, LedgerError,
    UNDER_WAY_LIMIT,
};
use crate::redis::{Partition, Script};

static BEGIN: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("begin.lua")));
static FINISH: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("finish.lua")));

/// When a key is free again is told by the times of the requests; Redis only clears away what is over. An hour later,
/// because an instance's clock may be behind Redis's.
const KEPT: Duration = IDEMPOTENCY_TERM.saturating_add(Duration::from_secs(3600));

pub(super) async fn begin(
    ledger: &RedisLedger,
    request: &IdempotentRequest,
) -> Result<Begun, LedgerError> {
    let (partition, key) = place(&request.key);
    let call = BEGIN
        .call()
        .key(key)
        .arg(&request.fingerprint[..])
        .arg(request.arrival)
        .arg(request.at.unix_ms())
        .arg(ms(IDEMPOTENCY_TERM))
        .arg(ms(UNDER_WAY_LIMIT))
        .arg(ms(KEPT));
    let reply: Vec<Vec<u8>> = replies::read(ledger.redis.run_durably(partition, &call).await?)?;
    match reply.as_slice() {
        [word] => match word.as_slice() {
            b"fresh" => Ok(Begun::Fresh),
            b"under_way" => Ok(Begun::UnderWay),
            b"other_body" => Ok(Begun::OtherBody),
            b"unknown" => Ok(Begun::Unknown),
            _ => Err(replies::damaged("standing")),
        },
        [_, status, body] => Ok(Begun::Answered(KeptAnswer {
            status: replies::number(&String::from_utf8_lossy(status))?,
            body: body.clone().into(),
        })),
        _ => Err(replies::damaged("request")),
    }
}

pub(super) async fn finish(
    ledger: &RedisLedger,
    request: &IdempotentRequest,
    finished: &Finished,
) -> Result<(), LedgerError> {
    let (partition, key) = place(&request.key);
    let call = FINISH.call().key(key).arg(request.arrival);
    let call = match finished {
        Finished::Answered(answer) => call
            .arg("answered")
            .arg(answer.status)
            .arg(answer.body.as_ref()),
        Finished::Unknown => call.arg("unknown"),
        Finished::NothingDone => call.arg("nothing_done"),
    };
    ledger.redis.run_durably(partition, &call).await?;
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
