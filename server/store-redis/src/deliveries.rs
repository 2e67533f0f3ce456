//! Deliveries, as their operators see them.
//!
//! A partition lists an account's open and its dead deliveries by when they were scheduled, and a reading merges the
//! partitions. A delivery from before there were listings enters them with its next attempt; one that was dead by then enters
//! them when it is reopened.

use async_trait::async_trait;
use chasqui_payment::{AccountName, DeliveryState, JobKind, PaymentId, Timestamp, Undelivered};
use chasqui_redis_topology::Partition;
use chasqui_store::{Deliveries, Delivery, LastAttempt, ListedDelivery, Redelivery, StoreError};

use super::payment_calls::{with_queues, writing};
use super::redis_store::RedisStore;
use super::replies::{self, read, unavailable};
use super::{fields, keys, scripts};

#[async_trait]
impl Deliveries for RedisStore {
    async fn delivery(&self, id: &PaymentId) -> Result<Option<Delivery>, StoreError> {
        let partition = Partition::of(id.as_str());
        let names = delivery_fields();
        let row = fields::of(self, partition, keys::payment(id), &names).await?;
        row.and_then(|row| delivery(&row).transpose()).transpose()
    }

    async fn undelivered(
        &self,
        account: &AccountName,
        state: Undelivered,
        after: Option<&PaymentId>,
        limit: usize,
    ) -> Result<Option<Vec<ListedDelivery>>, StoreError> {
        let mut place = match after {
            Some(id) => match place_of(self, account, id).await? {
                Some(scheduled_at) => Some((scheduled_at, id.clone())),
                None => return Ok(None),
            },
            None => None,
        };
        let mut listed = Vec::new();
        while listed.len() < limit {
            let missing = limit - listed.len();
            let entries = entries(self, account, state, place.as_ref(), missing).await?;
            let is_last = entries.len() < missing;
            listed.extend(read_listed(self, account, state, &entries).await?);
            place = entries.into_iter().last();
            if is_last {
                break;
            }
        }
        Ok(Some(listed))
    }

    async fn redeliver(
        &self,
        account: &AccountName,
        id: &PaymentId,
        at: Timestamp,
    ) -> Result<Redelivery, StoreError> {
        let (partition, call) = writing(self, &scripts::REDELIVER, id);
        let call = with_queues(call, partition, JobKind::Delivery)
            .arg(account.as_str())
            .arg(at.unix_ms());
        let reply = self.run(partition, &call).await?;
        let word: String = replies::unless_foreign(reply)?;
        match word.as_str() {
            replies::REOPENED => Ok(Redelivery::Reopened),
            replies::ALREADY_OPEN => Ok(Redelivery::AlreadyOpen),
            replies::NOT_CONFIRMED => Ok(Redelivery::NotConfirmed),
            replies::UNKNOWN => Ok(Redelivery::UnknownPayment),
            _ => Err(replies::damaged("redelivery")),
        }
    }
}

/// When a delivery was scheduled, and its payment.
type Place = (Timestamp, PaymentId);

async fn place_of(
    store: &RedisStore,
    account: &AccountName,
    id: &PaymentId,
) -> Result<Option<Timestamp>, StoreError> {
    let partition = Partition::of(id.as_str());
    let names = format!("account {}", keys::DELIVERY_SCHEDULED);
    let row = fields::of(store, partition, keys::payment(id), &names).await?;
    match row.as_deref() {
        Some([Some(owner), Some(at)]) if owner == account.as_str() => {
            replies::timestamp(at).map(Some)
        }
        _ => Ok(None),
    }
}

async fn entries(
    store: &RedisStore,
    account: &AccountName,
    state: Undelivered,
    after: Option<&Place>,
    limit: usize,
) -> Result<Vec<Place>, StoreError> {
    let name = match state {
        Undelivered::Open => keys::OPEN_DELIVERIES,
        Undelivered::Dead => keys::DEAD_DELIVERIES,
    };
    let from = after.map_or(0, |(scheduled_at, _)| scheduled_at.unix_ms());
    let calls: Vec<_> = Partition::all()
        .map(|partition| {
            let call = scripts::LISTED
                .call()
                .key(keys::listing(partition, name, account))
                .arg(from)
                // One more, for the one after which this begins.
                .arg(limit + 1);
            (partition, call)
        })
        .collect();
    let mut entries = Vec::new();
    for reply in store.redis.run_all(&calls).await {
        let found: Vec<(String, String)> = read(reply.map_err(unavailable)?)?;
        for (id, score) in found {
            entries.push((replies::timestamp(&score)?, replies::payment_id(&id)?));
        }
    }
    entries.retain(|entry| after.is_none_or(|after| entry > after));
    entries.sort_unstable();
    entries.truncate(limit);
    Ok(entries)
}

/// Leaves out what has left the state meanwhile, and payments that have expired.
async fn read_listed(
    store: &RedisStore,
    account: &AccountName,
    state: Undelivered,
    entries: &[Place],
) -> Result<Vec<ListedDelivery>, StoreError> {
    let ids: Vec<_> = entries.iter().map(|(_, id)| id.clone()).collect();
    let rows = fields::of_payments(store, &ids, &delivery_fields()).await?;
    let mut listed = Vec::new();
    for (id, row) in ids.into_iter().zip(rows) {
        let Some(row) = row.filter(|row| row.first() == Some(&Some(account.to_string()))) else {
            continue;
        };
        if let Some(delivery) = delivery(&row)?
            && delivery.state.as_str() == state.as_str()
        {
            listed.push(ListedDelivery {
                payment_id: id,
                delivery,
            });
        }
    }
    Ok(listed)
}

fn delivery_fields() -> String {
    format!(
        "account {} delivery_attempts delivery_due {} {}",
        keys::DELIVERY_STATE,
        keys::DELIVERY_LAST_AT,
        keys::DELIVERY_LAST_RESULT
    )
}

/// Reads the fields of [`delivery_fields`]. `None`: the payment has no delivery.
fn delivery(row: &[Option<String>]) -> Result<Option<Delivery>, StoreError> {
    let [_, state, attempts, due, last_at, last_result] = row else {
        return Err(replies::damaged("delivery"));
    };
    let (Some(state), Some(attempts)) = (state, attempts) else {
        return Ok(None);
    };
    let last = match (last_at, last_result) {
        (Some(at), Some(result)) => Some(LastAttempt {
            at: replies::timestamp(at)?,
            result: result.clone(),
        }),
        _ => None,
    };
    Ok(Some(Delivery {
        state: DeliveryState::parse(state).ok_or_else(|| replies::damaged("delivery's state"))?,
        attempts: replies::number(attempts)?,
        next_at: due.as_deref().map(replies::timestamp).transpose()?,
        last,
    }))
}
