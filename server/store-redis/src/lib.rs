//! The store that several instances share: a Redis, alone, with Sentinels, or a Cluster.
//!
//! Every operation on one payment is one Lua script (`scripts`), so that it happens as a whole and in one round trip.
//! Everything about a payment is in its [partition](chasqui_redis_topology::Partition): `payment` (a hash, its jobs' fields
//! among them), `notified` with what is known of its notifications, `raw` with their bytes and signatures, `timeline`, and
//! the partition's queues of jobs. What is known before Khipu has named the payment has partitions of its own: `intents`,
//! `idempotency` and the index of `transactions`. They are written before the payment and bound after it; a crash in
//! between leaves at most an entry that leads nowhere, which readers pass over.
//!
//! `keys` holds all names, `retention` how long data is kept. A change is published in the script that makes it
//! (`change`). Leases and poll locks are measured by the node that keeps them, never by an instance. A payment is
//! found by its id, its reference or its merchant's transaction id, and in the listings of its account. Each partition
//! lists its own: payments by their last change, and deliveries that are open or dead.

mod call_pacer;
mod change;
mod deliveries;
mod fields;
mod idempotency;
mod intents;
mod job_queue;
mod keys;
mod payer_data;
mod payment_calls;
mod payment_index;
mod payments;
mod poll_lock;
pub mod preflight;
mod redis_store;
mod relay;
mod replies;
mod retention;
mod scripts;
mod status_events;
#[cfg(test)]
mod tests;
mod timeline;
mod transactions;

pub use redis_store::RedisStore;
pub use relay::RedisRelay;
pub use retention::Retention;
