//! Whose turn it is to ask Khipu about a payment.

use std::sync::LazyLock;
use std::time::Duration;

use super::{RedisStore, ms, replies};
use crate::payment::{PaymentId, Timestamp};
use crate::redis::{Partition, Script};
use crate::store::{LONGEST_POLL_LOCK, StoreError};

static TURN: LazyLock<Script> =
    LazyLock::new(|| Script::new(concat!(include_str!("clock.lua"), include_str!("turn.lua"))));

pub(super) async fn take(
    store: &RedisStore,
    id: &PaymentId,
    now: Timestamp,
    gap: Duration,
) -> Result<bool, StoreError> {
    let partition = Partition::of(id.as_str());
    let call = TURN
        .call()
        .key(partition.key("turn", id.as_str()))
        .arg(store.clock.argument(now))
        .arg(ms(gap.min(LONGEST_POLL_LOCK)))
        .arg(ms(LONGEST_POLL_LOCK));
    replies::read(store.redis.run(partition, &call).await?)
}
