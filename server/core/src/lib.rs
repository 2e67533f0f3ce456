//! The use cases, and the one door through which a payment changes: [`Payments`].
//!
//! | file | what it does |
//! |---|---|
//! | `merchant`, `idempotency` | the merchant's calls, and those that may arrive twice |
//! | `forwarding`, `refunds` | the merchant's calls that go on to Khipu as they came; a refund happens once |
//! | `listing`, `redelivery` | what the merchant reads of its account; deliveries that it asks for again |
//! | `timeline`, `visit_recorder` | a payment's history, what visits add to it, and the end of its payer's data |
//! | `notifications` | Khipu's notifications |
//! | `watch`, `visit_limiter` | the payer's page and return, and how often a visit counts |
//! | `lookup`, `not_found_cache` | a payment as its account knows it; what Khipu does not know |
//! | `refresh`, `in_flight` | one query at Khipu, shared by all that want its answer |
//! | `poller`, `poll_schedule` | queries while a page is open, and when the next is due |
//! | `rate_limiter` | who may call Khipu next |
//! | [`jobs`] | the store's timed work: deliveries and checks |
//! | [`push`] | the watchers: hub, slot, timer wheel |
//! | `resync`, `health` | what a lost relay missed; whether store and relay work |
//!
//! Nothing here serves HTTP or knows a transport to browsers, a configuration file or the store's implementation.

mod account;
pub mod clock;
mod detached;
mod error;
mod forwarding;
mod health;
mod idempotency;
mod in_flight;
pub mod jobs;
mod listing;
mod lookup;
mod merchant;
mod not_found_cache;
mod notifications;
mod payments;
mod poll_schedule;
mod poller;
pub mod push;
mod rate_limiter;
mod redelivery;
mod refresh;
mod refunds;
mod resync;
mod store_call;
#[cfg(test)]
mod tests;
mod timeline;
mod visit_limiter;
mod visit_recorder;
mod watch;

pub use account::{
    Account, Accounts, ApiKey, InvalidWebhookSecret, Permission, WebhookSecret, has_user_info,
};
pub use detached::spawn_detached;
pub use error::PaymentsError;
pub use health::{Health, HealthError};
pub use idempotency::{IdempotencyError, IdempotentResult};
pub use notifications::{AcceptedNotification, NotificationError};
pub use payments::{Dependencies, JobWakeups, Payments, Settings};
pub use redelivery::{Redeliveries, RedeliveryError};
pub use refunds::RefundCall;
pub use timeline::{ErasureError, PaymentTimeline};
pub use watch::{WatchError, WatchHandle};
