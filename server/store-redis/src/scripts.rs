//! The Lua scripts, one file for each operation. A file names its KEYS and ARGV at its top. Its lines `-- include NAME`
//! stand for the parts that operations share, and `-- include constants` for the values that Rust and Lua agree on.

use std::sync::LazyLock;
use std::time::Duration;

use chasqui_payment::{
    CHECKED_AFTER_EXPIRY, JobKind, JobPriority, StatusKind, USUAL_TERM, Verdict, Version,
};
use chasqui_redis_topology::Script;
use chasqui_store::TIMELINE_LIMIT;

use super::{keys, replies};

/// The most entries of expired payments that a write removes from its account's listings. More than one, so that a backlog
/// shrinks.
const EXPIRED_PER_WRITE: usize = 8;

macro_rules! scripts {
    ($($name:ident = $file:literal $($durable:ident)?;)*) => {
        $(pub(super) static $name: LazyLock<Script> = LazyLock::new(|| {
            script(include_str!(concat!("../scripts/", $file, ".lua")))$(.$durable())?
        });)*
    };
}

// Durable: what must not be lost or run twice when a master fails.
scripts! {
    BEGIN = "begin" durable;
    BIND_INTENT = "bind_intent" durable;
    BY_TRANSACTION = "by_transaction";
    CHANGES = "changes";
    COMPLETE = "complete" durable;
    CREATE = "create" durable;
    DUE = "due";
    ERASE = "erase" durable;
    EXPIRE_INTENT = "expire_intent";
    EXPIRE_TRANSACTION = "expire_transaction";
    FIELDS = "fields";
    FINISH_JOB = "finish_job";
    HEALTH = "health" durable;
    INDEX_TRANSACTION = "index_transaction" durable;
    LEASE = "lease" durable;
    LISTED = "listed";
    NEXT_DUE = "next_due";
    NOTIFICATION = "notification";
    OBSERVE = "observe" durable;
    PAUSE_CALLS = "pause_calls";
    PLACE = "place";
    PUBLISH = "publish";
    RECORD_VISIT = "record_visit";
    REDELIVER = "redeliver" durable;
    RESERVE_CALL = "reserve_call";
    SAVE_INTENT = "save_intent" durable;
    SCHEMA = "schema";
    TIMELINE = "timeline";
    TRY_LOCK_POLL = "try_lock_poll";
}

/// What stands in an operation's file, with all that it includes.
fn script(text: &str) -> Script {
    let lines = text
        .lines()
        .map(|line| match line.strip_prefix("-- include ") {
            Some(name) => included(name),
            None => line.to_owned(),
        });
    Script::new(lines.collect::<Vec<_>>().join("\n"))
}

fn included(name: &str) -> String {
    let text = match name {
        "constants" => return constants(),
        "clock" => include_str!("../scripts/include/clock.lua"),
        "job" => include_str!("../scripts/include/job.lua"),
        "keep_notification" => include_str!("../scripts/include/keep_notification.lua"),
        "listing" => include_str!("../scripts/include/listing.lua"),
        "payment" => include_str!("../scripts/include/payment.lua"),
        "schedule" => include_str!("../scripts/include/schedule.lua"),
        "status" => include_str!("../scripts/include/status.lua"),
        unknown => unreachable!("no script includes {unknown}"),
    };
    text.to_owned()
}

