//! The names of a status on the wire and in the store.

use crate::named_enum::named_enum;

named_enum! {
    /// The status that merchants and payers see.
    Status {
        /// No transfer is known.
        Pending = "pending",
        /// A transfer is being verified: the payer should not pay again.
        Verifying = "verifying",
        /// The time to pay and every attempt's own term are over. A late confirmation can still follow.
        Expired = "expired",
        /// Deleted by the merchant.
        Cancelled = "cancelled",
        /// Khipu has ended this attempt and it was not paid. The payer may resume.
        Rejected = "rejected",
        /// Paid.
        Confirmed = "confirmed",
        /// Was paid, and the money went back in full.
        Reversed = "reversed",
    }
}

named_enum! {
    /// Why, where the status alone does not say it.
    StatusReason {
        RejectedByPayer = "rejected-by-payer",
        MarkedAsAbuse = "marked-as-abuse",
        MarkedPaidByReceiver = "marked-paid-by-receiver",
        PartiallyRefunded = "partially-refunded",
        FullyRefunded = "fully-refunded",
        Reversed = "reversed",
    }
}
