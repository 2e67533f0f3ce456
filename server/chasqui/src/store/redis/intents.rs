//! What was meant before Khipu was called, in the partition of its reference.

use std::sync::LazyLock;

use super::{RedisStore, fields, ms, replies, retention};
use crate::payment::{AccountName, Intent, MerchantUrls, PaymentId, PaymentReference};
use crate::redis::{Partition, Script};
use crate::store::StoreError;

static INTEND: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("intend.lua")));
static BIND: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("bind.lua")));

const FIELDS: [&str; 6] = [
    "account",
    "return_url",
    "cancel_url",
    "notify_url",
    "created_at",
    "payment_id",
];

pub(super) async fn keep(store: &RedisStore, intent: &Intent) -> Result<(), StoreError> {
    let (partition, key) = place(&intent.reference);
    let set = [
        ("return_url", intent.urls.return_url.as_deref()),
        ("cancel_url", intent.urls.cancel_url.as_deref()),
        ("notify_url", intent.urls.notify_url.as_deref()),
        (
            "payment_id",
            intent.payment_id.as_ref().map(PaymentId::as_str),
        ),
    ];
    let mut call = INTEND
        .call()
        .key(key)
        .arg(intent.account.as_str())
        .arg(ms(retention::of_names(store)))
        .arg("created_at")
        .arg(intent.created_at.unix_ms());
    for (field, value) in set {
        if let Some(value) = value {
            call = call.arg(field).arg(value);
        }
    }
    match replies::read(store.redis.run_durably(partition, &call).await?)? {
        true => Ok(()),
        false => Err(StoreError::WrongAccount),
    }
}

pub(super) async fn find(
    store: &RedisStore,
    reference: &PaymentReference,
) -> Result<Option<Intent>, StoreError> {
    let (partition, key) = place(reference);
    let Some(row) = fields::of(store, partition, key, &FIELDS).await? else {
        return Ok(None);
    };
    let Ok(
        [
            Some(account),
            return_url,
            cancel_url,
            notify_url,
            Some(created_at),
            payment_id,
        ],
    ) = <[Option<String>; 6]>::try_from(row)
    else {
        return Err(replies::damaged("intent"));
    };
    Ok(Some(Intent {
        reference: reference.clone(),
        account: AccountName::parse(&account).map_err(|_| replies::damaged("account"))?,
        urls: MerchantUrls {
            return_url,
            cancel_url,
            notify_url,
        },
        created_at: replies::moment(&created_at)?,
        payment_id: payment_id
            .map(|id| PaymentId::parse(&id).map_err(|_| replies::damaged("payment id")))
            .transpose()?,
    }))
}

/// Before the payment is kept, so that there is none to which its reference does not lead: one that is bound and was not
/// kept is adopted from Khipu at the next visit. The first payment that came of the intent stays. `WrongAccount` if the
/// reference is another account's; one that was never intended is bound to nothing.
pub(super) async fn bind(
    store: &RedisStore,
    reference: &PaymentReference,
    account: &AccountName,
    id: &PaymentId,
) -> Result<(), StoreError> {
    let (partition, key) = place(reference);
    let call = BIND.call().key(key).arg(account.as_str()).arg(id.as_str());
    match replies::read(store.redis.run_durably(partition, &call).await?)? {
        true => Ok(()),
        false => Err(StoreError::WrongAccount),
    }
}

pub(super) fn place(reference: &PaymentReference) -> (Partition, String) {
    let partition = Partition::of(reference.as_str());
    (partition, partition.key("intent", reference.as_str()))
}
