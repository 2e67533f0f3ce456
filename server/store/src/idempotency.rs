//! A merchant's request that may come twice: what is kept of it, so that it is done once.
//!
//! Begun before anything is done, finished with what became of it. Between the two only its own instance knows; if that
//! dies, nobody does, and the record says so rather than letting it be done again. What the answer means is not read
//! here.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use chasqui_payment::{AccountName, Timestamp};

use crate::error::StoreError;

/// Remembers requests that may come twice.
#[async_trait]
pub trait IdempotencyStore: Send + Sync + std::fmt::Debug + 'static {
    /// Takes an idempotency key for a request, in one atomic step: of any that begin at once exactly one is `Fresh`.
    /// The same arrival stays `Fresh` until it is finished, so that it can be repeated after an error. Another request
    /// under a key that is taken is `OtherBody`, whatever became of the first. One that is under way for
    /// [`IN_PROGRESS_LIMIT`] is `Unknown`. [`IDEMPOTENCY_TERM`] after it began a key is free again; where the
    /// store does not clear such records away itself, up to [`EXPIRED_PER_BEGIN`] are removed whenever one is made.
    async fn begin(&self, request: &IdempotentRequest) -> Result<BeginOutcome, StoreError>;

    /// Records what became of a request that was `Fresh`. The first end stands; an arrival that does not hold the key
    /// (it never did, or it let it go or came to its end before) changes nothing. Late is not too late: an answer is
    /// kept even if others were told `Unknown` meanwhile.
    async fn complete(
        &self,
        request: &IdempotentRequest,
        finished: &Completion,
    ) -> Result<(), StoreError>;
}

/// How long a key stands for its request, counted from when that began. Then it is as if it had never come.
pub const IDEMPOTENCY_TERM: Duration = Duration::from_secs(24 * 3600);

/// Longer than any request can take (a question to Khipu 120 s at most, a few waits for the store 10 s each): what is
/// still under way after this was being done by an instance that died.
pub const IN_PROGRESS_LIMIT: Duration = Duration::from_secs(5 * 60);

/// The most expired records that beginning one removes. More than one, so that what has piled up goes.
pub const EXPIRED_PER_BEGIN: usize = 8;

/// What a merchant calls its request, and where that name holds.
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
    /// SHA-256 of all that makes it this request and no other: its body and, where the route has them, its parameters.
    pub fingerprint: [u8; 32],
    /// Random: tells this arrival from every other of the same request.
    pub arrival: u64,
    pub at: Timestamp,
}

/// An answer as the merchant was given it, to be given again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredResponse {
    pub status: u16,
    pub body: Bytes,
}

/// Whether a request is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BeginOutcome {
    /// It is, by this arrival and no other.
    Started,
    /// Another arrival is doing it.
    InProgress,
    /// The key stands for another request.
    KeyReused,
    Replay(StoredResponse),
    /// It was begun, and may have been done.
    OutcomeUnknown,
}

/// What became of a request that was begun.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Completion {
    Response(StoredResponse),
    /// The key is let go: the next arrival is fresh.
    Released,
    /// It may have been done. Nobody tries again under this key.
    OutcomeUnknown,
}
