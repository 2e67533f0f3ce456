//! Refunds under an idempotency key. A refund whose answer was lost is never sent again: Khipu's list of the payment's
//! refunds shows whether it was made.
//!
//! What is needed for that is kept as records of the idempotency store: the refunds before the call, which request a refund
//! belongs to, and the answer that was found.

use std::sync::Arc;

use bytes::Bytes;
use chasqui_khipu::wire::{PaymentResponse, RefundRequest, Refunds, refund_id};
use chasqui_khipu::{KhipuCall, KhipuResponse};
use chasqui_payment::PaymentId;
use chasqui_store::{
    BeginOutcome, Completion, IdempotencyKey, IdempotentRequest, StoreError, StoredResponse,
};
use sha2::{Digest, Sha256};

use crate::account::Account;
use crate::clock;
use crate::error::{PaymentsError, RefreshError};
use crate::idempotency::{IdempotencyError, IdempotentResult};
use crate::payments::Payments;

/// The records of a refund, by the route of their keys.
const BEFORE: &str = "refunds before";
const OWNER: &str = "refund's request";
const FOUND: &str = "refund found";

/// One refund, as its merchant asks for it.
#[derive(Debug, Clone)]
pub struct RefundCall {
    pub payment_id: PaymentId,
    pub request: RefundRequest,
    pub call: KhipuCall,
}

impl Payments {
    /// Refunds once under this key. A repeat after a lost answer returns the answer from Khipu's list, or an error if the
    /// list does not show the refund. `fingerprint` and `render`: see [`Payments::run_idempotent`].
    pub async fn refund_once(
        self: &Arc<Self>,
        account: &Arc<Account>,
        refund: RefundCall,
        key: IdempotencyKey,
        fingerprint: [u8; 32],
        render: impl FnOnce(&Result<KhipuResponse, PaymentsError>) -> StoredResponse + Send + 'static,
    ) -> Result<IdempotentResult<KhipuResponse>, IdempotencyError> {
        let work = {
            let (payments, account) = (Arc::clone(self), Arc::clone(account));
            let (refund, key) = (refund.clone(), key.clone());
            // Boxed: it is large, and would be copied from future to future.
            Box::pin(async move { payments.read_and_refund(&account, refund, &key).await })
        };
        let result = self
            .run_idempotent(key.clone(), fingerprint, work, render)
            .await;
        match result {
            Err(unresolved @ (IdempotencyError::InProgress | IdempotencyError::OutcomeUnknown)) => {
                match self.find_refund(account, &refund, &key).await {
                    Ok(Some(found)) => Ok(IdempotentResult::Replayed(found)),
                    Ok(None) => Err(unresolved),
                    Err(error) => {
                        tracing::warn!(payment_id = %refund.payment_id, %error, "the outcome of a refund could not be read");
                        Err(unresolved)
                    }
                }
            }
            result => result,
        }
    }

    /// Reads the payment's refunds, keeps them, and only then asks Khipu for another.
    async fn read_and_refund(
        self: &Arc<Self>,
        account: &Arc<Account>,
        refund: RefundCall,
        key: &IdempotencyKey,
    ) -> Result<KhipuResponse, PaymentsError> {
        let id = &refund.payment_id;
        self.own_payment(account, id).await?;
        let payment = self
            .refresh_now(account, id)
            .await
            .map_err(|error| match error {
                RefreshError::Khipu(error) if !error.is_not_found() => {
                    PaymentsError::NotSent(error)
                }
                error => error.into(),
            })?;
        let before = Refunds::of(&payment, None);
        self.remember(record(BEFORE, key), to_json(&before)).await?;
        let response = self
            .forward(account, refund.call.clone(), Some(id.clone()))
            .await?;
        if let Err(error) = self
            .claim_own_refund(account, &refund, key, &before, &response)
            .await
        {
            tracing::warn!(payment_id = %id, %error, "a refund could not be recorded as its request's; a later one with a lost answer may be taken for it");
        }
        Ok(response)
    }

