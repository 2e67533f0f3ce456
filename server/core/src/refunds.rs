//! Refunds under an idempotency key. A refund whose answer was lost is never sent again: Khipu's list of the payment's
//! refunds shows whether it was made.
//!
//! What is needed for that is kept as records of the idempotency store: the refunds before the call, which request a refund
//! belongs to, and the answer that was found.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use chasqui_khipu::wire::{RefundRequest, Refunds, refund_id};
use chasqui_khipu::{JsonObject, KhipuCall, KhipuError, KhipuResponse};
use chasqui_payment::PaymentId;
use chasqui_store::{
    BeginOutcome, Completion, IdempotencyKey, IdempotentRequest, StoreError, StoredResponse,
};
use sha2::{Digest, Sha256};
use tokio::time::timeout;

use crate::account::Account;
use crate::clock;
use crate::detached::detached;
use crate::error::{PaymentsError, RefreshError};
use crate::forwarding::REFRESH_TIMEOUT;
use crate::idempotency::{IdempotencyError, IdempotentResult};
use crate::payments::Payments;

/// The records of a refund, by the route of their keys.
const BEFORE: &str = "refunds before";
const OWNER: &str = "refund's request";
const FOUND: &str = "refund found";
const RUNNING: &str = "refund running";

/// When to send a refund again while another of its payment runs.
const RUNNING_RETRY_AFTER: Duration = Duration::from_secs(2);

