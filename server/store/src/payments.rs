//! Payments. Reading and changing them are separate roles.

use async_trait::async_trait;
use bytes::Bytes;
use chasqui_payment::{
    AccountName, Intent, Observation, Payment, PaymentId, PaymentReference, PaymentState, Status,
    Timestamp, Verdict,
};

use crate::error::StoreError;

/// The most payments that are found by one transaction id. A few are usual: a merchant may create a payment for each try.
pub const BY_TRANSACTION_LIMIT: usize = 100;

/// Reads payments by their id.
#[async_trait]
pub trait PaymentReader: Send + Sync + std::fmt::Debug + 'static {
    async fn payment(&self, id: &PaymentId) -> Result<Option<Payment>, StoreError>;

    /// The states of payments, in the order of `ids`; `None` for an unknown one.
    async fn states(&self, ids: &[PaymentId]) -> Result<Vec<Option<PaymentState>>, StoreError>;

    /// The notification to deliver: the first with verdict `Agrees`; without one, the first that is `Stale` or
    /// `UnknownPayment`, which the caller must compare with the payment's terms.
    async fn notification(&self, id: &PaymentId) -> Result<Option<StoredNotification>, StoreError>;
}

/// Leads to payments by what their merchant and their payer know of them.
#[async_trait]
pub trait PaymentIndex: Send + Sync + std::fmt::Debug + 'static {
    async fn intent(&self, reference: &PaymentReference) -> Result<Option<Intent>, StoreError>;

    /// The account's payments with this transaction id, the newest first, at most [`BY_TRANSACTION_LIMIT`].
    async fn by_transaction(
        &self,
        account: &AccountName,
        transaction_id: &str,
    ) -> Result<Vec<PaymentId>, StoreError>;

    /// The account's payments by their last change, the oldest change first: at most `limit` of those that changed after
    /// `since`, and with a `status` only those that have it now. A rare status is looked for among all of them.
    ///
    /// A payment changes when its status does, and when its terms become known. The time of a change is the store's, given
    /// as it is committed, and later than that of every change that a reader has seen: a reader that continues after the
    /// newest change it saw misses none, although instances' clocks differ and observations arrive late. Changes of one
    /// millisecond are in the order of their payments' ids. A change may be listed some milliseconds after it is committed,
    /// and of one payment only the newest is.
    async fn changed_since(
        &self,
        account: &AccountName,
        since: &ChangeCursor,
        status: Option<Status>,
        limit: usize,
    ) -> Result<Vec<ChangedPayment>, StoreError>;

    /// When a payment of the account changed last: its place in the listing. `None`: it is not listed.
    async fn changed_at(
        &self,
        account: &AccountName,
        id: &PaymentId,
    ) -> Result<Option<Timestamp>, StoreError>;
}

/// A place in the listing of an account's payments by change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangeCursor {
    pub updated_at: Timestamp,
    /// After this payment's change at that time. `None`: before all changes of that time.
    pub id: Option<PaymentId>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangedPayment {
    pub id: PaymentId,
    pub transaction_id: Option<String>,
    pub state: PaymentState,
    /// When it changed, by the store's clock.
    pub updated_at: Timestamp,
}

/// Changes payments.
#[async_trait]
pub trait PaymentStore: PaymentReader {
    /// Records what is needed to adopt a payment, before Khipu is asked to create it. A known reference is not changed. A
    /// reference of another account: `Err(WrongAccount)`.
    async fn save_intent(&self, intent: &Intent) -> Result<(), StoreError>;

    /// Records a payment and binds its reference's intent to it. If the payment is known already (its notification arrived
    /// first), missing values are filled in and known ones stay; the earlier creation and the higher state count. The
    /// first call schedules the first check ([`Payment::first_check_at`]) in the same step, unless the payment is final.
    /// A payment or intent of another account: `Err(WrongAccount)`, except that a payment without terms is deleted, with
    /// its records, in favour of this one.
    async fn create(&self, payment: &Payment) -> Result<Outcome, StoreError>;

    /// Applies an observation in one atomic step: the update by the rules of [`PaymentState::updated`], the notification, the
    /// timeline, the jobs. An unknown payment begins as pending, without terms. A payment of another account:
    /// `Err(WrongAccount)`.
    ///
    /// A notification whose bytes are known is counted, and an update that it repeats without effect is not recorded again.
    /// Its verdict becomes `Agrees` with the first copy that agrees, with that copy's signature. An update without effect
    /// and without a notification is not recorded.
    ///
    /// A `Delivery` is scheduled only if the payment is then confirmed, and at most once per payment, ever:
    /// only [`redeliver`](crate::Deliveries::redeliver) reopens it. Scheduling one
    /// that is open and not attempted can only bring it forward.
    ///
    /// A `Check` is due at the earlier of the requested and the planned time, with the higher priority and no attempt
    /// counted. If one is leased, the new one is due when that lease ends; `Retry` and `PutBack` then count with the
    /// earlier time. An observation that makes the payment final ends its checks, except a leased one; a `CrossCheck` that it
    /// schedules takes their place. A final payment gets no other check.
    ///
    /// An `Events` job is scheduled only if the update changes the status, in one step with the change that it has to send:
    /// see [`StatusEvents`](crate::StatusEvents). Like a check, it is due at the earlier time with no attempt counted, follows
    /// a lease, and can be scheduled again after its end.
    async fn observe(
        &self,
        id: &PaymentId,
        observation: &Observation,
    ) -> Result<Outcome, StoreError>;
}

/// The state of a payment before and after a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outcome {
    /// `None`: the payment was not known.
    pub before: Option<PaymentState>,
    pub after: PaymentState,
}

impl Outcome {
    /// Whether watchers have something new.
    pub fn changed(&self) -> bool {
        self.before
            .is_none_or(|before| before.version != self.after.version)
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredNotification {
    pub body: Bytes,
    /// The `x-khipu-signature` header as received.
    pub signature: String,
    pub verdict: Verdict,
    pub received_at: Timestamp,
}
