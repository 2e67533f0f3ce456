//! What is asked of Khipu: one question however many want to know, and again and again while somebody is watching.
//!
//! The schedule of watched payments lives in memory: an instance asks for its own watchers only, and one that dies takes
//! its watchers with it. What must survive a crash is an errand in the ledger instead.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use dashmap::mapref::entry::Entry;
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};
use tokio::sync::{Notify, Semaphore};
use tokio::time::Instant;

use super::{DELIVERY_GRACE, Gateway, GatewayError, delivery};
use crate::account::Account;
use crate::clock;
use crate::khipu::KhipuError;
use crate::khipu::wire::PaymentAnswer;
use crate::ledger::LedgerError;
use crate::payment::{Claim, Observation, Payment, PaymentId, Source, State, Status, Terms};

/// Seconds between two questions about a watched payment: quick while the payer has just come back, then patient.
const INTERVALS: [u64; 8] = [1, 2, 3, 5, 8, 13, 20, 30];

/// Why a question has no answer. Shared by everybody who asked it.
#[derive(Debug, Clone, thiserror::Error)]
pub enum AskError {
    #[error(transparent)]
    Khipu(KhipuError),
    #[error("the ledger is not available: {0}")]
    Ledger(String),
    #[error("the payment belongs to another account")]
    Foreign,
}

impl From<AskError> for GatewayError {
    fn from(error: AskError) -> Self {
        match error {
            AskError::Khipu(error) if error.is_not_found() => Self::UnknownPayment,
            AskError::Khipu(error) => Self::Khipu(error),
            AskError::Ledger(reason) => Self::Ledger(LedgerError::Unavailable(reason)),
            AskError::Foreign => Self::UnknownPayment,
        }
    }
}

impl From<LedgerError> for AskError {
    fn from(error: LedgerError) -> Self {
        match error {
            LedgerError::Foreign => Self::Foreign,
            LedgerError::Unavailable(reason) => Self::Ledger(reason),
        }
    }
}

type Answered = Result<Arc<PaymentAnswer>, AskError>;

/// A question under way.
pub(super) type Question = Shared<BoxFuture<'static, Answered>>;

impl Gateway {
    /// Asks Khipu what it knows of a payment and applies the answer. Whoever asks while the question is under way gets
    /// the same answer. A payment that is not known here is adopted.
    pub async fn ask(self: &Arc<Self>, account: &Arc<Account>, id: &PaymentId) -> Answered {
        let question = match self.questions.entry(id.clone()) {
            Entry::Occupied(question) => question.get().clone(),
            Entry::Vacant(vacant) => {
                let (gateway, account, id) = (Arc::clone(self), Arc::clone(account), id.clone());
                // A task of its own: should everybody who asked go away, the answer is applied all the same.
                let task = tokio::spawn(async move {
                    let answered = gateway.ask_and_apply(&account, &id).await;
                    gateway.questions.remove(&id);
                    answered
                });
                let question = async move {
                    task.await.unwrap_or_else(|error| {
                        Err(AskError::Ledger(format!("the question failed: {error}")))
                    })
                };
                vacant.insert(question.boxed().shared()).clone()
            }
        };
        question.await
    }

    async fn ask_and_apply(&self, account: &Arc<Account>, id: &PaymentId) -> Answered {
        let limiter = self
            .limiters
            .get(&account.name)
            .map(|limiter| Arc::clone(&limiter));
        if let Some(limiter) = &limiter {
            limiter.turn().await;
        }
        let answer = match self.khipu.payment(account, id).await {
            Ok(answer) if answer.payment_id == *id => answer,
            Ok(_) => {
                return Err(AskError::Khipu(KhipuError::Malformed(
                    "it speaks of another payment".into(),
                )));
            }
            Err(error) => {
                let retry_after = match &error {
                    KhipuError::Refused {
                        status: 429,
                        retry_after,
                        ..
                    } => retry_after.or(Some(Duration::from_secs(1))),
                    KhipuError::Failed { retry_after, .. } => *retry_after,
                    _ => None,
                };
                if let (Some(limiter), Some(pause)) = (limiter, retry_after) {
                    limiter.pause_until(Instant::now() + pause.min(Duration::from_secs(60)));
                }
                return Err(AskError::Khipu(error));
            }
        };
        let answer = Arc::new(answer);
        self.apply_answer(account, id, &answer).await?;
        Ok(answer)
    }

