//! The deliveries from claim to settlement, and what the tests of jobs share.

mod delivering;
pub(super) mod fixture;
pub(super) mod receiver;
mod running;
