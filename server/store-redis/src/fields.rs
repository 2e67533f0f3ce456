//! Fields of hashes, of one or of many payments.

use super::redis_store::RedisStore;
use super::replies::{read, unavailable};
use super::{keys, scripts};
use chasqui_payment::PaymentId;
use chasqui_redis_topology::{PARTITIONS, Partition, ScriptCall};
use chasqui_store::StoreError;

/// The most payments that one call reads, so that other calls do not wait long.
const PER_CALL: usize = 256;

/// The values of the fields asked for, in their order.
pub(super) type Row = Vec<Option<String>>;

/// Of one hash; `None`: it does not exist. The first field must be one that is always set.
pub(super) async fn of(
    store: &RedisStore,
    partition: Partition,
    key: String,
    fields: &[&str],
) -> Result<Option<Row>, StoreError> {
    let call = asking_for(fields).key(key);
    let rows: Vec<Option<Row>> = store.run(partition, &call).await?;
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
                call.key(keys::payment(&ids[*position]))
            });
            calls.push((partition, call));
            asked.push(positions);
        }
    }
    let mut found = vec![None; ids.len()];
    for (positions, reply) in asked.iter().zip(store.redis.run_all(&calls).await) {
        let rows: Vec<Option<Row>> = read(reply.map_err(unavailable)?)?;
        for (position, row) in positions.iter().zip(rows) {
            found[*position] = row;
        }
    }
    Ok(found)
}

fn asking_for(fields: &[&str]) -> ScriptCall {
    fields
        .iter()
        .fold(scripts::FIELDS.call(), |call, field| call.arg(*field))
}
