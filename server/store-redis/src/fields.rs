//! Fields of hashes, of one or of many payments.

use chasqui_payment::PaymentId;
use chasqui_redis_topology::{Partition, ScriptCall};
use chasqui_store::StoreError;

use super::redis_store::RedisStore;
use super::replies::{read, unavailable};
use super::{keys, scripts};

/// The most payments that one call reads, so that other calls do not wait long.
const PER_CALL: usize = 256;

/// The values of the named fields, in the order of their names.
pub(super) type Row = Vec<Option<String>>;

/// Reads fields of one hash; `None` if it does not exist. Spaces separate the names; the first one must always be set.
pub(super) async fn of(
    store: &RedisStore,
    partition: Partition,
    key: String,
    fields: &str,
) -> Result<Option<Row>, StoreError> {
    let call = reading(fields).key(key);
    let [row]: [Option<Row>; 1] = store.run(partition, &call).await?;
    Ok(row)
}

/// Reads the same fields of many payments, in the order of their ids.
pub(super) async fn of_payments(
    store: &RedisStore,
    ids: &[PaymentId],
    fields: &str,
) -> Result<Vec<Option<Row>>, StoreError> {
    let mut of_partition: Vec<Vec<usize>> = Partition::all().map(|_| Vec::new()).collect();
    for (position, id) in ids.iter().enumerate() {
        of_partition[Partition::of(id.as_str()).index()].push(position);
    }
    let (mut calls, mut positions_read) = (Vec::new(), Vec::new());
    for (partition, positions) in Partition::all().zip(&of_partition) {
        for positions in positions.chunks(PER_CALL) {
            let call = positions.iter().fold(reading(fields), |call, position| {
                call.key(keys::payment(&ids[*position]))
            });
            calls.push((partition, call));
            positions_read.push(positions);
        }
    }
    let mut found = vec![None; ids.len()];
    let replies = store.redis.run_all(&calls).await;
    for (positions, reply) in positions_read.iter().zip(replies) {
        let rows: Vec<Option<Row>> = read(reply.map_err(unavailable)?)?;
        for (position, row) in positions.iter().zip(rows) {
            found[*position] = row;
        }
    }
    Ok(found)
}

fn reading(fields: &str) -> ScriptCall {
    let words = fields.split(' ');
    words.fold(scripts::FIELDS.call(), ScriptCall::arg)
}
