//! Written to find out whether writing works.

use std::sync::LazyLock;
use std::time::Duration;

use super::{RedisLedger, ms};
use crate::ledger::LedgerError;
use crate::redis::{Partition, Script};

static CANARY: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("canary.lua")));

/// Nobody reads it.
const KEPT: Duration = Duration::from_secs(60);

pub(super) async fn write_everywhere(ledger: &RedisLedger) -> Result<(), LedgerError> {
    let calls: Vec<_> = Partition::all()
        .map(|partition| {
            let call = CANARY.call().key(partition.key("canary", "ready"));
            (partition, call.arg(ms(KEPT)))
        })
        .collect();
    let replies = ledger.redis.run_all(&calls).await;
    for (partition, reply) in Partition::all().zip(replies) {
        if let Err(error) = reply {
            return Err(LedgerError::Unavailable(format!("{partition}: {error}")));
        }
    }
    Ok(())
}
