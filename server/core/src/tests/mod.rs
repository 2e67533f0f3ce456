//! Tests of several parts together, and what the crate's tests share.

pub(crate) mod fixture;
mod pressure;
