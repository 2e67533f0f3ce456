//! Errors of the use cases.

use std::time::Duration;

use chasqui_khipu::KhipuError;
use chasqui_khipu::wire::FieldError;
use chasqui_payment::PaymentId;
use chasqui_store::StoreError;

use crate::detached::DetachedTaskError;

#[derive(Debug, Clone, thiserror::Error)]
pub enum PaymentsError {
    #[error("the request has invalid fields")]
    Fields(Vec<FieldError>),
    #[error("there is no such payment")]
    UnknownPayment,
    #[error(transparent)]
    Khipu(#[from] KhipuError),
    /// What had to be read at Khipu first could not be read; the merchant's call was not sent.
    #[error("nothing was sent, because khipu could not be read: {0}")]
    NotSent(KhipuError),
    #[error(transparent)]
    Store(StoreError),
    /// The limit of calls to Khipu is reached, and so is that of waiting callers. Khipu was not called.
    #[error("too many calls to khipu wait; try again in {retry_after:?}")]
    Busy { retry_after: Duration },
    /// Refunds of one payment run one after another. Khipu was not called for this one.
    #[error("another refund of payment {payment_id} is in progress; try again in {retry_after:?}")]
    RefundInProgress {
        payment_id: PaymentId,
        retry_after: Duration,
    },
    /// The operation may have had part of its effect.
    #[error("the operation was interrupted: {0}")]
    Interrupted(String),
}

impl From<StoreError> for PaymentsError {
    fn from(error: StoreError) -> Self {
        match error {
            // An account must not learn that a payment exists in another one.
            StoreError::WrongAccount => Self::UnknownPayment,
            error @ StoreError::Unavailable(_) => Self::Store(error),
        }
    }
}

/// Why a query of Khipu has no result. Shared by all callers that wait for it.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum RefreshError {
    #[error(transparent)]
    Khipu(KhipuError),
    #[error("the store is not available: {0}")]
    Store(String),
    #[error("the payment belongs to another account")]
    WrongAccount,
    /// By a recent answer of Khipu; it was not called again.
    #[error("khipu knows no such payment")]
    NotFound,
    /// Khipu was not called.
    #[error("too many calls to khipu wait")]
    Busy { retry_after: Duration },
}

impl From<RefreshError> for PaymentsError {
    fn from(error: RefreshError) -> Self {
        match error {
            RefreshError::Khipu(error) if error.is_not_found() => Self::UnknownPayment,
            RefreshError::Khipu(error) => Self::Khipu(error),
            RefreshError::Store(reason) => Self::Store(StoreError::Unavailable(reason)),
            RefreshError::WrongAccount | RefreshError::NotFound => Self::UnknownPayment,
            RefreshError::Busy { retry_after } => Self::Busy { retry_after },
        }
    }
}

impl From<StoreError> for RefreshError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::WrongAccount => Self::WrongAccount,
            StoreError::Unavailable(reason) => Self::Store(reason),
        }
    }
}

impl From<DetachedTaskError> for StoreError {
    fn from(error: DetachedTaskError) -> Self {
        Self::Unavailable(error.to_string())
    }
}

impl From<DetachedTaskError> for RefreshError {
    fn from(error: DetachedTaskError) -> Self {
        Self::Store(error.to_string())
    }
}

impl From<DetachedTaskError> for PaymentsError {
    fn from(error: DetachedTaskError) -> Self {
        Self::Interrupted(error.0.to_string())
    }
}
