//! Why an operation of the store failed.

#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    #[error("the payment or reference belongs to another account")]
    WrongAccount,
    /// The store is unreachable, full, too slow or damaged; the text says which.
    #[error("the store is not available: {0}")]
    Unavailable(String),
}
