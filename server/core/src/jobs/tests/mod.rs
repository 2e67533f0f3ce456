//! The deliveries from lease to end, and what the tests of jobs share.

mod content;
mod ending;
pub(super) mod fake_store;
pub(super) mod fixture;
pub(super) mod merchant_server;
mod running_worker;
mod sharing;
mod stopping;
