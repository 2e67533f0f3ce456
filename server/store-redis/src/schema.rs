//! Which version of chasqui's keys a Redis holds.

use std::sync::LazyLock;

use super::replies::{read, unavailable};
use super::{keys, scripts};
use chasqui_redis_topology::{RedisClient, Script};
use chasqui_store::StoreError;

static SCHEMA: LazyLock<Script> =
    LazyLock::new(|| scripts::script(include_str!("../scripts/schema.lua")));

/// Of the keys and fields that this chasqui writes. 1: statuses numbered 1 to 7, which are still read. 2: statuses numbered
/// by round and kind.
const VERSION: u32 = 2;

/// Marks a Redis that has no version yet, or an older one, as of today's: older instances refuse to start on it. Waits for
/// no replica: a gateway must be able to start while there is none, and the next one to open it marks it again.
pub(super) async fn check(redis: &RedisClient) -> Result<(), StoreError> {
    let (partition, key) = keys::schema_version();
    let call = SCHEMA.call().key(key).arg(VERSION);
    let found: u32 = read(redis.run(partition, &call).await.map_err(unavailable)?)?;
    if found > VERSION {
        return Err(StoreError::Unavailable(format!(
            "redis holds schema version {found}, this chasqui knows versions up to {VERSION}: use a newer chasqui"
        )));
    }
    Ok(())
}
