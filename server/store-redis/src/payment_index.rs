//! What leads to payments: their references, their transactions, their changes.
//!
//! A partition lists its own payments by their last change, and a reading merges the partitions. To read one also marks
//! how far the reading is complete: each later change of the partition gets a higher score than the mark, also after its clock was set back.
//! So what is listed up to the earliest mark is all there ever is up to there. A payment that has not changed since version
//! 0.1 has no entry yet, and gets one with its next change.

use std::time::Duration;

use async_trait::async_trait;
use chasqui_payment::{AccountName, Intent, PaymentId, PaymentReference, Status, Timestamp};
use chasqui_redis_topology::Partition;
use chasqui_store::{ChangeCursor, ChangedPayment, PaymentIndex, StoreError};

use super::redis_store::{RedisStore, ms};
use super::replies::{self, read, unavailable};
use super::{fields, intents, keys, payments, scripts, transactions};

#[async_trait]
impl PaymentIndex for RedisStore {
    async fn intent(&self, reference: &PaymentReference) -> Result<Option<Intent>, StoreError> {
        intents::find(self, reference).await
    }

    async fn by_transaction(
        &self,
        account: &AccountName,
        transaction_id: &str,
    ) -> Result<Vec<PaymentId>, StoreError> {
        transactions::find(self, account, transaction_id).await
    }

    async fn changed_since(
        &self,
        account: &AccountName,
        since: &ChangeCursor,
        status: Option<Status>,
        limit: usize,
    ) -> Result<Vec<ChangedPayment>, StoreError> {
        changed_since(self, account, since, status, limit).await
    }

    async fn changed_at(
        &self,
        account: &AccountName,
        id: &PaymentId,
    ) -> Result<Option<Timestamp>, StoreError> {
        let partition = Partition::of(id.as_str());
        let call = scripts::PLACE
            .call()
            .key(keys::listing(partition, keys::CHANGES, account))
            .arg(id.as_str());
        let score: Option<String> = self.run(partition, &call).await?;
        score.as_deref().map(replies::timestamp).transpose()
    }
}

/// The most changes that are read of one partition at once. Of a hundred, a partition has two or so.
const PER_PARTITION: usize = 16;

/// A rare status is looked for in many payments, and each round trip reads at least so many.
const LEAST_READ: usize = 256;

const CHANGED_FIELDS: &str = "status status_at late reason account transaction_id";

async fn changed_since(
    store: &RedisStore,
    account: &AccountName,
    since: &ChangeCursor,
    status: Option<Status>,
    limit: usize,
) -> Result<Vec<ChangedPayment>, StoreError> {
    let mut found = Vec::new();
    let mut next = Some(since.updated_at);
    while let Some(from) = next
        && found.len() < limit
    {
        let section = changes_from(store, account, from).await?;
        next = section.next;
        let after = |change: &&Change| match &since.id {
            Some(id) => (change.0, &change.1) > (since.updated_at, id),
            None => true,
        };
        let changes: Vec<_> = section.changes.iter().filter(after).collect();
        for changes in changes.chunks(limit.max(LEAST_READ)) {
            let missing = limit - found.len();
            if missing == 0 {
                break;
            }
            let changed = read_changed(store, account, changes).await?;
            let matching = changed
                .into_iter()
                .filter(|changed| status.is_none_or(|status| changed.state.status() == status));
            found.extend(matching.take(missing));
        }
    }
    Ok(found)
}

/// When a payment changed, and its id.
type Change = (Timestamp, PaymentId);

/// All changes of a span of time, the oldest first.
struct Section {
    changes: Vec<Change>,
    /// Where the next one begins. `None`: this is the last.
    next: Option<Timestamp>,
}

/// Reads from every partition, none of which may fail: a change that is left out now would be missed. The section ends where
/// the reading of the first partition does: at its mark, or at the last change that was read of it.
async fn changes_from(
    store: &RedisStore,
    account: &AccountName,
    from: Timestamp,
) -> Result<Section, StoreError> {
    let calls: Vec<_> = Partition::all()
        .map(|partition| {
            let call = scripts::CHANGES
                .call()
                .key(keys::listing(partition, keys::CHANGES, account))
                .arg(from.unix_ms())
                .arg(PER_PARTITION)
                .arg(ms(store.retention.references()));
            (partition, call)
        })
        .collect();
    let mut changes: Vec<Change> = Vec::new();
    let (mut mark, mut last_read) = (None, None);
    for reply in store.redis.run_all(&calls).await {
        let (its_mark, entries): (String, Vec<(String, String)>) =
            read(reply.map_err(unavailable)?)?;
        mark = mark
            .into_iter()
            .chain([replies::timestamp(&its_mark)?])
            .min();
        let is_full = entries.len() == PER_PARTITION;
        for (id, score) in entries {
            changes.push((replies::timestamp(&score)?, replies::payment_id(&id)?));
        }
        if is_full {
            let last = changes.last().map(|(updated_at, _)| *updated_at);
            last_read = last_read.into_iter().chain(last).min();
        }
    }
    let end = mark.into_iter().chain(last_read).min();
    changes.retain(|(updated_at, _)| Some(*updated_at) <= end);
    changes.sort_unstable();
    let next = last_read
        .filter(|last_read| Some(*last_read) == end)
        .map(|last_read| last_read.plus(Duration::from_millis(1)));
    Ok(Section { changes, next })
}

/// Leaves out payments that have expired.
async fn read_changed(
    store: &RedisStore,
    account: &AccountName,
    changes: &[&Change],
) -> Result<Vec<ChangedPayment>, StoreError> {
    let ids: Vec<_> = changes.iter().map(|(_, id)| id.clone()).collect();
    let rows = fields::of_payments(store, &ids, CHANGED_FIELDS).await?;
    let mut changed = Vec::new();
    for ((updated_at, id), row) in changes.iter().zip(rows) {
        let Some([state @ .., Some(owner), transaction_id]) = row.as_deref() else {
            continue;
        };
        if owner == account.as_str() {
            changed.push(ChangedPayment {
                id: id.clone(),
                transaction_id: transaction_id.clone(),
                state: payments::state(state)?,
                updated_at: *updated_at,
            });
        }
    }
    Ok(changed)
}
