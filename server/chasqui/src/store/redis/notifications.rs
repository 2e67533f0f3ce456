//! What Khipu sent: `notified` holds what is known of it, `raw` its bytes and signatures, apart so that they can be erased.
//! They are written with the rest of an observation, by `notification.lua`.

use std::sync::LazyLock;

use super::{RedisStore, replies};
use crate::payment::{PaymentId, Verdict};
use crate::redis::{Partition, Script};
use crate::store::{StoreError, StoredNotification};

static PRESENTABLE: LazyLock<Script> =
    LazyLock::new(|| Script::new(include_str!("presentable.lua")));

/// `Agrees` before the others, and of each the first. `None` too when its bytes have been erased.
pub(super) async fn presentable(
    store: &RedisStore,
    id: &PaymentId,
) -> Result<Option<StoredNotification>, StoreError> {
    let partition = Partition::of(id.as_str());
    let call = PRESENTABLE
        .call()
        .key(partition.key("notified", id.as_str()))
        .key(partition.key("raw", id.as_str()));
    let found: Option<(Vec<u8>, String, String)> =
        replies::read(store.redis.run(partition, &call).await?)?;
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
        verdict: parse_verdict(verdict).ok_or_else(|| replies::damaged("verdict"))?,
        received_at: replies::moment(received_at)?,
    }))
}

pub(super) fn parse_verdict(text: &str) -> Option<Verdict> {
    Verdict::ALL
        .into_iter()
        .find(|verdict| verdict.as_str() == text)
}
