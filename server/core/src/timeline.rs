//! A payment's history, and the end of its payer's data.

use std::sync::Arc;

use chasqui_payment::{Payment, PaymentId};
use chasqui_store::{Delivery, Erasure, TimelineEntry};
use tokio::try_join;

use crate::account::Account;
use crate::clock;
use crate::error::PaymentsError;
use crate::payments::Payments;

/// What happened to a payment, without its payer's data.
#[derive(Debug, Clone)]
pub struct PaymentTimeline {
    pub payment: Payment,
    pub delivery: Option<Delivery>,
    /// Oldest first.
    pub entries: Vec<TimelineEntry>,
}

#[derive(Debug, thiserror::Error)]
pub enum ErasureError {
    #[error("the payment's delivery is open: its merchant does not have the notification yet")]
    DeliveryOpen,
    #[error(transparent)]
    Payments(#[from] PaymentsError),
}

impl Payments {
    pub async fn timeline(
        self: &Arc<Self>,
        account: &Arc<Account>,
        id: &PaymentId,
    ) -> Result<PaymentTimeline, PaymentsError> {
        let payment = self.require_payment(account, id).await?;
        let (delivery, entries) = try_join!(self.store.delivery(id), self.store.timeline(id))?;
        Ok(PaymentTimeline {
            payment,
            delivery,
            entries,
        })
    }

    /// Erases what holds data of a payment's payer: the bytes and signatures of its notifications. Neither requests nor
    /// answers are kept under idempotency keys with a payer's data but for what Khipu puts into the answer of a creation,
    /// which is links.
    pub async fn erase_payer_data(
        &self,
        account: &Account,
        id: &PaymentId,
    ) -> Result<(), ErasureError> {
        let erased = self.store.erase(&account.name, id, clock::now()).await;
        match erased.map_err(PaymentsError::from)? {
            Erasure::Erased { warning } => {
                tracing::info!(payment_id = %id, account = %account.name, "a payer's data was erased");
                if let Some(warning) = warning {
                    tracing::warn!(payment_id = %id, warning, "the store's log still holds a payer's data that was erased");
                }
                Ok(())
            }
            Erasure::DeliveryOpen => Err(ErasureError::DeliveryOpen),
            Erasure::UnknownPayment => Err(PaymentsError::UnknownPayment.into()),
        }
    }
}
