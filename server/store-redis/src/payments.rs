//! Payments: created, observed, read.

use std::sync::Arc;

use async_trait::async_trait;
use chasqui_payment::{
    AccountName, Amount, Currency, Intent, JobKind, MerchantUrls, Observation, Payment, PaymentId,
    PaymentReference, PaymentState, PaymentTerms, StatusReason, Verdict, Version,
};
use chasqui_redis_topology::{Partition, Script, ScriptCall};
use chasqui_store::{Outcome, PaymentReader, PaymentStore, StoreError, StoredNotification};
use redis::Value;
use sha2::{Digest, Sha256};

use super::payment_calls::{with_fields, with_queues, writing};
use super::redis_store::{RedisStore, ms};
use super::{change, fields, intents, keys, replies, scripts, transactions};

pub(super) const STATE_FIELDS: &str = "status status_at late reason";

const PAYMENT_FIELDS: &str = "status status_at late reason account amount currency transaction_id return_url cancel_url \
    notify_url reference payment_url expires_at created_at";

#[async_trait]
impl PaymentReader for RedisStore {
    async fn payment(&self, id: &PaymentId) -> Result<Option<Payment>, StoreError> {
        let partition = Partition::of(id.as_str());
        let row = fields::of(self, partition, keys::payment(id), PAYMENT_FIELDS).await?;
        row.map(|row| payment(id, row)).transpose()
    }

    async fn states(&self, ids: &[PaymentId]) -> Result<Vec<Option<PaymentState>>, StoreError> {
        let rows = fields::of_payments(self, ids, STATE_FIELDS).await?;
        rows.into_iter()
            .map(|row| row.map(|row| state(&row)).transpose())
            .collect()
    }

    /// The first that agrees, else the first that awaits Khipu's answer. `None` too when its bytes have been erased.
    async fn notification(&self, id: &PaymentId) -> Result<Option<StoredNotification>, StoreError> {
        let call = scripts::NOTIFICATION
            .call()
            .key(keys::notified(id))
            .key(keys::raw(id));
        let found: Option<(Vec<u8>, String, String)> =
            self.run(Partition::of(id.as_str()), &call).await?;
        let Some((body, signature, described)) = found else {
            return Ok(None);
        };
        let words: Vec<_> = described.split(' ').collect();
        let [verdict, _copies, received_at, ..] = words[..] else {
            return Err(replies::damaged("notification"));
        };
        Ok(Some(StoredNotification {
            body: body.into(),
            signature,
            verdict: Verdict::parse(verdict).ok_or_else(|| replies::damaged("verdict"))?,
            received_at: replies::timestamp(received_at)?,
        }))
    }
}

#[async_trait]
impl PaymentStore for RedisStore {
    async fn save_intent(&self, intent: &Intent) -> Result<(), StoreError> {
        intents::save(self, intent).await
    }

    /// In three partitions, so it cannot be one step. What leads to the payment comes before it: where this ends early,
    /// a repetition does the rest, and a reference to a payment that was not written has it adopted from Khipu.
    async fn create(&self, payment: &Payment) -> Result<Outcome, StoreError> {
        tokio::try_join!(
            intents::bind(self, payment),
            transactions::index(self, payment)
        )?;
        let (partition, call) = creating(self, payment);
        let reply = self.run(partition, &call).await?;
        outcome(self, &payment.id, &payment.account, reply)
    }

    async fn observe(
        &self,
        id: &PaymentId,
        observation: &Observation,
    ) -> Result<Outcome, StoreError> {
        let (partition, call) = observing(self, id, observation);
        let reply = self.run(partition, &call).await?;
        outcome(self, id, &observation.account, reply)
    }
}

fn creating(store: &RedisStore, payment: &Payment) -> (Partition, ScriptCall) {
    let (partition, call) = writing(store, &scripts::CREATE, &payment.id);
    let call = with_queues(call, partition, JobKind::Check);
    let state = &payment.state;
    let terms = payment.terms.as_ref();
    let transaction_id = terms.and_then(|terms| terms.transaction_id.as_deref());
    let call = call
        .arg(payment.account.as_str())
        .arg(payment.created_at.unix_ms())
        .arg(state.version.number())
        .arg(state.at.unix_ms())
        .arg(u8::from(state.late))
        .arg(state.reason.map_or("", StatusReason::as_str))
        .arg(terms.map_or(String::new(), |terms| terms.amount.to_string()))
        .arg(terms.map_or("", |terms| terms.currency.as_str()))
        .arg(transaction_id.unwrap_or_default())
        .arg(payment.first_check_at().unix_ms());
    let reference = payment.reference.as_ref().map(PaymentReference::as_str);
    let expires_at = payment.expires_at.map(|at| at.unix_ms().to_string());
    let fields = [
        ("return_url", payment.urls.return_url.as_deref()),
        ("cancel_url", payment.urls.cancel_url.as_deref()),
        ("notify_url", payment.urls.notify_url.as_deref()),
        ("reference", reference),
        ("payment_url", payment.payment_url.as_deref()),
        ("expires_at", expires_at.as_deref()),
    ];
    (partition, with_fields(call, &fields))
}

