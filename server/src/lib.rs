//! Chasqui: the real-time payment-status gateway for Khipu.

pub mod account;
pub mod clock;
pub mod khipu;
pub mod ledger;
pub mod outbox;
pub mod payment;
pub mod relay;