/// Declares each constant as a local.
fn constants() -> String {
    let ms = |duration: Duration| duration.as_millis().to_string();
    let quoted = |text: &str| format!("'{text}'");
    let table = |entries: Vec<String>| format!("{{ {} }}", entries.join(", "));
    let old_versions = (1..=7)
        .filter_map(Version::from_stored)
        .map(|version| version.to_string());
    // The distance between the numbers of a status in two rounds.
    let round = Version::FIRST.number() - StatusKind::Created as u16;
    let job_fields = keys::JOB_FIELDS.map(|(name, stored)| format!("{name} = '{stored}'"));
    let deliveries = [
        (keys::OPEN, keys::OPEN_DELIVERIES),
        (keys::DEAD, keys::DEAD_DELIVERIES),
    ]
    .map(|(state, name)| format!("{state} = '{name}'"));
    [
        ("CREATED", Version::FIRST.to_string()),
        ("CONFIRMED", Version::CONFIRMED.to_string()),
        ("RETURNED", (StatusKind::Returned as u16).to_string()),
        ("VERIFYING", (StatusKind::Verifying as u16).to_string()),
        ("ROUND", round.to_string()),
        // The numbers of version 0.1 as they are read today.
        ("OF_0_1", table(old_versions.collect())),
        ("SILENT", JobPriority::Silent.rank().to_string()),
        ("CROSS_CHECK", JobPriority::CrossCheck.rank().to_string()),
        ("USUAL_TERM", ms(USUAL_TERM)),
        ("CHECKED_AFTER_EXPIRY", ms(CHECKED_AFTER_EXPIRY)),
        ("TIMELINE_LIMIT", TIMELINE_LIMIT.to_string()),
        ("AGREES", quoted(Verdict::Agrees.as_str())),
        ("STALE", quoted(Verdict::Stale.as_str())),
        ("UNKNOWN_PAYMENT", quoted(Verdict::UnknownPayment.as_str())),
        ("JOB", table(job_fields.to_vec())),
        ("CHECK", quoted(JobKind::Check.as_str())),
        ("DELIVERY", quoted(JobKind::Delivery.as_str())),
        ("EVENT_JOB", quoted(JobKind::Events.as_str())),
        ("EVENTS_FIELD", quoted(keys::EVENTS)),
        ("OPEN", quoted(keys::OPEN)),
        ("DONE", quoted(keys::DONE)),
        ("DEAD", quoted(keys::DEAD)),
        ("DELIVERY_LISTINGS", table(deliveries.to_vec())),
        ("DELIVERY_SCHEDULED", quoted(keys::DELIVERY_SCHEDULED)),
        ("DELIVERY_LAST_AT", quoted(keys::DELIVERY_LAST_AT)),
        ("DELIVERY_LAST_RESULT", quoted(keys::DELIVERY_LAST_RESULT)),
        ("DELIVERY_STATE", quoted(keys::DELIVERY_STATE)),
        ("REQUEST_STATE", quoted(keys::REQUEST_STATE)),
        ("IN_PROGRESS", quoted(keys::IN_PROGRESS)),
        ("ANSWERED", quoted(keys::ANSWERED)),
        ("OUTCOME_UNKNOWN", quoted(keys::OUTCOME_UNKNOWN)),
        ("CHANGES", quoted(keys::CHANGES)),
        ("EXPIRIES", quoted(keys::EXPIRIES)),
        ("LISTINGS", table(keys::LISTINGS.map(quoted).to_vec())),
        ("EXPIRED_PER_WRITE", EXPIRED_PER_WRITE.to_string()),
        ("FOREIGN", quoted(replies::FOREIGN)),
        ("STARTED", quoted(replies::STARTED)),
        ("KEY_REUSED", quoted(replies::KEY_REUSED)),
        ("ERASED", quoted(replies::ERASED)),
        ("ERASED_UP_TO", quoted(keys::ERASED_UP_TO)),
        ("ENTRY_ERASED", quoted(keys::ENTRY_ERASED)),
        ("REOPENED", quoted(replies::REOPENED)),
        ("ALREADY_OPEN", quoted(replies::ALREADY_OPEN)),
        ("NOT_CONFIRMED", quoted(replies::NOT_CONFIRMED)),
        ("UNKNOWN", quoted(replies::UNKNOWN)),
        ("ENTRY_REDELIVERED", quoted(keys::ENTRY_REDELIVERED)),
        ("ENTRY_CREATED", quoted(keys::ENTRY_CREATED)),
        ("ENTRY_OBSERVED", quoted(keys::ENTRY_OBSERVED)),
        ("ENTRY_NOTIFIED", quoted(keys::ENTRY_NOTIFIED)),
    ]
    .map(|(name, value)| format!("local {name} = {value}"))
    .join("\n")
}
