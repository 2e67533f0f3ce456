//! Names that are stored in Redis: those of all keys, and of the fields and words that scripts share with each other.
//!
//! Some are not the code's own (`agenda` is a job queue, `turn` a poll lock, `questions` a call bucket, `standing` and
//! `until` a job's state and lease end): they are those of version 0.1, and to rename what is stored every key would have
//! to be migrated.

use std::fmt::Write;

use chasqui_payment::{AccountName, JobKind, JobPriority, PaymentId, PaymentReference};
use chasqui_redis_topology::Partition;
use chasqui_store::IdempotencyKey;
use sha2::{Digest, Sha256};

/// A job's fields as the scripts call them, and as they are stored after `<kind>_`.
pub(super) const JOB_FIELDS: [(&str, &str); 8] = [
    ("state", "standing"),
    ("due", "due"),
    ("attempts", "attempts"),
    ("token", "token"),
    ("lease_end", "until"),
    ("priority", "priority"),
    // What was scheduled during a lease.
    ("next_due", "again"),
    ("next_priority", "again_priority"),
];

/// A job's states.
pub(super) const OPEN: &str = "open";
pub(super) const DONE: &str = "done";
pub(super) const DEAD: &str = "dead";

/// The field of a payment with the state of its delivery.
pub(super) const DELIVERY_STATE: &str = "delivery_standing";

/// Other fields of a payment about its delivery: when it was scheduled, and its newest attempt.
pub(super) const DELIVERY_SCHEDULED: &str = "delivery_scheduled";
pub(super) const DELIVERY_LAST_AT: &str = "delivery_last_at";
pub(super) const DELIVERY_LAST_RESULT: &str = "delivery_last_result";

/// The field of a payment with its changes that are to be sent: a line for each, as they are published.
pub(super) const EVENTS: &str = "events";

/// The field of what is known of notifications with the number of the last one whose bytes were erased.
pub(super) const ERASED_UP_TO: &str = "erased_up_to";

/// The field of an idempotent request with its state, and the states.
pub(super) const REQUEST_STATE: &str = "standing";
pub(super) const IN_PROGRESS: &str = "under_way";
pub(super) const ANSWERED: &str = "answered";
pub(super) const OUTCOME_UNKNOWN: &str = "unknown";

/// The letters of a timeline's entries. Nothing follows the time of these three.
pub(super) const ENTRY_CREATED: &str = "c";
pub(super) const ENTRY_REDELIVERED: &str = "d";
pub(super) const ENTRY_ERASED: &str = "e";
/// Source, version, and whether it was accepted follow.
pub(super) const ENTRY_OBSERVED: &str = "o";
/// The notification's number follows; a reader gets its verdict and copies instead.
pub(super) const ENTRY_NOTIFIED: &str = "n";

/// An account's listings in a partition. Payments by their last change, and by when they expire.
pub(super) const CHANGES: &str = "changes";
pub(super) const EXPIRIES: &str = "expiries";
/// Deliveries by when they were scheduled.
pub(super) const OPEN_DELIVERIES: &str = "deliveries:open";
pub(super) const DEAD_DELIVERIES: &str = "deliveries:dead";
pub(super) const LISTINGS: [&str; 4] = [CHANGES, EXPIRIES, OPEN_DELIVERIES, DEAD_DELIVERIES];

/// A key, and the partition that it lies in.
pub(super) type Place = (Partition, String);

/// What every key of a partition begins with: `chasqui:{p07}`.
pub(crate) fn prefix(partition: Partition) -> String {
    format!("chasqui:{partition}")
}

/// `chasqui:{p07}:payment:zfxnocsow6mz`
pub(crate) fn key(partition: Partition, kind: &str, name: &str) -> String {
    format!("{}:{kind}:{name}", prefix(partition))
}

/// One of the keys that are named by a payment's id.
pub(super) fn of_payment(kind: &str, id: &PaymentId) -> String {
    key(Partition::of(id.as_str()), kind, id.as_str())
}

pub(super) fn payment(id: &PaymentId) -> String {
    of_payment("payment", id)
}

pub(super) fn notified(id: &PaymentId) -> String {
    of_payment("notified", id)
}

pub(super) fn raw(id: &PaymentId) -> String {
    of_payment("raw", id)
}

pub(super) fn timeline(id: &PaymentId) -> String {
    of_payment("timeline", id)
}

pub(super) fn poll_lock(id: &PaymentId) -> String {
    of_payment("turn", id)
}

/// Until checks had priorities they had one queue, and its name is still that of most of them.
pub(super) fn job_queue(partition: Partition, kind: JobKind, priority: JobPriority) -> String {
    let name = match (kind, priority) {
        (JobKind::Delivery, _) => "delivery",
        (JobKind::Events, _) => "events",
        (JobKind::Check, JobPriority::Notified) => "check:notified",
        (JobKind::Check, JobPriority::Silent) => "check",
        (JobKind::Check, JobPriority::CrossCheck) => "check:cross",
    };
    key(partition, "agenda", name)
}

pub(super) fn listing(partition: Partition, name: &str, account: &AccountName) -> String {
    key(partition, name, account.as_str())
}

pub(super) fn intent(reference: &PaymentReference) -> Place {
    place("intent", reference.as_str())
}

pub(super) fn transaction(account: &AccountName, transaction_id: &str) -> Place {
    place("transaction", &digest(&[account.as_str(), transaction_id]))
}

pub(super) fn idempotent_request(key: &IdempotencyKey) -> Place {
    let IdempotencyKey {
        account,
        route,
        key,
    } = key;
    place("idempotency", &digest(&[account.as_str(), route, key]))
}

pub(super) fn call_bucket(account: &AccountName) -> Place {
    place("questions", account.as_str())
}

pub(super) fn schema_version() -> Place {
    (
        Partition::of("schema"),
        key(Partition::of("schema"), "schema", "version"),
    )
}

fn place(kind: &str, name: &str) -> Place {
    let partition = Partition::of(name);
    (partition, key(partition, kind, name))
}

/// SHA-256 over all of them in hexadecimal; each is preceded by its length, so that no two can run into each other.
fn digest(parts: &[&str]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hexadecimal(&hash.finalize())
}

pub(super) fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_do_not_run_into_each_other() {
        let names = [
            digest(&["ab", "c"]),
            digest(&["a", "bc"]),
            digest(&["abc", ""]),
            digest(&["abc"]),
        ];
        for (n, name) in names.iter().enumerate() {
            assert_eq!(name.len(), 64);
            assert!(!names[..n].contains(name), "{n}");
        }
    }
}
