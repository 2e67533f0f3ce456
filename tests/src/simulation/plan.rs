//! What happens to one payment.

use std::time::Duration;

/// Shops of a simulation.
pub(super) const SHOPS: usize = 4;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PaymentPlan {
    pub(super) number: usize,
    pub(super) outcome: PlannedOutcome,
    /// The shop that sells.
    pub(super) shop: usize,
    /// How the shop answers the first delivery.
    pub(super) first_answer: ShopAnswer,
    pub(super) steps: Vec<Step>,
}

/// How the payment ends, and on which way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum PlannedOutcome {
    Paid,
    /// Paid without `verifying` in between.
    PaidAtOnce,
    /// The payer gives up, once or several times, and pays after all.
    PaidAfterGivingUp,
    /// Three hours after its term, so that a page has shown `expired`.
    PaidAfterExpiry,
    /// The shop deletes it while the transfer is in progress.
    PaidAfterDeletion,
    MarkedAsPaid,
    /// Paid, and the money goes back.
    Reversed,
    Pending,
    /// A second signature is missing.
    Verifying,
    Rejected,
    Abuse,
    Expired,
    Deleted,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ShopAnswer {
    Takes,
    /// Answers 500.
    Fails,
    /// Answers 200, but not at once.
    TakesSlowly,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    Pause(Duration),
    /// An action of the sandbox's control API.
    Khipu(&'static str),
    /// The same, and its notification never comes.
    KhipuUnnotified(&'static str),
    /// The payer comes back through `return_url`.
    Return,
    /// The payer comes back through `cancel_url`.
    GiveUp,
    /// The payer opens the shop's page, or opens it again.
    OpenPage(PageTransport),
    ClosePage,
    /// The shop deletes the payment.
    Delete,
    /// The shop asks for the payment.
    Read,
    /// The shop asks for the status.
    ReadStatus,
    Forge(Forgery),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PageTransport {
    WebSocket,
    Polling,
}

/// A notification that Khipu did not send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Forgery {
    WrongSecret,
    /// The right digest in hexadecimal digits.
    Hexadecimal,
    /// Another body than the one that was signed.
    ChangedBody,
    /// Signed with the right secret an hour ago.
    Stale,
    /// Signed with the right secret, for less money.
    OtherAmount,
}

impl PaymentPlan {
    pub(super) fn is_unnotified(&self) -> bool {
        let unnotified = |step: &Step| matches!(step, Step::KhipuUnnotified(_));
        self.steps.iter().any(unnotified)
    }

    pub(super) fn forgeries(&self) -> usize {
        let forged = |step: &&Step| matches!(step, Step::Forge(_));
        self.steps.iter().filter(forged).count()
    }
}
