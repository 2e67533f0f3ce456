//! Deliveries to merchants.

mod schedule;
mod signature;

pub use signature::{InvalidWebhookSecret, WebhookSecret};
