//! The harness of the scenario tests: the real gateway and the real sandbox over real sockets, and around them what the
//! world does to both.
//!
//! Nothing here is a double of our own code. Every listener takes a port that is free, every wait has a deadline and says
//! what it waited for, and nothing sleeps for luck. In reading order:
//! - [`deadline`] how tests wait
//! - [`latencies`] what they measure
//! - [`settings`] a gateway's configuration; [`gateway`] runs it here, [`process`] as a program that can be killed
//! - [`sandbox`] Khipu's simulator; [`front`] stands between it and the gateway, [`notification`] forges what it sends
//! - [`api`] the merchant's back end, [`caller`] one that hangs up; [`merchant`] where deliveries arrive; [`watcher`] a payer's browser
//! - [`follower`] one that is read all the time, [`browser`] one that comes back
//! - [`chaos_proxy`] a network that fails, [`balancer`] one address for several gateways
//! - [`stage`] all of it, connected; [`fleet`] the same with several gateways on one storage
//! - [`simulation`] thousands of payments at once, with everything going wrong, and what became of each

#![expect(
    clippy::expect_used,
    clippy::missing_panics_doc,
    reason = "a harness panics by design: that is how a test fails"
)]

pub mod api;
pub mod balancer;
pub mod browser;
pub mod caller;
pub mod chaos_proxy;
pub mod fleet;
pub mod follower;
pub mod front;
pub mod gateway;
pub mod latencies;
pub mod merchant;
pub mod notification;
pub mod process;
pub mod program;
pub mod sandbox;
pub mod settings;
pub mod simulation;
pub mod stage;
pub mod watcher;

pub use redis_processes::deadline;
