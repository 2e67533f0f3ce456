//! Chasqui: the real-time payment-status gateway for Khipu. This crate is the binary: command line, configuration, HTTP,
//! and the composition root.
//!
//! | crate | what it is |
//! |---|---|
//! | [`chasqui_payment`] | what a payment is: pure values, and the rule by which its status changes |
//! | [`chasqui_khipu`] | Khipu's API, its words and its signature |
//! | [`chasqui_store`] | what is kept, as traits by role, and the relay between instances |
//! | [`chasqui_store_sqlite`] | the store in one file, for one instance |
//! | [`chasqui_redis_topology`] | which Redis node holds what, and how a call reaches it |
//! | [`chasqui_store_redis`] | the store and the relay on Redis, for several instances |
//! | [`chasqui_core`] | the use cases: creating, notifications, watching, polling, jobs, push |
//! | `chasqui` | [`app`] puts them together; [`config`] checks every setting; `http` maps URLs to use cases, `http/websocket` has sessions and close codes |
//!
//! ARCHITECTURE.md follows five operations through them.

pub mod api_key;
pub mod app;
pub mod config;
mod http;
pub mod telemetry;
pub mod token;
