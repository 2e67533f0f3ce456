pub mod redis;
pub use chasqui_store::{Change, Relay, RelayError, RelayListener};
pub use chasqui_store_sqlite::LocalRelay;
#[cfg(test)]
pub(crate) use chasqui_store_suite::relay as suite;
