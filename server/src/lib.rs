//! Chasqui: the real-time payment-status gateway for Khipu.

pub mod account;
pub mod clock;
pub mod config;
pub mod khipu;
pub mod ledger;
pub mod outbox;
pub mod payment;
pub mod push;
pub mod relay;
