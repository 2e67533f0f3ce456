//! Intents: what is needed to adopt a payment, saved before Khipu is called, in the partition of its reference.

use chasqui_payment::{AccountName, Intent, MerchantUrls, Payment, PaymentId, PaymentReference};
use chasqui_store::StoreError;

use super::payment_calls::with_fields;
use super::redis_store::{RedisStore, ms};
use super::{fields, keys, replies, scripts};

const INTENT_FIELDS: &str = "account return_url cancel_url notify_url created_at payment_id";

pub(super) async fn save(store: &RedisStore, intent: &Intent) -> Result<(), StoreError> {
    let (partition, key) = keys::intent(&intent.reference);
    let created_at = intent.created_at.unix_ms().to_string();
    let payment_id = intent.payment_id.as_ref().map(PaymentId::as_str);
    let fields = [
        ("created_at", Some(created_at.as_str())),
        ("return_url", intent.urls.return_url.as_deref()),
        ("cancel_url", intent.urls.cancel_url.as_deref()),
        ("notify_url", intent.urls.notify_url.as_deref()),
        ("payment_id", payment_id),
    ];
    let call = scripts::SAVE_INTENT
        .call()
        .key(key)
        .arg(intent.account.as_str())
        .arg(ms(store.retention.references()));
    let call = with_fields(call, &fields);
    replies::unless_refused(store.run(partition, &call).await?)
}

pub(super) async fn find(
    store: &RedisStore,
    reference: &PaymentReference,
) -> Result<Option<Intent>, StoreError> {
    let (partition, key) = keys::intent(reference);
    let Some(row) = fields::of(store, partition, key, INTENT_FIELDS).await? else {
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
        created_at: replies::timestamp(&created_at)?,
        payment_id: payment_id.map(|id| replies::payment_id(&id)).transpose()?,
    }))
}

/// Before the payment is written, so that its reference always leads to it: a payment that is bound and was not written is
/// adopted from Khipu at the next visit. The first binding stays. `WrongAccount` if the reference is another account's; a
/// reference without an intent is bound to nothing, and there is nothing to do for a payment without a reference.
pub(super) async fn bind(store: &RedisStore, payment: &Payment) -> Result<(), StoreError> {
    let Some(reference) = &payment.reference else {
        return Ok(());
    };
    let (partition, key) = keys::intent(reference);
    let call = scripts::BIND_INTENT
        .call()
        .key(key)
        .arg(payment.account.as_str())
        .arg(payment.id.as_str());
    replies::unless_refused(store.run(partition, &call).await?)
}