/// How often one key can be sent again after it was released. One more time nothing is sent.
const MAX_SENDS: usize = 100;

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
            Box::pin(async move {
                let running = payments.begin_refund(&account, &refund).await?;
                let refunded = payments.read_and_refund(&account, refund, &key).await;
                payments.end_refund(running).await;
                refunded
            })
        };
        let result = self
            .run_idempotent(key.clone(), fingerprint, work, render)
            .await;
        let Err(IdempotencyError::OutcomeUnknown) = result else {
            return result;
        };
        match self.find_refund(account, &refund, &key).await {
            Ok(Some(found)) => return Ok(IdempotentResult::Replayed(found)),
            Ok(None) => {}
            Err(error) => {
                tracing::warn!(payment_id = %refund.payment_id, %error, "the outcome of a refund could not be read");
            }
        }
        Err(IdempotencyError::OutcomeUnknown)
    }

    /// Refunds without a key: each call is a refund of its own. Where it can be, the refund is recorded as this call's, so
    /// that a request whose answer was lost does not take it for its own.
    pub async fn refund(
        self: &Arc<Self>,
        account: &Arc<Account>,
        refund: RefundCall,
    ) -> Result<KhipuResponse, PaymentsError> {
        self.own_payment(account, &refund.payment_id).await?;
        let (payments, account) = (Arc::clone(self), Arc::clone(account));
        let work = async move {
            // A store that is not available does not keep a refund from Khipu.
            let running = payments.begin_refund(&account, &refund).await;
            let response = payments.send_refund(&account, &refund).await;
            if let Ok(response) = &response {
                let key = IdempotencyKey {
                    account: account.name.clone(),
                    route: "without a key",
                    key: format!("{:032x}", rand::random::<u128>()),
                };
                payments
                    .claim_own_refund(&account, &refund, &key, &Refunds::default(), response)
                    .await;
            }
            if let Ok(running) = running {
                payments.end_refund(running).await;
            }
            response
        };
        detached(work).await?
    }

    /// Keeps the refunds of one payment apart while they run: what Khipu lists afterwards could otherwise be either's.
    /// `RefundInProgress` while another runs. The record of a process that died is no obstacle once its outcome is unknown.
    async fn begin_refund(
        &self,
        account: &Account,
        refund: &RefundCall,
    ) -> Result<IdempotentRequest, PaymentsError> {
        let running = running(account, &refund.payment_id);
        match self.store.begin(&running).await? {
            BeginOutcome::InProgress | BeginOutcome::KeyReused => {
                Err(PaymentsError::RefundInProgress {
                    payment_id: refund.payment_id.clone(),
                    retry_after: RUNNING_RETRY_AFTER,
                })
            }
            _ => Ok(running),
        }
    }

    async fn end_refund(&self, running: IdempotentRequest) {
        if let Err(error) = self.store.complete(&running, &Completion::Released).await {
            tracing::warn!(account = %running.key.account, %error, "the end of a refund could not be recorded; the payment's next refund waits for up to five minutes");
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
        self.remember_before(key, &before).await?;
        let response = self.send_refund(account, &refund).await?;
        JsonObject::parse(&response.body)
            .map_err(|error| KhipuError::Malformed(error.to_string()))?;
        self.claim_own_refund(account, &refund, key, &before, &response)
            .await;
        Ok(response)
    }

    async fn send_refund(
        &self,
        account: &Account,
        refund: &RefundCall,
    ) -> Result<KhipuResponse, PaymentsError> {
        let sent = self.call_at_pace(account, refund.call.clone()).await;
        sent.inspect_err(|error| {
            if let PaymentsError::Khipu(error) = error
                && error.outcome_is_unknown()
            {
                self.schedule(account).poll_now(&refund.payment_id);
            }
        })
    }

    /// Records which refund this request made, so that no other request takes it for its own, and learns what the refund
    /// did to the payment. A slow Khipu or store does not hold the answer up.
    async fn claim_own_refund(
        self: &Arc<Self>,
        account: &Arc<Account>,
        refund: &RefundCall,
        key: &IdempotencyKey,
        before: &Refunds,
        response: &KhipuResponse,
    ) {
        let id = &refund.payment_id;
        let claim = async {
            if let Some(refund_id) = refund_id(&response.body) {
                self.claim(refund, key, &refund_id).await?;
            }
            let payment = self.refresh_now(account, id).await?;
            if refund_id(&response.body).is_none() {
                let after = Refunds::of(&payment, Some(before));
                let candidates: Vec<_> = refund.request.candidates(before, &after).collect();
                for candidate in candidates.into_iter().rev() {
                    if self.claim(refund, key, &candidate.id).await? {
                        break;
                    }
                }
            }
            Ok::<(), PaymentsError>(())
        };
        let problem = match timeout(REFRESH_TIMEOUT, claim).await {
            Ok(Ok(())) => return,
            Ok(Err(error)) => error.to_string(),
            Err(_) => "no answer in time".to_owned(),
        };
        tracing::warn!(payment_id = %id, problem, "a refund could not be recorded as its request's; one of the same amount with a lost answer may be taken for it");
        self.schedule(account).poll_now(id);
    }

    /// The answer of a refund that was begun and whose answer was lost, if Khipu's list shows it.
    async fn find_refund(
        self: &Arc<Self>,
        account: &Arc<Account>,
        refund: &RefundCall,
        key: &IdempotencyKey,
    ) -> Result<Option<StoredResponse>, PaymentsError> {
        if let Some(found) = self.recall(record(FOUND, key, 0)).await? {
            return Ok(Some(found));
        }
        let mut before = None;
        for n in 0..MAX_SENDS {
            match self.recall(record(BEFORE, key, n)).await? {
                Some(stored) => before = Some(stored),
                None => break,
            }
        }
        let before = before.and_then(|stored| serde_json::from_slice::<Refunds>(&stored.body).ok());
        let Some(before) = before else {
            return Ok(None);
        };
        // A refund that runs now may have made what the list shows.
        let running = self.begin_refund(account, refund).await?;
        let found = self.search(account, refund, key, &before).await;
        self.end_refund(running).await;
        found
    }

    async fn search(
        self: &Arc<Self>,
        account: &Arc<Account>,
        refund: &RefundCall,
        key: &IdempotencyKey,
        before: &Refunds,
    ) -> Result<Option<StoredResponse>, PaymentsError> {
        // A merchant may repeat without a pause.
        self.acquire_for_visit(account, &refund.payment_id).await?;
        let payment = self.refresh_now(account, &refund.payment_id).await?;
        let after = Refunds::of(&payment, Some(before));
        for candidate in refund.request.candidates(before, &after) {
            if self.claim(refund, key, &candidate.id).await? {
                let answer = refund.request.answer(candidate, &payment);
                let found = self.remember(record(FOUND, key, 0), answer).await?;
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// Keeps the refunds before this send. Those before an earlier send, which had no effect, are kept too and do not count.
    async fn remember_before(
        &self,
        key: &IdempotencyKey,
        before: &Refunds,
    ) -> Result<(), PaymentsError> {
        for n in 0..MAX_SENDS {
            let record = record(BEFORE, key, n);
            match self.store.begin(&record).await? {
                BeginOutcome::Replay(_) => {}
                _ => {
                    let kept = Completion::Response(kept(to_json(before)));
                    self.store.complete(&record, &kept).await?;
                    return Ok(());
                }
            }
        }
        let reason = format!("the key was sent {MAX_SENDS} times; use a new one");
        Err(StoreError::Unavailable(reason).into())
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

/// The `n`th record of a kind that belongs to a request.
fn record(kind: &'static str, of: &IdempotencyKey, n: usize) -> IdempotentRequest {
    IdempotentRequest {
        key: IdempotencyKey {
            account: of.account.clone(),
            route: kind,
            key: format!("{} {} {n}", of.route, of.key),
        },
        fingerprint: [0; 32],
        arrival: rand::random(),
        at: clock::now(),
    }
}

fn running(account: &Account, payment_id: &PaymentId) -> IdempotentRequest {
    IdempotentRequest {
        key: IdempotencyKey {
            account: account.name.clone(),
            route: RUNNING,
            key: payment_id.to_string(),
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