    async fn apply_answer(
        &self,
        account: &Arc<Account>,
        id: &PaymentId,
        answer: &PaymentAnswer,
    ) -> Result<(), AskError> {
        let known = match self.ledger.payment(id).await {
            Ok(known) => known,
            Err(error) => {
                // Nobody here need wait for the ledger to hear what Khipu says; it is only not announced elsewhere.
                if let Some(claim) = answer.claim(clock::now()) {
                    self.publish_uncommitted(id, &claim);
                }
                return Err(error.into());
            }
        };
        let payment = match known {
            Some(payment) if payment.account != account.name => return Err(AskError::Foreign),
            Some(payment) if payment.terms.is_some() => payment,
            known => self.adopt(account, id, answer, known).await?,
        };
        let Some(claim) = answer.claim(clock::now()) else {
            return Ok(());
        };
        self.compare(&payment, &claim);
        if claim.status <= payment.state.status {
            return Ok(());
        }
        if claim.status == Status::Confirmed && !agrees(&payment.terms, &answer.terms()) {
            metrics::counter!("chasqui_mismatches_total", "source" => Source::Khipu.as_str())
                .increment(1);
            tracing::error!(payment_id = %id, "khipu's answer disagrees with the payment in amount or currency; it is not confirmed");
            return Ok(());
        }
        let now = clock::now();
        let errands = match claim.status {
            Status::Confirmed => vec![delivery(now.plus(DELIVERY_GRACE))],
            _ => Vec::new(),
        };
        let observation = Observation {
            account: account.name.clone(),
            source: Source::Khipu,
            at: now,
            claim: Some(claim),
            notification: None,
            errands,
        };
        if let Err(error) = self.apply(id, &observation).await {
            self.publish_uncommitted(id, &claim);
            return Err(error.into());
        }
        Ok(())
    }

    /// Takes in a payment that is not known here, or of which only a notification is: made just before a crash, in a
    /// store that was lost, or at Khipu directly.
    async fn adopt(
        &self,
        account: &Arc<Account>,
        id: &PaymentId,
        answer: &PaymentAnswer,
        known: Option<Payment>,
    ) -> Result<Payment, AskError> {
        let ours = self.notify_url(account);
        let reference = answer.reference(&ours);
        let intent = match &reference {
            Some(reference) => self
                .ledger
                .intent(reference)
                .await?
                .filter(|intent| intent.account == account.name),
            None => None,
        };
        let urls = match (&intent, &reference) {
            (Some(intent), _) => intent.urls.clone(),
            // Made here, but the intent is gone: what Khipu holds are our own URLs, which lead nowhere.
            (None, Some(_)) => crate::payment::MerchantUrls::default(),
            (None, None) => {
                let mut urls = answer.urls();
                urls.notify_url = urls.notify_url.filter(|url| !url.starts_with(&ours));
                urls
            }
        };
        let now = clock::now();
        let payment = Payment {
            id: id.clone(),
            account: account.name.clone(),
            terms: answer.terms(),
            urls,
            reference: intent.map(|intent| intent.reference),
            payment_url: answer.payment_url.clone(),
            expires_at: answer.expires_at,
            created_at: now,
            state: known.map_or(State::pending(now), |known| known.state),
        };
        let outcome = self.ledger.create(&payment).await?;
        tracing::info!(payment_id = %id, "a payment that was not known here was adopted");
        metrics::counter!("chasqui_payments_adopted_total").increment(1);
        Ok(Payment {
            state: outcome.after,
            ..payment
        })
    }

    /// A notification said confirmed and Khipu's own answer does not: never lowered, but somebody must look.
    fn compare(&self, payment: &Payment, claim: &Claim) {
        if payment.state.status == Status::Confirmed && claim.status < Status::Confirmed {
            metrics::counter!("chasqui_confirmation_disputed_total").increment(1);
            tracing::error!(
                payment_id = %payment.id,
                khipu_says = claim.status.as_str(),
                "confirmation_disputed: the payment stands at confirmed but khipu's answer does not say so"
            );
        }
    }

    /// The notification that Khipu would have sent for a confirmed payment, from Khipu's own answer.
    pub async fn rebuild_notification(
        self: &Arc<Self>,
        account: &Arc<Account>,
        id: &PaymentId,
    ) -> Result<Bytes, String> {
        let answer = self
            .ask(account, id)
            .await
            .map_err(|error| error.to_string())?;
        match answer.claim(clock::now()) {
            Some(claim) if claim.status == Status::Confirmed => Ok(answer.as_notification()),
            // Reversed since, perhaps: nobody is to be told that it was paid.
            _ => Err("khipu no longer says that it is paid".into()),
        }
    }

    /// Asks as soon as it is this payment's turn, and keeps asking while it is watched.
    pub(super) fn follow(&self, account: &Arc<Account>, id: &PaymentId) {
        self.watched.add(account, id);
    }

    /// The same, when something has just happened to the payment: asks at once, whatever the schedule says, and quickly
    /// again from then on.
    pub(super) fn follow_anew(&self, account: &Arc<Account>, id: &PaymentId) {
        self.watched.urge(account, id);
    }

