//! What the calls of several scripts have in common: the keys and arguments of one payment, and the queues of jobs.

use chasqui_payment::{JobKind, JobPriority, PaymentId};
use chasqui_redis_topology::{Partition, Script, ScriptCall};

use super::redis_store::{RedisStore, ms};
use super::{change, keys};

/// A call of a script that includes `payment.lua`, with the keys and arguments that it describes.
pub(super) fn writing(
    store: &RedisStore,
    script: &'static Script,
    id: &PaymentId,
) -> (Partition, ScriptCall) {
    let partition = Partition::of(id.as_str());
    let call = script
        .call()
        .key(keys::payment(id))
        .key(keys::notified(id))
        .key(keys::raw(id))
        .key(keys::timeline(id))
        .arg(ms(store.retention.payments))
        .arg(ms(store.retention.notification_bytes))
        .arg(store.redis.publish_command())
        .arg(change::channel(id))
        .arg(id.as_str())
        .arg(keys::prefix(partition))
        .arg(ms(store.retention.references()));
    (partition, call)
}

/// Adds the name and the value of each field that is set.
pub(super) fn with_fields(call: ScriptCall, fields: &[(&str, Option<&str>)]) -> ScriptCall {
    let set = fields
        .iter()
        .filter_map(|(name, value)| value.map(|value| (*name, value)));
    set.fold(call, |call, field| call.arg(field))
}

/// A kind has a queue for each of these, the highest first.
pub(super) fn priorities(kind: JobKind) -> &'static [JobPriority] {
    match kind {
        JobKind::Delivery | JobKind::Events => &[JobPriority::Silent],
        JobKind::Check => &JobPriority::ALL,
    }
}

/// Adds the keys of a kind's queues.
pub(super) fn with_queues(call: ScriptCall, partition: Partition, kind: JobKind) -> ScriptCall {
    let priorities = priorities(kind).iter();
    priorities.fold(call, |call, priority| {
        call.key(keys::job_queue(partition, kind, *priority))
    })
}
