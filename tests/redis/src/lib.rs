//! Real Redis processes for tests, each killed with the test that started it. Depends on nothing of the gateway, so that the
//! gateway's own tests can use it. In reading order:
//! - [`deadline`] how tests wait; [`port`] a port that is kept; [`running`] a child that is killed with its test
//! - [`options`] the configuration of a Redis, [`certificates`] for TLS
//! - [`server`] one Redis; [`cluster`] six of them; [`sentinel`] three with their sentinels; [`publishing`] measures one

#![expect(
    clippy::expect_used,
    clippy::missing_panics_doc,
    reason = "a harness panics by design: that is how a test fails"
)]

pub mod certificates;
pub mod cluster;
pub mod deadline;
pub mod options;
pub mod port;
pub mod publishing;
pub mod running;
pub mod sentinel;
pub mod server;

pub use certificates::Certificates;
pub use cluster::RedisCluster;
pub use options::{AppendOnly, Options};
pub use publishing::Publishing;
pub use sentinel::SentinelTrio;
pub use server::RedisServer;
