//! Deliveries that a merchant asks for again.

use std::sync::Arc;
use std::time::Duration;

use chasqui_payment::{DeliveryState, PaymentId, Status, Timestamp, Undelivered};
use chasqui_store::Redelivery;
use futures_util::{StreamExt, TryStreamExt, stream};
use tokio::time::timeout;

use crate::account::Account;
use crate::clock;
use crate::error::{PaymentsError, RefreshError};
use crate::notifications::may_be_delivered;
use crate::payments::Payments;

/// How long Khipu is waited for, where the notification's bytes are gone.
const REBUILD_TIMEOUT: Duration = Duration::from_secs(15);

/// How long Khipu is waited for, where the bytes are here and it may know of a reversal.
const REVERSAL_TIMEOUT: Duration = Duration::from_secs(3);

/// The most dead deliveries that one call reopens.
const REDELIVERIES_LIMIT: usize = 10_000;

/// The deliveries that one listing reads, and those that are reopened at once.
const PAGE: usize = 500;
const AT_ONCE: usize = 64;

/// The time between two reopened deliveries, so that a merchant that is back does not get all of them in one moment.
const SPACING: Duration = Duration::from_millis(20);

#[derive(Debug, thiserror::Error)]
pub enum RedeliveryError {
    #[error("the payment is {}: only a confirmed one is delivered", .0.as_str())]
    NotConfirmed(Status),
    #[error("neither the payment nor its account has a notify_url")]
    NoDestination,
    /// The notification's bytes are gone, and Khipu does not give the content.
    #[error("the notification was erased, and khipu does not give its content: {0}")]
    Erased(String),
    #[error(transparent)]
    Payments(#[from] PaymentsError),
}

/// What a bulk redelivery did, or would do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Redeliveries {
    pub count: usize,
    /// There may be more: one call reopens 10,000.
    pub has_more: bool,
}

impl Payments {
    /// Makes the delivery of a confirmed payment due now; one that is open stays as it is.
    pub async fn redeliver(
        self: &Arc<Self>,
        account: &Arc<Account>,
        id: &PaymentId,
    ) -> Result<(), RedeliveryError> {
        let payment = self.require_payment(account, id).await?;
        if payment.state.status() != Status::Confirmed {
            return Err(RedeliveryError::NotConfirmed(payment.state.status()));
        }
        if payment.urls.notify_url.is_none() && account.notify_url.is_none() {
            return Err(RedeliveryError::NoDestination);
        }
        // Before the bytes are looked at: an open delivery needs no answer of Khipu's now.
        let delivery = self.store.delivery(id).await;
        let delivery = delivery.map_err(PaymentsError::from)?;
        if delivery.is_some_and(|delivery| delivery.state == DeliveryState::Open) {
            return Ok(());
        }
        let stored = self.store.notification(id).await;
        let stored = stored.map_err(PaymentsError::from)?;
        if stored.is_some_and(|stored| may_be_delivered(&stored, &payment, account)) {
            self.learn_of_reversal(account, id).await;
        } else {
            self.require_content(account, id).await?;
        }
        self.reopen(account, id, clock::now()).await?;
        self.wake.deliveries.notify_one();
        Ok(())
    }

    /// A delivery means "paid", and the payment may have been reversed since it was confirmed. Without an answer of Khipu's
    /// what is known here counts.
    async fn learn_of_reversal(self: &Arc<Self>, account: &Arc<Account>, id: &PaymentId) {
        let asked = async {
            self.acquire_for_visit(account, id).await?;
            self.refresh_now(account, id).await
        };
        match timeout(REVERSAL_TIMEOUT, asked).await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => {
                tracing::info!(payment_id = %id, %error, "khipu could not be asked before a redelivery");
            }
            Err(_) => {
                tracing::info!(payment_id = %id, "khipu did not answer in time before a redelivery");
            }
        }
    }

    /// Fails unless Khipu gives what a delivery would have to say. Not kept: an attempt asks Khipu again.
    async fn require_content(
        self: &Arc<Self>,
        account: &Arc<Account>,
        id: &PaymentId,
    ) -> Result<(), RedeliveryError> {
        let rebuilt = async {
            match self.acquire_for_visit(account, id).await {
                Ok(()) => {}
                Err(error @ RefreshError::Busy { .. }) => {
                    return Err(RedeliveryError::Payments(error.into()));
                }
                Err(error) => return Err(RedeliveryError::Erased(error.to_string())),
            }
            let rebuilt = self.rebuild_notification(account, id).await;
            rebuilt.map_err(RedeliveryError::Erased)
        };
        match timeout(REBUILD_TIMEOUT, rebuilt).await {
            Ok(rebuilt) => rebuilt.map(drop),
            Err(_) => Err(RedeliveryError::Erased("no answer in time".into())),
        }
    }

    async fn reopen(
        &self,
        account: &Account,
        id: &PaymentId,
        at: Timestamp,
    ) -> Result<bool, RedeliveryError> {
        let reopened = self.store.redeliver(&account.name, id, at).await;
        match reopened.map_err(PaymentsError::from)? {
            Redelivery::Reopened => Ok(true),
            Redelivery::AlreadyOpen => Ok(false),
            Redelivery::UnknownPayment => Err(PaymentsError::UnknownPayment.into()),
            // Reversed in this moment.
            Redelivery::NotConfirmed => Err(RedeliveryError::NotConfirmed(Status::Reversed)),
        }
    }

    /// Reopens the account's dead deliveries of confirmed payments, one after the other, or counts them. Collected first, so
    /// that one that dies again meanwhile is not reopened for ever.
    pub async fn redeliver_dead(
        &self,
        account: &Account,
        dry_run: bool,
    ) -> Result<Redeliveries, RedeliveryError> {
        let (ids, has_more) = self.dead_deliveries(account).await?;
        if dry_run {
            let count = ids.len();
            return Ok(Redeliveries { count, has_more });
        }
        let mut due_at = clock::now();
        let reopening = ids.into_iter().map(|id| {
            let at = due_at;
            due_at = due_at.plus(SPACING);
            async move {
                match self.reopen(account, &id, at).await {
                    Err(RedeliveryError::NotConfirmed(_)) => Ok(false),
                    reopened => reopened,
                }
            }
        });
        let reopened = stream::iter(reopening).buffer_unordered(AT_ONCE);
        let count = reopened
            .try_fold(0, async |count, reopened| Ok(count + usize::from(reopened)))
            .await?;
        self.wake.deliveries.notify_one();
        Ok(Redeliveries { count, has_more })
    }

    /// Those of payments that are confirmed still, at most the limit, and whether there may be more.
    async fn dead_deliveries(
        &self,
        account: &Account,
    ) -> Result<(Vec<PaymentId>, bool), PaymentsError> {
        let mut dead = Vec::new();
        let mut after = None;
        while dead.len() <= REDELIVERIES_LIMIT {
            let page = self
                .undelivered(account, Undelivered::Dead, after.as_ref(), PAGE)
                .await?;
            // The payment after which to go on expired meanwhile: the next call begins from the first one.
            let Some(page) = page else {
                return Ok((dead, true));
            };
            let ids: Vec<_> = page.into_iter().map(|listed| listed.payment_id).collect();
            after = ids.last().cloned();
            let states = self.store.states(&ids).await?;
            let is_last = ids.len() < PAGE;
            let confirmed = ids.into_iter().zip(states).filter(|(_, state)| {
                state.is_some_and(|state| state.status() == Status::Confirmed)
            });
            dead.extend(confirmed.map(|(id, _)| id));
            if is_last {
                break;
            }
        }
        let has_more = dead.len() > REDELIVERIES_LIMIT;
        dead.truncate(REDELIVERIES_LIMIT);
        Ok((dead, has_more))
    }
}

