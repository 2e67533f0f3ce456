//! How long data is kept. Redis itself deletes it.
//!
//! A final payment expires when its retention has passed since its last write, an open one when it has passed since Khipu
//! is no longer queried, all of it at once; the bytes of its notifications earlier, once they were delivered (`expire` in
//! `payment.lua`). Its intent and its transaction's index lie in other partitions and follow as well as can be
//! (`expire_references` in [`payments`](super::payments)).

use std::time::Duration;

/// A century. Redis refuses a term that ends beyond what its clock can count to, and with it the write.
pub(super) const LONGEST: Duration = Duration::from_secs(100 * 366 * 24 * 3600);

/// How long a reference is kept if its payment was never created, or if its expiry with the payment failed. After more than
/// a year no payment is still open.
const REFERENCES_KEPT: Duration = Duration::from_secs(400 * 24 * 3600);

/// How long data is kept once it is final.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// How long a final payment is kept, since its last write.
    pub payments: Duration,
    /// How long a notification's bytes are kept, once its delivery is done.
    pub notification_bytes: Duration,
}

impl Retention {
    /// Shortens each term to what Redis can count.
    pub(super) fn bounded(self) -> Self {
        Self {
            payments: self.payments.min(LONGEST),
            notification_bytes: self.notification_bytes.min(LONGEST),
        }
    }

    /// How long intents and indexes are kept: never shorter than the payments that they lead to.
    pub(super) fn references(self) -> Duration {
        REFERENCES_KEPT.max(self.payments)
    }
}
