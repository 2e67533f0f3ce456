pub mod redis;
pub use chasqui_store::*;
pub use chasqui_store_sqlite as sqlite;
#[cfg(test)]
pub(crate) use chasqui_store_suite as suite;
