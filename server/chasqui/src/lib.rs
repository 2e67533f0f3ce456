//! Chasqui: the real-time payment-status gateway for Khipu.
//!
//! The modules in reading order. Arrows point down only: `http` calls the gateway, the gateway commits to the store and
//! tells the relay, the hub hands it to watchers, a delivery to the merchant. ARCHITECTURE.md walks through it.

pub mod app;
pub mod config;
pub mod telemetry;

pub mod api_key;
pub mod token;

pub mod http;
