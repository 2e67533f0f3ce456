//! Deliveries to merchants.

mod destination;
mod networks;
mod schedule;
mod signature;

pub use destination::{DestinationError, Destinations};
pub use signature::{InvalidWebhookSecret, WebhookSecret};
