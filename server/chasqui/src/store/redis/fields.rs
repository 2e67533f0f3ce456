//! Fields of hashes, of one or of many payments.

use std::sync::LazyLock;

use super::{RedisStore, replies};
use crate::payment::PaymentId;
use crate::redis::{Call, PARTITIONS, Partition, Script};
use crate::store::StoreError;

static FIELDS: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("fields.lua")));

/// The most payments that one call reads, so that it keeps nobody else waiting long.
const PER_CALL: usize = 256;

/// What stands in the fields asked for, in their order.
pub(super) type Row = Vec<Option<String>>;

/// Of one hash; `None`: it is not there. The first field must be one that is always set.
pub(super) async fn of(
    store: &RedisStore,
    partition: Partition,
    key: String,
    fields: &[&str],
) -> Result<Option<Row>, StoreError> {
    let call = asking_for(fields).key(key);
    let rows: Vec<Option<Row>> = replies::read(store.redis.run(partition, &call).await?)?;
    Ok(rows.into_iter().next().flatten())
}

/// Of many payments, in the order asked.
pub(super) async fn of_payments(
    store: &RedisStore,
    ids: &[PaymentId],
    fields: &[&str],
) -> Result<Vec<Option<Row>>, StoreError> {
    let mut of_partition: Vec<Vec<usize>> = vec![Vec::new(); usize::from(PARTITIONS)];
    for (position, id) in ids.iter().enumerate() {
        of_partition[Partition::of(id.as_str()).index()].push(position);
    }
    let (mut calls, mut asked) = (Vec::new(), Vec::new());
    for (partition, positions) in Partition::all().zip(&of_partition) {
        for positions in positions.chunks(PER_CALL) {
            let call = positions.iter().fold(asking_for(fields), |call, position| {
                call.key(partition.key("payment", ids[*position].as_str()))
            });
            calls.push((partition, call));
            asked.push(positions);
        }
    }
    let mut found = vec![None; ids.len()];
    for (positions, reply) in asked.iter().zip(store.redis.run_all(&calls).await) {
        let rows: Vec<Option<Row>> = replies::read(reply?)?;
        for (position, row) in positions.iter().zip(rows) {
            found[*position] = row;
        }
    }
    Ok(found)
}

fn asking_for(fields: &[&str]) -> Call {
    fields
        .iter()
        .fold(FIELDS.call(), |call, field| call.arg(*field))
}
