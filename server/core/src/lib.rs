//! The use cases, and the one door through which a payment changes: [`Payments`].
//!
//! The merchant's calls are in `merchant`, with `idempotency` for those that may come twice; Khipu's notifications in
//! `notifications`; the payer's page and way back in `watch`. `refresh` asks Khipu once, `poller` again while a page is
//! open, and `jobs` runs the timed work of the store: deliveries and checks. `push` holds the watchers.
//!
//! Nothing here knows HTTP, a transport, a configuration file or which store there is.

pub mod account;
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

pub use error::{PaymentsError, RefreshError};
pub use health::{Health, HealthError};
pub use idempotency::{IdempotencyError, IdempotentResult};
pub use in_flight::RefreshResult;
pub use notifications::{AcceptedNotification, NotificationError};
pub use payments::{CreatedPayment, Dependencies, JobWakeups, Payments, Settings};
pub use poller::PollOutcome;
pub use watch::{WatchError, WatchHandle};
