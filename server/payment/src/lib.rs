//! What a payment is, and the rules by which it changes.
//!
//! Everything here is a pure value: no I/O, no async, no clock, no randomness; times and random numbers are arguments. Start
//! with `status`: the rules by which a payment changes are the heart of the product.

mod amount;
mod checks;
mod delivery;
mod id;
mod jitter;
mod named_enum;
mod observation;
mod payment;
mod secret;
mod status;
mod timestamp;
mod watch_transport;

pub use amount::{Amount, Currency, InvalidAmount, InvalidCurrency};
pub use checks::{CHECKED_AFTER_EXPIRY, CheckPlan, QUICK_RETRIES, USUAL_TERM, check_retry_delay};
pub use delivery::{DeliveryState, Undelivered};
pub use id::{AccountName, InvalidId, PaymentId, PaymentReference};
pub use jitter::jittered;
pub use observation::{JobKind, JobPriority, NewJob, Notification, Observation, Source, Verdict};
pub use payment::{Intent, MerchantUrls, Payment, PaymentTerms, Price};
pub use secret::Secret;
pub use status::{PaymentState, Reported, Status, StatusKind, StatusReason, StatusUpdate, Version};
pub use timestamp::{InvalidTimestamp, Timestamp};
pub use watch_transport::WatchTransport;
