//! Asking Khipu again and again while somebody wants to know, and not more often than once a round, whichever instances
//! the watchers are on.
//!
//! [`super::desk`] says when, [`super::asking`] how.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;

use super::Gateway;
use super::asking::{Answered, AskError};
use super::desk::{Question, SHORTEST_GAP, Settled};
use crate::account::Account;
use crate::clock;
use crate::payment::PaymentId;

/// How long the ledger may take to say whose turn it is. Then the question is put all the same: watchers are shown Khipu's
/// answer also when the ledger is away.
const TURN_PATIENCE: Duration = Duration::from_secs(1);

impl Gateway {
    /// Asks Khipu about everything that somebody here wants to know, for ever.
    pub async fn follow_watched(self: Arc<Self>) {
        let accounts = self
            .accounts
            .iter()
            .map(|account| Arc::clone(&self).follow_account(Arc::clone(account)));
        futures_util::future::join_all(accounts).await;
    }

    async fn follow_account(self: Arc<Self>, account: Arc<Account>) {
        let desk = self.desk(&account);
        let slots = Arc::new(Semaphore::new(self.limits.questions_in_flight));
        // The semaphore is never closed.
        while let Ok(slot) = Arc::clone(&slots).acquire_owned().await {
            let question = desk.next(|id| self.hub.is_watched(id)).await;
            let (gateway, account) = (Arc::clone(&self), Arc::clone(&account));
            tokio::spawn(async move {
                gateway.ask_for_watchers(&account, &question).await;
                drop(slot);
            });
        }
    }

    async fn ask_for_watchers(self: &Arc<Self>, account: &Arc<Account>, question: &Question) {
        let id = &question.id;
        let asked = match self.take_turn(id, question.gap).await {
            true => Some(self.ask(account, id).await),
            false => None,
        };
        let settled = match &asked {
            Some(Ok(_)) => Settled::Answered,
            Some(Err(error)) => {
                tracing::debug!(payment_id = %id, %error, "khipu could not be asked");
                Settled::Failed
            }
            None => {
                metrics::counter!("chasqui_questions_left_to_another_total").increment(1);
                Settled::LeftToAnother
            }
        };
        let over = match &asked {
            // Just now the ledger did not answer.
            Some(Err(AskError::Ledger(_))) => false,
            Some(Err(AskError::Khipu(error))) => self.look_again(id, error.is_not_found()).await,
            _ => self.look_again(id, false).await,
        };
        self.desk(account).settle(question, settled, over);
    }

    /// Shows watchers what is committed, and tells whether there is nothing more to ask.
    async fn look_again(&self, id: &PaymentId, not_found: bool) -> bool {
        match self.ledger.payment(id).await {
            Ok(Some(payment)) => {
                // A change that was committed late, or on a path that could not announce it, is told at the latest now.
                self.hub.show(&payment, clock::now());
                payment.state.is_final()
            }
            // Nothing here and nothing at Khipu. One that was made here and that Khipu does not find just now is asked
            // about again.
            Ok(None) => not_found,
            Err(_) => false,
        }
    }

    /// Asks anew, when it is the account's turn. `None`: somebody has just asked about this payment.
    pub async fn ask_in_turn(
        self: &Arc<Self>,
        account: &Arc<Account>,
        id: &PaymentId,
    ) -> Option<Answered> {
        self.desk(account).limiter.turn().await;
        match self.take_turn(id, SHORTEST_GAP).await {
            true => Some(self.ask_anew(account, id).await),
            false => None,
        }
    }

    /// Whether nobody has asked about the payment within `gap`, on whichever instance; then it is for us to ask.
    pub(super) async fn take_turn(&self, id: &PaymentId, gap: Duration) -> bool {
        let turn = self.ledger.take_turn(id, clock::now(), gap);
        match tokio::time::timeout(TURN_PATIENCE, turn).await {
            Ok(Ok(taken)) => taken,
            Ok(Err(error)) => {
                tracing::debug!(payment_id = %id, %error, "khipu is asked without knowing whose turn it is");
                true
            }
            Err(_) => true,
        }
    }
}
