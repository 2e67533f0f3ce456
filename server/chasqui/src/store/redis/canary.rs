//! Written to find out whether writing works.

use std::sync::LazyLock;
use std::time::Duration;

use super::{RedisStore, ms};
use crate::redis::{Partition, Script};
use crate::store::StoreError;

static CANARY: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("canary.lua")));

/// Nobody reads it.
const KEPT: Duration = Duration::from_secs(60);

pub(super) async fn write_everywhere(store: &RedisStore) -> Result<(), StoreError> {
    let calls: Vec<_> = Partition::all()
        .map(|partition| {
            let call = CANARY.call().key(partition.key("canary", "ready"));
            (partition, call.arg(ms(KEPT)))
        })
        .collect();
    let replies = store.redis.run_all_durably(&calls).await;
    for (partition, reply) in Partition::all().zip(replies) {
        if let Err(error) = reply {
            return Err(StoreError::Unavailable(format!("{partition}: {error}")));
        }
    }
    Ok(())
}
