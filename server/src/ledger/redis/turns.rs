//! Whose turn it is to ask Khipu about a payment.

use std::sync::LazyLock;
use std::time::Duration;

use super::{RedisLedger, ms, replies};
use crate::ledger::{LONGEST_GAP, LedgerError};
use crate::payment::{PaymentId, Timestamp};
use crate::redis::{Partition, Script};

static TURN: LazyLock<Script> =
    LazyLock::new(|| Script::new(concat!(include_str!("clock.lua"), include_str!("turn.lua"))));

pub(super) async fn take(
    ledger: &RedisLedger,
    id: &PaymentId,
    now: Timestamp,
    gap: Duration,
) -> Result<bool, LedgerError> {
    let partition = Partition::of(id.as_str());
    let call = TURN
        .call()
        .key(partition.key("turn", id.as_str()))
        .arg(ledger.clock.argument(now))
        .arg(ms(gap.min(LONGEST_GAP)))
        .arg(ms(LONGEST_GAP));
    replies::read(ledger.redis.run(partition, &call).await?)
}
