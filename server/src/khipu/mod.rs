//! Khipu's words stop here.

pub mod signature;
