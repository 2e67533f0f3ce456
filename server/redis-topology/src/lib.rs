//! Redis as a place: which server holds what, and how a call gets there. It does not know the data.
//!
//! Standalone, Sentinel and Cluster look the same to callers: 64 partitions, each at some server (`routing_table`). A call
//! (`client`) goes to its partition's server (`node`), follows it when it moves, and ends with a reply or an error
//! within `CALL_TIMEOUT`. The library encodes commands and holds the connections; when to give one up is decided here,
//! because a connection that looks well and does not reply is the failure that costs most.

mod client;
mod connector;
mod error;
mod node;
mod partition;
mod pubsub_connection;
mod quorum;
mod routing_table;
mod script;
mod settings;
#[cfg(test)]
mod tests;

pub use client::RedisClient;
pub use connector::backoff;
pub use error::CallError;
pub use partition::Partition;
pub use pubsub_connection::PubSubConnection;
pub use script::{Script, ScriptCall};
pub use settings::{Credentials, NodeAddress, RedisSettings, Topology};
