//! Which version of chasqui's keys a Redis holds.

use std::sync::LazyLock;

use super::{RedisStore, replies};
use crate::redis::{Partition, Script};
use crate::store::StoreError;

static SCHEMA: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("schema.lua")));

/// Of the keys and fields that this chasqui writes. 1: statuses numbered 1 to 7, which are still read. 2: statuses numbered
/// by round and kind.
const VERSION: u32 = 2;

/// Marks a Redis that has no version yet, or an older one, as of today's: older instances refuse to start on it. Waits for no replica: a gateway must be able to start while there is
/// none, and whoever opens it next marks it again.
pub(super) async fn check(store: &RedisStore) -> Result<(), StoreError> {
    let partition = Partition::of("schema");
    let call = SCHEMA
        .call()
        .key(partition.key("schema", "version"))
        .arg(VERSION);
    let found: u32 = replies::read(store.redis.run(partition, &call).await?)?;
    if found > VERSION {
        return Err(StoreError::Unavailable(format!(
            "redis holds schema version {found}, this chasqui knows versions up to {VERSION}: use a newer chasqui"
        )));
    }
    Ok(())
}
