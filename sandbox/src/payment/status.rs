//! Where a payment stands, with Khipu's names.

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    Pending,
    /// The payer authorised the transfer at the bank; the money has not arrived yet.
    Verifying,
    Done(Outcome),
    Deleted,
}

/// Why a payment is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
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
                Outcome::Normal => "normal",
                Outcome::MarkedPaidByReceiver => "marked-paid-by-receiver",
                Outcome::RejectedByPayer => "rejected-by-payer",
                Outcome::MarkedAsAbuse => "marked-as-abuse",
                Outcome::PartiallyRefunded => "partially-refunded",
                Outcome::FullyRefunded => "fully-refunded",
                Outcome::Reversed => "reversed",
            },
        }
    }
}