    /// Records which refund this request made, so that no other request takes it for its own.
    async fn claim_own_refund(
        self: &Arc<Self>,
        account: &Arc<Account>,
        refund: &RefundCall,
        key: &IdempotencyKey,
        before: &Refunds,
        response: &KhipuResponse,
    ) -> Result<(), PaymentsError> {
        if let Some(id) = refund_id(&response.body) {
            self.claim(refund, key, &id).await?;
            return Ok(());
        }
        let payment = self.refresh_now(account, &refund.payment_id).await?;
        let after = Refunds::of(&payment, Some(before));
        for candidate in refund.request.candidates(before, &after) {
            if self.claim(refund, key, &candidate.id).await? {
                break;
            }
        }
        Ok(())
    }

    /// The answer of a refund that was begun and whose answer was lost, if Khipu's list shows it.
    async fn find_refund(
        self: &Arc<Self>,
        account: &Arc<Account>,
        refund: &RefundCall,
        key: &IdempotencyKey,
    ) -> Result<Option<StoredResponse>, PaymentsError> {
        if let Some(found) = self.recall(record(FOUND, key)).await? {
            return Ok(Some(found));
        }
        let Some(stored) = self.recall(record(BEFORE, key)).await? else {
            return Ok(None);
        };
        let Ok(before) = serde_json::from_slice::<Refunds>(&stored.body) else {
            return Ok(None);
        };
        let payment: Arc<PaymentResponse> = self.refresh_now(account, &refund.payment_id).await?;
        let after = Refunds::of(&payment, Some(&before));
        for candidate in refund.request.candidates(&before, &after) {
            if self.claim(refund, key, &candidate.id).await? {
                let answer = refund.request.answer(candidate, &payment);
                let found = self.remember(record(FOUND, key), answer).await?;
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// Whether the refund belongs to this request: the first that claims it has it.
    async fn claim(
        &self,
        refund: &RefundCall,
        key: &IdempotencyKey,
        refund_id: &str,
    ) -> Result<bool, StoreError> {
        let claim = IdempotentRequest {
            key: IdempotencyKey {
                account: key.account.clone(),
                route: OWNER,
                key: format!("{} {refund_id}", refund.payment_id),
            },
            fingerprint: Sha256::digest(format!("{} {}", key.route, key.key)).into(),
            arrival: rand::random(),
            at: clock::now(),
        };
        let begun = self.store.begin(&claim).await?;
        if begun == BeginOutcome::Started {
            self.store
                .complete(&claim, &Completion::Response(kept(Bytes::new())))
                .await?;
        }
        Ok(begun != BeginOutcome::KeyReused)
    }

    /// Keeps a value under a record's key, unless there is one already. Returns the value that stands.
    async fn remember(
        &self,
        record: IdempotentRequest,
        value: Bytes,
    ) -> Result<StoredResponse, StoreError> {
        match self.store.begin(&record).await? {
            BeginOutcome::Replay(stands) => Ok(stands),
            _ => {
                let value = kept(value);
                self.store
                    .complete(&record, &Completion::Response(value.clone()))
                    .await?;
                Ok(value)
            }
        }
    }

    async fn recall(
        &self,
        record: IdempotentRequest,
    ) -> Result<Option<StoredResponse>, StoreError> {
        match self.store.begin(&record).await? {
            BeginOutcome::Replay(value) => Ok(Some(value)),
            BeginOutcome::Started => {
                self.store.complete(&record, &Completion::Released).await?;
                Ok(None)
            }
            _ => Ok(None),
        }
    }
}

/// A record that belongs to a request.
fn record(kind: &'static str, of: &IdempotencyKey) -> IdempotentRequest {
    IdempotentRequest {
        key: IdempotencyKey {
            account: of.account.clone(),
            route: kind,
            key: format!("{} {}", of.route, of.key),
        },
        fingerprint: [0; 32],
        arrival: rand::random(),
        at: clock::now(),
    }
}

fn kept(body: Bytes) -> StoredResponse {
    StoredResponse { status: 200, body }
}

#[expect(clippy::expect_used, reason = "text and lists alone")]
fn to_json(refunds: &Refunds) -> Bytes {
    serde_json::to_vec(refunds).expect("JSON of text").into()
}
