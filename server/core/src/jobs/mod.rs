//! Timed work on payments: deliveries and events to merchants, and checks at Khipu.
//!
//! A delivery ends with a merchant's 2xx or as a dead letter, unless there is no address or the payment was reversed. Nothing
//! here changes a payment, and nothing unverified or unsigned is sent.
//!
//! In reading order: `worker` leases jobs and runs them. `delivery` is one kind: `webhook_request` is what it sends,
//! `merchant_client` posts it, `destination_policy` limits where it may go, `retry_schedule` is when it is tried again,
//! `put_back_spacing` when it comes back if its account is busy. `events` are sent the same way. `check` is the third kind.

mod attempt;
mod attempt_outcome;
mod check;
mod delivery;
mod destination_policy;
mod events;
mod ip_ranges;
mod merchant_client;
mod put_back_spacing;
mod retry_schedule;
mod signature;
#[cfg(test)]
mod tests;
mod webhook_request;
mod worker;

pub use check::CheckHandler;
pub use delivery::{BuildNotification, DeliveryHandler, DeliveryLimits, DeliverySetupError};
pub use events::EventHandler;
pub use worker::{JobEnd, JobHandler, JobWorker, WorkerLimits, WorkerLimitsError};