fn observing(
    store: &RedisStore,
    id: &PaymentId,
    observation: &Observation,
) -> (Partition, ScriptCall) {
    let (partition, call) = writing(store, &scripts::OBSERVE, id);
    let call = with_queues(call, partition, JobKind::Delivery);
    let call = with_queues(call, partition, JobKind::Events);
    let call = with_queues(call, partition, JobKind::Check)
        .arg(observation.account.as_str())
        .arg(observation.source.as_str())
        .arg(observation.at.unix_ms());
    let call = match &observation.update {
        Some(update) => call
            .arg(update.version.number())
            .arg(
                update
                    .replaces
                    .map_or(String::new(), |held| held.to_string()),
            )
            .arg(u8::from(update.late))
            .arg(update.reason.map_or("", StatusReason::as_str)),
        None => call.arg(&[""; 4]),
    };
    let call = match &observation.notification {
        Some(notification) => call
            .arg(keys::hexadecimal(&Sha256::digest(&notification.body)))
            .arg(notification.body.as_ref())
            .arg(&notification.signature)
            .arg(notification.verdict.as_str()),
        None => call.arg(&[""; 4]),
    };
    let jobs = observation.jobs.iter();
    let call = jobs.fold(call, |call, job| {
        call.arg((job.kind.as_str(), job.due_at.unix_ms(), job.priority.rank()))
    });
    (partition, call)
}

/// The reply of a script that may have changed the status: the state before and after, and for one that has become final
/// what else leads to the payment.
fn outcome(
    store: &RedisStore,
    id: &PaymentId,
    account: &AccountName,
    reply: Value,
) -> Result<Outcome, StoreError> {
    type ObserveReply = (Option<Vec<u8>>, Vec<u8>, Option<String>, Option<String>);
    let (before, after, reference, transaction_id): ObserveReply = replies::unless_foreign(reply)?;
    let state = |text: &[u8]| change::parse(text).ok_or_else(|| replies::damaged("state"));
    let outcome = Outcome {
        before: before.as_deref().map(state).transpose()?,
        after: state(&after)?,
    };
    let reference = reference.as_deref().map(replies::reference).transpose()?;
    expire_references(store, id, account, reference, transaction_id);
    Ok(outcome)
}

fn payment(id: &PaymentId, row: fields::Row) -> Result<Payment, StoreError> {
    let state = state(&row)?;
    let Ok(
        [
            _,
            _,
            _,
            _,
            Some(account),
            amount,
            currency,
            transaction_id,
            return_url,
            cancel_url,
            notify_url,
            reference,
            payment_url,
            expires_at,
            Some(created_at),
        ],
    ) = <[Option<String>; 15]>::try_from(row)
    else {
        return Err(replies::damaged("payment"));
    };
    let terms = match (amount, currency) {
        (Some(amount), Some(currency)) => Some(PaymentTerms {
            amount: Amount::parse(&amount).map_err(|_| replies::damaged("amount"))?,
            currency: Currency::parse(&currency).map_err(|_| replies::damaged("currency"))?,
            transaction_id,
        }),
        (None, None) => None,
        _ => return Err(replies::damaged("payment's terms")),
    };
    Ok(Payment {
        id: id.clone(),
        account: AccountName::parse(&account).map_err(|_| replies::damaged("account"))?,
        terms,
        urls: MerchantUrls {
            return_url,
            cancel_url,
            notify_url,
        },
        reference: reference.as_deref().map(replies::reference).transpose()?,
        payment_url,
        expires_at: expires_at.as_deref().map(replies::timestamp).transpose()?,
        created_at: replies::timestamp(&created_at)?,
        state,
    })
}

/// Reads the fields of [`STATE_FIELDS`], which are the first of a payment's.
pub(super) fn state(row: &[Option<String>]) -> Result<PaymentState, StoreError> {
    let [Some(status), Some(at), late, reason, ..] = row else {
        return Err(replies::damaged("state"));
    };
    let version = Version::from_stored(replies::number(status)?);
    let reason = reason.as_deref().map(StatusReason::parse);
    Ok(PaymentState {
        version: version.ok_or_else(|| replies::damaged("status"))?,
        at: replies::timestamp(at)?,
        late: late.is_some(),
        reason: reason
            .map(|known| known.ok_or_else(|| replies::damaged("reason")))
            .transpose()?,
    })
}

/// What leads to a payment that has become final is kept no longer than the payment. In the background: where it fails, or
/// too many expire at once, a reference is only kept longer.
fn expire_references(
    store: &RedisStore,
    id: &PaymentId,
    account: &AccountName,
    reference: Option<PaymentReference>,
    transaction_id: Option<String>,
) {
    let expiring = |script: &'static Script, (partition, key)| {
        let call = script.call().key(key).arg(id.as_str());
        (partition, call.arg(ms(store.retention.payments)))
    };
    let intent = reference.map(|it| expiring(&scripts::EXPIRE_INTENT, keys::intent(&it)));
    let index = transaction_id.map(|it| keys::transaction(account, &it));
    let index = index.map(|place| expiring(&scripts::EXPIRE_TRANSACTION, place));
    let calls: Vec<_> = intent.into_iter().chain(index).collect();
    if calls.is_empty() {
        return;
    }
    let Ok(permit) = Arc::clone(&store.expiring).try_acquire_owned() else {
        return;
    };
    let (redis, id) = (Arc::clone(&store.redis), id.clone());
    // Two tasks, so that a panic of the first is reported; the use cases' way to do so is out of reach here.
    let expiring = tokio::spawn(async move { redis.run_all(&calls).await });
    tokio::spawn(async move {
        match expiring.await {
            Ok(replies) => {
                for error in replies.into_iter().filter_map(Result::err) {
                    tracing::debug!(payment_id = %id, %error, "a reference to a final payment does not expire with it");
                }
            }
            Err(error) => {
                tracing::error!(payment_id = %id, %error, "the expiry of references panicked; they are kept longer than their payment")
            }
        }
        drop(permit);
    });
}
