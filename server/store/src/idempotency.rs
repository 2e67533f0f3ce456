//! Merchants' requests that may arrive twice and must be carried out once.
//!
//! A request is recorded before it is carried out, and completed with its outcome. If its instance dies in between, the
//! outcome is unknown, and the record says so instead of letting the request be repeated.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use chasqui_payment::{AccountName, Timestamp};

use crate::error::StoreError;

/// Remembers requests that may arrive twice.
#[async_trait]
pub trait IdempotencyStore: Send + Sync + std::fmt::Debug + 'static {
    /// Takes an idempotency key for a request, in one atomic step: of concurrent arrivals exactly one is `Started`. The
    /// same arrival stays `Started` until it is completed, so that the call can be repeated after an error. Another
    /// request under a taken key is `KeyReused`. A request in progress for [`IN_PROGRESS_LIMIT`] is `OutcomeUnknown`.
    /// A key is free again [`IDEMPOTENCY_TERM`] after its request began; a store that does not expire records itself
    /// removes up to [`EXPIRED_PER_BEGIN`] of them whenever one is made.
    async fn begin(&self, request: &IdempotentRequest) -> Result<BeginOutcome, StoreError>;

    /// Records the outcome of a request that was `Started`. The first completion stands; an arrival that does not hold the
    /// key changes nothing. A late response is recorded too, even if others got `OutcomeUnknown` meanwhile.
    async fn complete(
        &self,
        request: &IdempotentRequest,
        completion: &Completion,
    ) -> Result<(), StoreError>;
}

/// How long a key stands for its request, from the moment that began.
pub const IDEMPOTENCY_TERM: Duration = Duration::from_secs(24 * 3600);

/// Longer than any request takes (a call to Khipu 120 s at most, a few waits for the store 10 s each): the instance of a
/// request that is still in progress after this has died.
pub const IN_PROGRESS_LIMIT: Duration = Duration::from_secs(5 * 60);

/// The most expired records that beginning a request removes. More than one, so that a backlog shrinks.
pub const EXPIRED_PER_BEGIN: usize = 8;

/// A merchant's key for a request, and its scope.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct IdempotencyKey {
    pub account: AccountName,
    /// Method and pattern: `POST /v3/payments`.
    pub route: &'static str,
    pub key: String,
}

/// One arrival of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdempotentRequest {
    pub key: IdempotencyKey,
    /// SHA-256 of the request's body and, where the route has them, its parameters.
    pub fingerprint: [u8; 32],
    /// Random: distinguishes this arrival from others of the same request.
    pub arrival: u64,
    pub at: Timestamp,
}

/// A response to the merchant, to be sent again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredResponse {
    pub status: u16,
    pub body: Bytes,
}

/// Whether a request is to be carried out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BeginOutcome {
    /// Yes, by this arrival.
    Started,
    /// Another arrival is carrying it out.
    InProgress,
    /// The key belongs to another request.
    KeyReused,
    /// It was carried out, with this response.
    Replay(StoredResponse),
    /// It was begun, and may have been carried out.
    OutcomeUnknown,
}

/// The outcome of a request that was begun.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Completion {
    Response(StoredResponse),
    /// The key is free: the next arrival is `Started`.
    Released,
    /// It may have been carried out. It is not repeated under this key.
    OutcomeUnknown,
}
