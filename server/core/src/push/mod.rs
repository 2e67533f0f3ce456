//! Watchers, and how the newest status reaches them. Knows no transport.
//!
//! Only the newest status matters, so a watcher has one slot and not a queue: a slow reader holds one message and gets the
//! newest when it reads again. `hub` finds a payment's watchers, `watcher` is one of them, `timer_wheel` is their shared
//! timer, `missed_payments` are read again for them.

mod hub;
mod missed_payments;
mod status_message;
mod timer_wheel;
mod watcher;

pub(crate) use hub::Registration;
pub use hub::{Hub, WatchRefusal};
pub use status_message::{StatusMessage, StatusObject};
pub use timer_wheel::Intervals;
pub use watcher::{Watcher, WatcherSignal};
