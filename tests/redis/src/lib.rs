//! Real Redis processes for tests, each gone with the test that started it. Knows nothing of the gateway, so that its own
//! tests can use it too. In reading order:
//! - [`deadline`] how tests wait; [`port`] a port that is kept; [`running`] a child that is killed with its test
//! - [`options`] what a Redis is to be like, [`certificates`] for TLS
//! - [`server`] one Redis; [`cluster`] six of them; [`sentinel`] three and those who watch them; [`publishing`] measures one

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
