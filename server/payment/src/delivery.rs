//! How far a payment's delivery to its merchant is.

use crate::named_enum::named_enum;

named_enum! {
    DeliveryState {
        /// An attempt is under way or planned.
        Open = "open",
        /// The merchant has it, or there is nothing to deliver.
        Done = "done",
        /// Given up after its last attempt.
        Dead = "dead",
    }
}

named_enum! {
    /// The states of a delivery that its merchant does not have, which are listed.
    Undelivered {
        Open = "open",
        Dead = "dead",
    }
}
