//! Watchers, and how the newest status reaches them. Knows no transport.
//!
//! A status is latest-wins, so a watcher has one slot and not a queue: a slow reader holds one message, never more, and
//! gets the newest when it reads again. [`hub`] finds a payment's watchers, [`watcher`] is one of them, [`wheel`] is the
//! one timer that they share, [`missed`] what has to be read again on their behalf.

mod hub;
mod missed_payments;
mod status_message;
mod timer_wheel;
mod watcher;

pub use hub::{Hub, Registration, WatchRefusal};
pub use status_message::StatusMessage;
pub use timer_wheel::Intervals;
pub use watcher::{Watcher, WatcherSignal};
