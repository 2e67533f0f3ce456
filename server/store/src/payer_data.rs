//! Payers' data, and how it is erased.

use async_trait::async_trait;
use chasqui_payment::{AccountName, PaymentId, Timestamp};

use crate::error::StoreError;

/// Erases payers' data. Only notifications hold any: names, addresses and accounts, in Khipu's bytes.
#[async_trait]
pub trait PayerData: Send + Sync + std::fmt::Debug + 'static {
    /// Overwrites the bytes and signatures of the payment's notifications. What is left is their digests, verdicts and
    /// copies, and a timeline with an entry `Erased`. Refused while a delivery needs the bytes, which is the case as long
    /// as it is open. A payment of another account: `Err(WrongAccount)`.
    ///
    /// A copy of an erased notification is counted and brings no bytes back. A notification with new bytes is stored like
    /// any other. A repetition erases what was stored meanwhile, and asks again for what [`Erasure::Erased`] warns of.
    async fn erase(
        &self,
        account: &AccountName,
        id: &PaymentId,
        at: Timestamp,
    ) -> Result<Erasure, StoreError>;
}

/// Whether a payer's data was erased.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Erasure {
    /// The store returns it no more. With a `warning`, the log that the store writes ahead of its data still holds it; the
    /// text says until when, and what to do.
    Erased {
        warning: Option<String>,
    },
    /// The payment's delivery is open.
    DeliveryOpen,
    UnknownPayment,
}
