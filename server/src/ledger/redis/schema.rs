//! Which version of chasqui's keys a Redis holds.

use std::sync::LazyLock;

use super::{RedisLedger, replies};
use crate::ledger::LedgerError;
use crate::redis::{Partition, Script};

static SCHEMA: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("schema.lua")));

/// Of the keys and fields that this chasqui writes.
const VERSION: u32 = 1;

/// Marks a Redis that has no version yet as of today's.
pub(super) async fn check(ledger: &RedisLedger) -> Result<(), LedgerError> {
    let partition = Partition::of("schema");
    let call = SCHEMA
        .call()
        .key(partition.key("schema", "version"))
        .arg(VERSION);
    let found: u32 = replies::read(ledger.redis.run_durably(partition, &call).await?)?;
    if found > VERSION {
        return Err(LedgerError::Unavailable(format!(
            "redis holds schema version {found}, this chasqui knows versions up to {VERSION}: use a newer chasqui"
        )));
    }
    Ok(())
}
