//! Where a payment stands, with Khipu's names.

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    Pending,
    /// The payer authorised the transfer at the bank; the money has not arrived yet.
    Verifying,
    Done(StatusDetail),
    Deleted,
}

/// Why a payment is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StatusDetail {
    Normal,
    MarkedPaidByReceiver,
    RejectedByPayer,
    MarkedAsAbuse,
    PartiallyRefunded,
    FullyRefunded,
    Reversed,
}

impl Status {
    /// The value of Khipu's `status`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Verifying => "verifying",
            Self::Done(_) => "done",
            Self::Deleted => "deleted",
        }
    }

    /// The value of Khipu's `status_detail`.
    pub(crate) fn detail(self) -> &'static str {
        match self {
            Self::Pending | Self::Verifying | Self::Deleted => "pending",
            Self::Done(outcome) => match outcome {
                StatusDetail::Normal => "normal",
                StatusDetail::MarkedPaidByReceiver => "marked-paid-by-receiver",
                StatusDetail::RejectedByPayer => "rejected-by-payer",
                StatusDetail::MarkedAsAbuse => "marked-as-abuse",
                StatusDetail::PartiallyRefunded => "partially-refunded",
                StatusDetail::FullyRefunded => "fully-refunded",
                StatusDetail::Reversed => "reversed",
            },
        }
    }
}
