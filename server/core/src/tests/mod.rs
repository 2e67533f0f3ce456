//! Tests of several parts together, and what the crate's tests share.

pub(crate) mod fixture;
pub(crate) mod logs;
mod pressure;
