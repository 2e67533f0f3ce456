//! Asking Khipu again and again while somebody wants to know, and not more often than once a round, whichever instances
//! the watchers are on.
//!
//! [`super::desk`] says when, [`super::asking`] how.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;

use super::Gateway;
use super::asking::{Answered, AskError};
use super::desk::{Outlook, Question, SHORTEST_GAP, Settled};
use super::limiter::{Class, NoRoom};
use crate::account::Account;
use crate::clock;
use crate::payment::{Kind, PaymentId, Priority};
use crate::store::LONGEST_POLL_LOCK;

/// How long the store may take to say whose turn it is. Then the question is put all the same: watchers are shown Khipu's
/// answer also when the store is away.
const TURN_PATIENCE: Duration = Duration::from_secs(1);

/// Between two tries to be the one who asks about a payment.
const TURN_PAUSE: Duration = Duration::from_millis(300);

/// Questions about confirmed payments that were visited, under way or waiting at once. One more visit asks nothing.
pub(super) const REVISITS: usize = 64;

/// What became of a question that waited for its turn.
#[derive(Debug)]
pub enum InTurn {
    Asked(Answered),
    /// By somebody else, perhaps too early to know what this question is about.
    AskedJustNow,
    /// Nothing was asked, because too many questions wait.
    NoRoom {
        retry_in: Duration,
    },
}

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
        let slots = Arc::new(Semaphore::new(self.polls_in_flight));
        // The semaphore is never closed.
        while let Ok(slot) = Arc::clone(&slots).acquire_owned().await {
            let question = desk.next(|id| self.hub.is_watched(id)).await;
            let (gateway, account) = (Arc::clone(&self), Arc::clone(&account));
            tokio::spawn(async move {
                gateway.ask_for_watchers(&account, question).await;
                drop(slot);
            });
        }
    }

    async fn ask_for_watchers(self: &Arc<Self>, account: &Arc<Account>, mut question: Question) {
        let id = question.id.clone();
        // A slot that is not spent is given back.
        let slot = question.slot.take();
        let asked = match self.try_lock_poll(&id, question.gap).await {
            true => {
                if let Some(slot) = slot {
                    slot.spend();
                }
                Some(self.ask(account, &id).await)
            }
            false => {
                drop(slot);
                None
            }
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
        let outlook = match &asked {
            // Just now the store did not answer.
            Some(Err(AskError::Store(_))) => Outlook::Usual,
            Some(Err(AskError::Khipu(error))) => self.look_again(&id, error.is_not_found()).await,
            _ => self.look_again(&id, false).await,
        };
        self.desk(account).settle(&question, settled, outlook);
    }

    /// Shows watchers what is committed, and tells what there is still to ask.
    async fn look_again(&self, id: &PaymentId, not_found: bool) -> Outlook {
        match self.store.payment(id).await {
            Ok(Some(payment)) => {
                // A change that was committed late, or on a path that could not announce it, is told at the latest now.
                self.hub.show(&payment, clock::now());
                match payment.state.version.kind() {
                    Kind::Confirmed | Kind::Reversed => Outlook::Over,
                    Kind::Expired | Kind::Cancelled | Kind::Rejected => Outlook::Slow,
                    _ => Outlook::Usual,
                }
            }
            // Nothing here and nothing at Khipu. One that was made here and that Khipu does not find just now is asked
            // about again.
            Ok(None) if not_found => Outlook::Over,
            Ok(None) | Err(_) => Outlook::Usual,
        }
    }

    /// Asks anew when it is the turn of a check of this priority.
    pub async fn ask_in_turn(
        self: &Arc<Self>,
        account: &Arc<Account>,
        id: &PaymentId,
        priority: Priority,
    ) -> InTurn {
        let limiter = &self.desk(account).limiter;
        let slot = match limiter.turn_if_room(priority.into()).await {
            Ok(slot) => slot,
            Err(NoRoom { retry_in }) => return InTurn::NoRoom { retry_in },
        };
        if !self.try_lock_poll(id, SHORTEST_GAP).await {
            return InTurn::AskedJustNow;
        }
        slot.spend();
        InTurn::Asked(self.ask_anew(account, id).await)
    }

    /// Returns when it is the turn of a request that waits for Khipu's answer about a payment.
    pub(super) async fn take_slot_for_visit(
        &self,
        account: &Account,
        id: &PaymentId,
    ) -> Result<(), AskError> {
        loop {
            let limiter = &self.desk(account).limiter;
            let slot = limiter.turn_if_room(Class::Visit).await;
            let slot = slot.map_err(|NoRoom { retry_in }| AskError::Busy {
                retry_after: retry_in,
            })?;
            if self.try_lock_poll(id, SHORTEST_GAP).await {
                slot.spend();
                return Ok(());
            }
            // Khipu was asked about the payment a moment ago, perhaps too early.
            drop(slot);
            tokio::time::sleep(TURN_PAUSE).await;
        }
    }

    /// A confirmed payment was visited: Khipu is asked whether it still is, if nobody has for [`LONGEST_POLL_LOCK`] and if nobody
    /// else waits. The visitor does not.
    pub(super) fn revisit(self: &Arc<Self>, account: &Arc<Account>, id: &PaymentId) {
        let Ok(place) = Arc::clone(&self.revisits).try_acquire_owned() else {
            return;
        };
        let (gateway, account, id) = (Arc::clone(self), Arc::clone(account), id.clone());
        tokio::spawn(async move {
            gateway.ask_about_confirmed(&account, &id).await;
            drop(place);
        });
    }

    async fn ask_about_confirmed(self: &Arc<Self>, account: &Arc<Account>, id: &PaymentId) {
        // The slot first: a visit for which there is no room must not use up the ten minutes.
        let limiter = &self.desk(account).limiter;
        let Ok(slot) = limiter.turn_if_room(Class::Confirmed).await else {
            return;
        };
        let turn = self
            .store
            .try_lock_poll(id, clock::now(), LONGEST_POLL_LOCK);
        let turn = tokio::time::timeout(TURN_PATIENCE, turn).await;
        if !matches!(turn, Ok(Ok(true))) {
            return;
        }
        slot.spend();
        if let Err(error) = self.ask_anew(account, id).await {
            tracing::debug!(payment_id = %id, %error, "khipu could not be asked about a confirmed payment");
        }
    }

    /// Whether nobody has asked about the payment within `gap`, on whichever instance; then it is for us to ask.
    pub(super) async fn try_lock_poll(&self, id: &PaymentId, gap: Duration) -> bool {
        let turn = self.store.try_lock_poll(id, clock::now(), gap);
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
