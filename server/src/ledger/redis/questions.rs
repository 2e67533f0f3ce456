//! How many questions are put to Khipu in an account's name, whichever instances put them.

use std::sync::LazyLock;
use std::time::Duration;

use super::{RedisLedger, ms, replies};
use crate::ledger::{LedgerError, bucket};
use crate::payment::{AccountName, Timestamp};
use crate::redis::{Call, Partition, Script};

static RESERVE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(concat!(
        include_str!("clock.lua"),
        include_str!("reserve.lua")
    ))
});
static PAUSE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(concat!(
        include_str!("clock.lua"),
        include_str!("pause.lua")
    ))
});

/// By the node's clock, in microseconds: at a thousand a second a millisecond is a whole interval.
pub(super) async fn reserve(
    ledger: &RedisLedger,
    account: &AccountName,
    now: Timestamp,
    per_second: u32,
) -> Result<Duration, LedgerError> {
    let (partition, call) = calling(ledger, &RESERVE, account, now);
    let call = call
        .arg(us(bucket::interval(per_second)))
        .arg(us(bucket::burst(per_second)))
        .arg(us(bucket::FARTHEST));
    let wait: u64 = replies::read(ledger.redis.run(partition, &call).await?)?;
    Ok(Duration::from_micros(wait))
}

pub(super) async fn pause(
    ledger: &RedisLedger,
    account: &AccountName,
    now: Timestamp,
    pause: Duration,
) -> Result<(), LedgerError> {
    let (partition, call) = calling(ledger, &PAUSE, account, now);
    let call = call.arg(us(pause)).arg(ms(pause.saturating_add(KEPT)));
    ledger.redis.run(partition, &call).await?;
    Ok(())
}

/// Longer than the burst: what is forgotten after it makes no difference.
const KEPT: Duration = Duration::from_secs(2);

fn calling(
    ledger: &RedisLedger,
    script: &'static Script,
    account: &AccountName,
    now: Timestamp,
) -> (Partition, Call) {
    let partition = Partition::of(account.as_str());
    let call = script
        .call()
        .key(partition.key("questions", account.as_str()))
        .arg(ledger.clock.argument(now));
    (partition, call)
}

fn us(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
