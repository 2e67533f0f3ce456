//! Payments and what is known of them: reading and changing are roles of their own.

use async_trait::async_trait;
use bytes::Bytes;
use chasqui_payment::{
    AccountName, Intent, Observation, Payment, PaymentId, PaymentReference, PaymentState,
    Timestamp, Verdict,
};

use crate::error::StoreError;
use crate::timeline::TimelineEntry;

/// The most payments that one transaction id leads to. A merchant makes a new one each time a payer tries again, so a few
/// are usual; whoever gives all payments one id gets the newest.
pub const BY_TRANSACTION_LIMIT: usize = 100;

/// What is known of payments. Whatever only reads takes this role.
#[async_trait]
pub trait PaymentReader: Send + Sync + std::fmt::Debug + 'static {
    async fn intent(&self, reference: &PaymentReference) -> Result<Option<Intent>, StoreError>;

    async fn payment(&self, id: &PaymentId) -> Result<Option<Payment>, StoreError>;

    /// The states of many payments, in the order asked; `None` for one that is unknown.
    async fn states(&self, ids: &[PaymentId]) -> Result<Vec<Option<PaymentState>>, StoreError>;

    /// The payments of an account that its merchant gave this transaction id, the newest first, at most
    /// [`BY_TRANSACTION_LIMIT`] of them.
    async fn by_transaction(
        &self,
        account: &AccountName,
        transaction_id: &str,
    ) -> Result<Vec<PaymentId>, StoreError>;

    /// What the payment's merchant may be sent: the first notification with verdict `Agrees`; failing that the first whose
    /// verdict is `Stale` or `UnknownPayment`, which the caller must compare with the payment's terms.
    async fn notification(&self, id: &PaymentId) -> Result<Option<StoredNotification>, StoreError>;

    /// Everything recorded about the payment, oldest first (of one moment: in the order recorded), at most
    /// [`TIMELINE_LIMIT`] entries (the oldest; a store may record no more than those that came first).
    async fn timeline(&self, id: &PaymentId) -> Result<Vec<TimelineEntry>, StoreError>;
}

/// Changes payments. Only the use cases that learn something of a payment hold this role.
#[async_trait]
pub trait PaymentStore: PaymentReader {
    /// Keeps what is needed to adopt a payment, before Khipu is asked to make it. Repeating it with the same reference
    /// changes nothing. A reference of another account is left alone: `Err(WrongAccount)`.
    async fn save_intent(&self, intent: &Intent) -> Result<(), StoreError>;

    /// Records a payment and binds its reference's intent to it. Where something is known of the payment already (a
    /// notification came first) what was unknown is filled in (terms, URLs, reference, dates) and what is known stays;
    /// of two dates of creation the earlier stays; of two states the higher. The first time, unless it is confirmed or
    /// reversed, its first check is scheduled in the same step ([`Payment::first_check_at`]). A payment or an intent of
    /// another account is left alone: `Err(WrongAccount)`; but a record without terms owns nothing, and gives way with all that
    /// was kept of it.
    async fn create(&self, payment: &Payment) -> Result<Outcome, StoreError>;

    /// Applies an observation in one atomic step: the update by the rules of [`PaymentState::updated`], the notification and the
    /// record of it all kept, the jobs scheduled. A payment that is not known is begun as pending, with no terms. One
    /// of another account is left alone: `Err(WrongAccount)`.
    ///
    /// A notification whose bytes are known already is counted, not kept again, and an update that it repeats to no effect
    /// is not recorded again; its verdict becomes `Agrees` if either was, with the signature of the first that agreed. An
    /// update that changes nothing and comes without a notification leaves no record.
    ///
    /// Jobs: one of kind `Delivery` is scheduled only if the payment stands at confirmed afterwards, and at most
    /// once a payment, ever. Scheduling one that is open brings it forward if it has not been attempted, and never puts
    /// it off. A `Check` that is scheduled is due at the earlier of the asked time and the planned one, and begins again:
    /// no attempt counts any more. One that is scheduled while another is under a lease is not lost: it is due, as a new
    /// one, when that lease ends; `Retry` and `PutBack` put it back for the earlier of their time and the asked one. Of two
    /// priorities the higher counts. An observation that confirms or reverses the payment ends its checks, one under a
    /// lease excepted: what it schedules itself with [`JobPriority::CrossCheck`] takes their place. A payment that is
    /// confirmed or reversed gets no other check.
    async fn observe(
        &self,
        id: &PaymentId,
        observation: &Observation,
    ) -> Result<Outcome, StoreError>;
}

/// What became of an observation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outcome {
    /// `None`: the payment was not known.
    pub before: Option<PaymentState>,
    pub after: PaymentState,
}

impl Outcome {
    /// Whether watchers have something new to see.
    pub fn changed(&self) -> bool {
        self.before
            .is_none_or(|before| before.version != self.after.version)
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredNotification {
    pub body: Bytes,
    /// The `x-khipu-signature` header as it came.
    pub signature: String,
    pub verdict: Verdict,
    pub received_at: Timestamp,
}
