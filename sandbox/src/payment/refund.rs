//! A refund of a payment.

use jiff::Timestamp;

use crate::identifiers::new_refund_id;
use crate::money::Amount;

#[derive(Clone, Debug)]
pub(crate) struct Refund {
    pub(crate) id: String,
    pub(crate) amount: Amount,
    pub(crate) requested_at: Timestamp,
    pub(crate) status: RefundStatus,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RefundStatus {
    /// Requested. It already counts as refunded.
    Pending,
    /// The payer has the money.
    Paid,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RefundError {
    NotPaid,
    /// The collected money is the merchant's since confirm_timeout_date.
    PaidOut,
    MoreThanRemains,
}

impl Refund {
    pub(crate) fn new(amount: Amount, now: Timestamp) -> Self {
        Self {
            id: new_refund_id(),
            amount,
            requested_at: now,
            status: RefundStatus::Pending,
        }
    }
}

impl RefundStatus {
    /// The value of `status` in `refunds`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Paid => "paid",
        }
    }
}
