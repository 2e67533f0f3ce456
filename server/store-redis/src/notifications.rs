//! Notifications: `notified` holds what is known of them, `raw` their bytes and signatures, apart so that these can be
//! erased. They are written with the rest of an observation, by `keep_notification.lua`.

use super::redis_store::RedisStore;
use super::{keys, replies, scripts};
use chasqui_payment::PaymentId;
use chasqui_redis_topology::Partition;
use chasqui_store::{StoreError, StoredNotification};

/// `Agrees` before the others, and of each the first. `None` too when its bytes have been erased.
pub(super) async fn find(
    store: &RedisStore,
    id: &PaymentId,
) -> Result<Option<StoredNotification>, StoreError> {
    let call = scripts::NOTIFICATION
        .call()
        .key(keys::notified(id))
        .key(keys::raw(id));
    let found: Option<(Vec<u8>, String, String)> =
        store.run(Partition::of(id.as_str()), &call).await?;
    let Some((body, signature, described)) = found else {
        return Ok(None);
    };
    let mut words = described.split(' ');
    let (Some(verdict), Some(_copies), Some(received_at)) =
        (words.next(), words.next(), words.next())
    else {
        return Err(replies::damaged("notification"));
    };
    Ok(Some(StoredNotification {
        body: body.into(),
        signature,
        verdict: replies::verdict(verdict).ok_or_else(|| replies::damaged("verdict"))?,
        received_at: replies::timestamp(received_at)?,
    }))
}
