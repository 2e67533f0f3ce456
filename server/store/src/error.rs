//! Why a store could not do what it was asked.

#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// The payment or reference belongs to another account.
    #[error("it belongs to another account")]
    WrongAccount,
    /// The store is away, full, too slow or damaged; the text says which.
    #[error("the store is not available: {0}")]
    Unavailable(String),
}
