//! The use cases, and the one door through which a payment changes: [`Payments`].
//!
//! `merchant` has the merchant's calls, and `idempotency` those that may arrive twice; `notifications` Khipu's notifications;
//! `watch` the payer's page and return. `refresh` queries a payment at Khipu, `poller` repeats that while it is watched, and
//! `jobs` runs the store's timed work: deliveries and checks. `push` holds the watchers.
//!
//! Nothing here serves HTTP or knows a transport to browsers, a configuration file or the store's implementation.

mod account;
pub mod clock;
mod detached;
mod error;
mod health;
mod idempotency;
mod in_flight;
pub mod jobs;
mod lookup;
mod merchant;
mod not_found_cache;
mod notifications;
mod payments;
mod poll_schedule;
mod poller;
pub mod push;
mod rate_limiter;
mod refresh;
mod resync;
mod store_call;
#[cfg(test)]
mod tests;
mod visit_limiter;
mod watch;

pub use account::{Account, Accounts, InvalidWebhookSecret, WebhookSecret};
pub use error::PaymentsError;
pub use health::{Health, HealthError};
pub use idempotency::{IdempotencyError, IdempotentResult};
pub use notifications::{AcceptedNotification, NotificationError};
pub use payments::{CreatedPayment, Dependencies, JobWakeups, Payments, Settings};
pub use watch::{WatchError, WatchHandle};
