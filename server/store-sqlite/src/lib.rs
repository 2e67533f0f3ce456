//! The embedded store: one SQLite file, one process, nothing else to run.
//!
//! One thread writes and groups waiting operations into one commit (`writer`); others read beside it (`reader`). `file`
//! opens the file and makes it durable, `migration` brings it to the current schema (`migrations/*.sql`). Each role of the
//! store is implemented beside its SQL. Poll locks and call buckets are in memory: no other process shares the file.

mod call_pacer;
mod columns;
mod deliveries;
mod error;
mod file;
mod idempotency;
mod intents;
mod job_queue;
mod limits;
mod local_relay;
mod migration;
mod notifications;
mod payer_data;
mod payment_index;
mod payments;
mod poll_lock;
mod queue;
mod reader;
mod recent_polls;
mod recovery;
mod sqlite_store;
mod statement_cache;
mod status_events;
#[cfg(test)]
mod tests;
mod thread_pool;
mod timeline;
mod writer;

pub use limits::SqliteLimits;
pub use local_relay::LocalRelay;
pub use sqlite_store::{DatabaseLocation, DatabaseState, SqliteStore};