#[cfg(test)]
mod tests {
    use chasqui_payment::{JobKind, NewJob, StatusKind};
    use chasqui_store::{Delivery, JobResult};

    use super::*;
    use crate::tests::fixture::{Stage, id};

    /// Confirmed payments whose deliveries are dead, the first scheduled first.
    async fn dead_letters(stage: &Stage, count: usize) -> Vec<PaymentId> {
        let ids: Vec<_> = (0..count).map(|n| id(&format!("p{n:05}"))).collect();
        for id in &ids {
            let jobs = vec![NewJob::delivery(clock::now())];
            stage.commit_with(id, StatusKind::Confirmed, jobs).await;
        }
        let lease = Duration::from_secs(60);
        let due = clock::now();
        let leased = stage.store.lease_due(JobKind::Delivery, due, count, lease);
        for leased in leased.await.expect("lease") {
            let finished = stage.store.finish(&leased, &JobResult::Dead, None).await;
            assert!(finished.expect("finish"));
        }
        ids
    }

    async fn delivery(stage: &Stage, id: &PaymentId) -> Delivery {
        let delivery = stage.store.delivery(id).await.expect("read");
        delivery.expect("a delivery")
    }

    #[tokio::test]
    async fn dead_letters_of_several_pages_are_due_one_after_the_other() {
        let stage = Stage::in_memory();
        let count = 2 * PAGE + 1;
        let ids = dead_letters(&stage, count).await;
        let all = Redeliveries {
            count,
            has_more: false,
        };
        let account = stage.account();
        let counted = stage.payments.redeliver_dead(account, true).await;
        assert_eq!(counted.expect("counted"), all);
        assert_eq!(
            delivery(&stage, &ids[0]).await.next_at,
            None,
            "counted only"
        );

        let reopened = stage.payments.redeliver_dead(account, false).await;
        assert_eq!(reopened.expect("reopened"), all);
        let mut due = Vec::new();
        for id in &ids {
            due.push(delivery(&stage, id).await.next_at.expect("open"));
        }
        due.sort_unstable();
        for two in due.windows(2) {
            assert_eq!(two[1].since(two[0]), SPACING);
        }
        let again = stage.payments.redeliver_dead(account, false).await;
        assert_eq!(again.expect("none").count, 0);
    }

    #[tokio::test]
    async fn one_call_reopens_a_limited_number_and_the_next_the_others() {
        let stage = Stage::in_memory();
        dead_letters(&stage, REDELIVERIES_LIMIT + 2).await;
        for (dry_run, count, has_more) in [
            (true, REDELIVERIES_LIMIT, true),
            (false, REDELIVERIES_LIMIT, true),
            (false, 2, false),
            (false, 0, false),
        ] {
            let redelivered = stage.payments.redeliver_dead(stage.account(), dry_run);
            let expected = Redeliveries { count, has_more };
            assert_eq!(redelivered.await.expect("redelivered"), expected);
        }
    }

    #[tokio::test]
    async fn a_reversed_payment_is_neither_counted_nor_reopened() {
        let stage = Stage::in_memory();
        let ids = dead_letters(&stage, 2).await;
        stage.commit(&ids[0], StatusKind::Reversed).await;
        for dry_run in [true, false] {
            let redelivered = stage.payments.redeliver_dead(stage.account(), dry_run);
            assert_eq!(redelivered.await.expect("redelivered").count, 1);
        }
        assert_eq!(delivery(&stage, &ids[0]).await.next_at, None);
    }
}