    /// Asks Khipu about everything that is watched here, for ever.
    pub async fn follow_watched(self: Arc<Self>) {
        let slots = Arc::new(Semaphore::new(self.limits.questions_in_flight));
        loop {
            let (account, id) = self.watched.next().await;
            // The limiter is asked inside the question; holding a slot while waiting for it makes this loop, and so the
            // whole schedule, stretch instead of piling up.
            let Ok(slot) = Arc::clone(&slots).acquire_owned().await else {
                return;
            };
            let gateway = Arc::clone(&self);
            tokio::spawn(async move {
                gateway.ask_for_watchers(&account, &id).await;
                drop(slot);
            });
        }
    }

    async fn ask_for_watchers(self: &Arc<Self>, account: &Arc<Account>, id: &PaymentId) {
        if let Err(error) = self.ask(account, id).await {
            tracing::debug!(payment_id = %id, %error, "khipu could not be asked");
        }
        let over = match self.ledger.read(std::slice::from_ref(id)).await {
            Ok(states) => states[0].is_some_and(|state| state.status.is_final()),
            Err(_) => false,
        };
        self.watched.settle(id, !over && self.hub.is_watched(id));
    }
}

/// Amount at the currency's precision and currency; both sides must say them.
fn agrees(ours: &Option<Terms>, khipus: &Option<Terms>) -> bool {
    match (ours, khipus) {
        (Some(ours), Some(khipus)) => {
            ours.currency == khipus.currency
                && ours.amount.agrees_with(khipus.amount, ours.currency)
        }
        _ => false,
    }
}

/// When to ask about which watched payment. Only what is watched here is on it, so the cap on watchers bounds it.
#[derive(Debug, Default)]
pub(super) struct Agenda {
    plan: Mutex<Plan>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct Plan {
    due: BinaryHeap<Reverse<(Instant, PaymentId)>>,
    entries: HashMap<PaymentId, Entrant>,
}

#[derive(Debug)]
struct Entrant {
    account: Arc<Account>,
    /// When the next question is due; what the heap has of other times is no longer meant.
    due_at: Instant,
    /// How many questions were asked.
    asked: u8,
    /// Somebody new came while the question was under way.
    again: bool,
    under_way: bool,
}

impl Agenda {
    /// Due at once, unless it is on the agenda already: then the next question answers the newcomer too.
    fn add(&self, account: &Arc<Account>, id: &PaymentId) {
        let mut plan = self.plan.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(entrant) = plan.entries.get_mut(id) {
            entrant.again = entrant.under_way;
            return;
        }
        let now = Instant::now();
        let entrant = Entrant {
            account: Arc::clone(account),
            due_at: now,
            asked: 0,
            again: false,
            under_way: false,
        };
        plan.entries.insert(id.clone(), entrant);
        plan.due.push(Reverse((now, id.clone())));
        drop(plan);
        self.changed.notify_one();
    }

    /// Due at once, even if it is on the agenda for later.
    fn urge(&self, account: &Arc<Account>, id: &PaymentId) {
        let mut plan = self.plan.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(entrant) = plan.entries.get_mut(id) else {
            drop(plan);
            return self.add(account, id);
        };
        let now = Instant::now();
        entrant.asked = 0;
        entrant.again = entrant.under_way;
        if entrant.under_way || entrant.due_at <= now {
            return;
        }
        entrant.due_at = now;
        plan.due.push(Reverse((now, id.clone())));
        drop(plan);
        self.changed.notify_one();
    }

    /// The next payment to ask about, when it is due.
    async fn next(&self) -> (Arc<Account>, PaymentId) {
        loop {
            let due = {
                let mut plan = self.plan.lock().unwrap_or_else(PoisonError::into_inner);
                let due = plan.due.peek().map(|Reverse((at, _))| *at);
                if due.is_some_and(|at| at <= Instant::now())
                    && let Some(Reverse((at, id))) = plan.due.pop()
                    && let Some(entrant) = plan.entries.get_mut(&id)
                    && entrant.due_at == at
                    && !entrant.under_way
                {
                    entrant.under_way = true;
                    return (Arc::clone(&entrant.account), id);
                }
                due
            };
            match due {
                Some(at) => {
                    let _ = tokio::time::timeout_at(at, self.changed.notified()).await;
                }
                None => self.changed.notified().await,
            }
        }
    }

    /// The question was answered, or not: asked again later if anybody still wants to know.
    fn settle(&self, id: &PaymentId, wanted: bool) {
        let mut plan = self.plan.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(entrant) = plan.entries.get_mut(id) else {
            return;
        };
        if !wanted && !entrant.again {
            plan.entries.remove(id);
            return;
        }
        let interval = INTERVALS[usize::from(entrant.asked).min(INTERVALS.len() - 1)];
        entrant.asked = entrant.asked.saturating_add(1);
        entrant.again = false;
        entrant.under_way = false;
        entrant.due_at = Instant::now() + Duration::from_secs(interval);
        let due_at = entrant.due_at;
        plan.due.push(Reverse((due_at, id.clone())));
        drop(plan);
        self.changed.notify_one();
    }
}
