//! Why a use case has no result.

use std::time::Duration;

use chasqui_khipu::KhipuError;
use chasqui_khipu::wire::FieldError;
use chasqui_store::StoreError;

use crate::detached::DetachedTaskError;

#[derive(Debug, Clone, thiserror::Error)]
pub enum PaymentsError {
    #[error("the request has fields that cannot be accepted")]
    Fields(Vec<FieldError>),
    #[error("there is no such payment")]
    UnknownPayment,
    #[error(transparent)]
    Khipu(#[from] KhipuError),
    #[error(transparent)]
    Store(StoreError),
    /// Too many questions wait for Khipu's answer.
    #[error("too many questions to khipu wait; come back in {retry_after:?}")]
    Busy { retry_after: Duration },
    /// It broke off in the middle: what was asked may have been done.
    #[error("the operation broke off: {0}")]
    BrokeOff(String),
}

impl From<StoreError> for PaymentsError {
    fn from(error: StoreError) -> Self {
        match error {
            // Whose payment it is, is nobody else's business.
            StoreError::WrongAccount => Self::UnknownPayment,
            error @ StoreError::Unavailable(_) => Self::Store(error),
        }
    }
}

/// Why a question has no answer. Shared by everybody who asked it.
#[derive(Debug, Clone, thiserror::Error)]
pub enum RefreshError {
    #[error(transparent)]
    Khipu(KhipuError),
    #[error("the store is not available: {0}")]
    Store(String),
    #[error("the payment belongs to another account")]
    WrongAccount,
    /// It said so a moment ago.
    #[error("khipu knows no such payment")]
    NotFound,
    /// Nothing was asked.
    #[error("too many questions to khipu wait")]
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
        Self::BrokeOff(error.0.to_string())
    }
}
