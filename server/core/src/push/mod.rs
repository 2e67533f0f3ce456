//! Watchers, and how the newest status reaches them. Knows no transport.
//!
//! A status is latest-wins, so a watcher has one slot and not a queue: a slow reader holds one message, never more, and
//! gets the newest when it reads again. [`hub`] finds a payment's watchers, [`watcher`] is one of them, [`wheel`] is the
//! one timer that they share, [`missed`] what has to be read again on their behalf.

mod hub;
mod message;
mod missed;
mod watcher;
mod wheel;

pub use hub::{Hub, Registration, WatchRefusal};
pub use message::StatusMessage;
pub use watcher::{Watcher, WatcherSignal};
pub use wheel::Intervals;
