//! How long what is kept is kept. Redis itself clears it away.
//!
//! A final payment goes when its retention has passed since its last write, an open one when it has passed since Khipu is
//! no longer asked (`expire` in `payment.lua`), all of
//! it at once; the bytes of its notifications earlier, once they were delivered (`expire` in `payment.lua`). Its intent
//! and its transaction's index lie in other partitions and follow here, as well as can be.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use super::{RedisStore, intents, ms, transactions};
use crate::payment::{AccountName, PaymentId, PaymentReference};
use crate::redis::Script;

static RELEASE_INTENT: LazyLock<Script> =
    LazyLock::new(|| Script::new(include_str!("release_intent.lua")));
static RELEASE_INDEX: LazyLock<Script> =
    LazyLock::new(|| Script::new(include_str!("release_index.lua")));

/// As good as for ever. Redis refuses a term that ends beyond what its clock can count to, and with it the write.
pub(super) const LONGEST: Duration = Duration::from_secs(100 * 366 * 24 * 3600);

/// How long what is final is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// Of a final payment, since its last write.
    pub payments: Duration,
    /// Of a notification's bytes, once its delivery is done.
    pub notification_bytes: Duration,
}

impl Retention {
    /// Within what Redis can count.
    pub(super) fn bounded(self) -> Self {
        Self {
            payments: self.payments.min(LONGEST),
            notification_bytes: self.notification_bytes.min(LONGEST),
        }
    }
}

/// Where an intent comes to nothing, or nobody is there to let it go when its payment is final, it goes after this. More
/// than a year: no payment is still open then that anybody will come back to.
const NAMES_KEPT: Duration = Duration::from_secs(400 * 24 * 3600);

/// The most final payments whose names are being let go at once. Those beyond keep theirs for [`NAMES_KEPT`].
pub(super) const LETTING_GO: usize = 256;

/// Never shorter than the payments that they lead to are kept.
pub(super) fn of_names(store: &RedisStore) -> Duration {
    NAMES_KEPT.max(store.retention.payments)
}

/// What leads to a payment that has become final is kept no longer than that. Nobody waits for it, and nothing is wrong if
/// it does not happen.
pub(super) fn let_go(
    store: &RedisStore,
    id: &PaymentId,
    account: &AccountName,
    reference: Option<String>,
    transaction_id: Option<String>,
) {
    let intent = reference.and_then(|text| PaymentReference::parse(&text).ok());
    let intent = intent.map(|reference| (&*RELEASE_INTENT, intents::place(&reference)));
    let index = transaction_id.map(|name| (&*RELEASE_INDEX, transactions::place(account, &name)));
    let calls: Vec<_> = intent
        .into_iter()
        .chain(index)
        .map(|(script, (partition, key))| {
            let call = script.call().key(key).arg(id.as_str());
            (partition, call.arg(ms(store.retention.payments)))
        })
        .collect();
    if calls.is_empty() {
        return;
    }
    let Ok(permit) = Arc::clone(&store.letting_go).try_acquire_owned() else {
        return;
    };
    let (redis, id) = (Arc::clone(&store.redis), id.clone());
    tokio::spawn(async move {
        for error in redis
            .run_all(&calls)
            .await
            .into_iter()
            .filter_map(Result::err)
        {
            tracing::debug!(payment_id = %id, %error, "what leads to a final payment is kept longer");
        }
        drop(permit);
    });
}
