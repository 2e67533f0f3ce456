//! How many questions are put to Khipu in an account's name, whichever instances put them.

use std::sync::LazyLock;
use std::time::Duration;

use super::{RedisStore, ms, replies};
use crate::payment::{AccountName, Timestamp};
use crate::redis::{Call, Partition, Script};
use crate::store::{FARTHEST, StoreError, burst, interval};

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
    store: &RedisStore,
    account: &AccountName,
    now: Timestamp,
    per_second: u32,
) -> Result<Duration, StoreError> {
    let (partition, call) = calling(store, &RESERVE, account, now);
    let call = call
        .arg(us(interval(per_second)))
        .arg(us(burst(per_second)))
        .arg(us(FARTHEST));
    let wait: u64 = replies::read(store.redis.run(partition, &call).await?)?;
    Ok(Duration::from_micros(wait))
}

pub(super) async fn pause(
    store: &RedisStore,
    account: &AccountName,
    now: Timestamp,
    pause: Duration,
) -> Result<(), StoreError> {
    let (partition, call) = calling(store, &PAUSE, account, now);
    let call = call.arg(us(pause)).arg(ms(pause.saturating_add(KEPT)));
    store.redis.run(partition, &call).await?;
    Ok(())
}

/// Longer than the burst: what is forgotten after it makes no difference.
const KEPT: Duration = Duration::from_secs(2);

fn calling(
    store: &RedisStore,
    script: &'static Script,
    account: &AccountName,
    now: Timestamp,
) -> (Partition, Call) {
    let partition = Partition::of(account.as_str());
    let call = script
        .call()
        .key(partition.key("questions", account.as_str()))
        .arg(store.clock.argument(now));
    (partition, call)
}

fn us(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
