//! The harness of the scenario tests: the real gateway and the real sandbox over real sockets, and around them the
//! merchant, the payer and the network.
//!
//! No part of Chasqui is replaced by a double. Every listener takes a free port, every wait has a deadline and an error that
//! names its condition, and no test sleeps in place of waiting. In reading order:
//! - [`deadline`] waits; [`latencies`] collects measurements
//! - [`gateway_settings`] a gateway's configuration; [`in_process_gateway`] and [`gateway_process`] run it, the second as a
//!   program that can be killed
//! - [`sandbox`] Khipu's simulator; [`khipu_proxy`] records and replaces what it answers; [`notification`] signs requests
//!   in its place
//! - [`gateway_client`] the merchant's back end; [`aborting_client`] one that disconnects early; [`webhook_receiver`] its
//!   notify_url
//! - [`websocket_watcher`] a payer's browser; [`background_watcher`] reads one in a task; [`reconnecting_watcher`] reconnects
//! - [`chaos_proxy`] a network that fails; [`load_balancer`] one address for several gateways
//! - [`testbed`] sandbox, merchant and one gateway; [`fleet`] the same with several gateways on one storage
//! - [`simulation`] thousands of payments at once, under every failure, compared with Khipu at the end

#![expect(
    clippy::expect_used,
    clippy::missing_panics_doc,
    reason = "a harness panics by design: that is how a test fails"
)]

pub mod aborting_client;
pub mod background_watcher;
pub mod chaos_proxy;
pub mod fleet;
pub mod gateway_client;
pub mod gateway_process;
pub mod gateway_settings;
pub mod in_process_gateway;
pub mod khipu_proxy;
pub mod latencies;
pub mod load_balancer;
pub mod notification;
pub mod program;
pub mod reconnecting_watcher;
pub mod sandbox;
pub mod simulation;
pub mod testbed;
pub mod webhook_receiver;
pub mod websocket_watcher;

pub use redis_processes::deadline;
