//! The checks: asks Khipu about every payment that is not confirmed, watched or not, and whether it agrees with confirmations.
//!
//! A check is a job in the store, so it survives a crash. [`CheckPlan`] says when the next one is due; it ends when the
//! payment is confirmed or reversed, when Khipu knows no such payment, or when the plan has run out. Payments that are
//! watched are asked about much more often, by the gateway.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, Semaphore, watch};
use tokio::time::{Instant, timeout};
use tokio_util::task::TaskTracker;

use crate::clock;
use crate::gateway::{AskError, CHECKS_WAITING, CROSS_CHECK_DELAY, Gateway, InTurn};
use crate::payment::{CheckPlan, JobKind, Payment, Priority, Timestamp, Version, retry};
use crate::store::{JobAttempt, JobQueue, JobResult, LeasedJob, PaymentReader};

/// Checks in hand at once beside those that wait for a slot, and the most that are leased in one step; more wait in the store.
/// An account whose line is full holds up no other's.
const IN_HAND: usize = 32;

/// Longer than a check may take: its wait for a slot (a minute), the question (`khipu.timeout`, 30 s at most) and the store.
const LEASE: Duration = Duration::from_secs(120);

/// How long the store may take, when this instance stops, to be told of the checks that are put back.
const PUT_BACK_WITHIN: Duration = Duration::from_secs(5);

/// Khipu's side that answers may lag behind its side that notifies: "unknown" is believed when it was said so many times.
const TIMES_NOT_FOUND: u32 = 4;

/// How soon to come back to a check because somebody has just asked about its payment.
const ASKED_JUST_NOW: Duration = Duration::from_secs(1);

/// Between two attempts of a check whose payment cannot be read.
const LONGEST_RETRY: Duration = Duration::from_secs(600);

/// How long a cross-check waits for room under the account's limiter once it is due. Then it is dropped and counted.
const CROSS_CHECK_PATIENCE: Duration = Duration::from_secs(600);

/// The agenda is not asked again at once for what is due and in somebody's hands.
const SHORTEST_REST: Duration = Duration::from_millis(50);

/// Between two looks at the agenda, however many checks are scheduled meanwhile: one look finds all of them, and on a store
/// that is shared each costs something in every partition.
const BREATHER: Duration = Duration::from_millis(20);

/// The agenda is looked at no less often: another instance's lease runs out without a sound.
const IDLE: Duration = Duration::from_secs(5);

#[derive(Debug)]
pub struct Reconciler {
    gateway: Arc<Gateway>,
    jobs: Arc<dyn JobQueue>,
    payments: Arc<dyn PaymentReader>,
    wake: Arc<Notify>,
}

impl Reconciler {
    pub fn new(
        gateway: Arc<Gateway>,
        jobs: Arc<dyn JobQueue>,
        payments: Arc<dyn PaymentReader>,
        wake: Arc<Notify>,
    ) -> Self {
        Self {
            gateway,
            jobs,
            payments,
            wake,
        }
    }

    /// Checks until `shutdown`, and then puts back what it has leased, so that the next instance need not wait for the leases
    /// to run out.
    pub async fn run(self, shutdown: impl Future<Output = ()> + Send) {
        let cut = watch::Sender::new(false);
        let checks = TaskTracker::new();
        tokio::select! {
            () = shutdown => {}
            () = Arc::new(self).check_for_ever(&checks, &cut) => {}
        }
        cut.send_replace(true);
        checks.close();
        if timeout(PUT_BACK_WITHIN, checks.wait()).await.is_err() {
            tracing::warn!(
                checks = checks.len(),
                "checks will come back when their leases have run out"
            );
        }
    }

    async fn check_for_ever(self: Arc<Self>, checks: &TaskTracker, cut: &watch::Sender<bool>) {
        let this = self;
        let accounts = this.gateway.accounts.iter().count();
        let hands = Arc::new(Semaphore::new(IN_HAND + accounts * CHECKS_WAITING));
        loop {
            // At least one hand is free when something is claimed; the semaphore is never closed.
            let Ok(free) = hands.acquire().await else {
                return;
            };
            drop(free);
            let looked_at = Instant::now();
            match this
                .jobs
                .lease_due(
                    JobKind::Check,
                    clock::now(),
                    hands.available_permits().min(IN_HAND),
                    LEASE,
                )
                .await
            {
                Ok(claimed) if claimed.is_empty() => this.rest().await,
                Ok(claimed) => {
                    // Each in a task before anything is waited for: whatever is leased is put back at the end.
                    for leased in claimed {
                        let (this, hands, cut) =
                            (Arc::clone(&this), Arc::clone(&hands), cut.subscribe());
                        checks.spawn(async move {
                            let hand = hands.acquire_owned().await;
                            this.check(leased, cut).await;
                            drop(hand);
                        });
                    }
                }
                Err(error) => {
                    tracing::warn!(%error, "the agenda of checks cannot be read");
                    tokio::time::sleep(IDLE).await;
                }
            }
            tokio::time::sleep_until(looked_at + BREATHER).await;
        }
    }

    async fn rest(&self) {
        let until_due = match self.jobs.next_due(JobKind::Check).await {
            Ok(Some(due)) => due.since(clock::now()),
            _ => IDLE,
        };
        // What is due and cannot be claimed is in somebody's hands.
        let _ = timeout(until_due.clamp(SHORTEST_REST, IDLE), self.wake.notified()).await;
    }

    /// Once `cut` is true (or its sender gone) a check that is still under way is put back as it was taken.
    async fn check(&self, mut leased: LeasedJob, mut cut: watch::Receiver<bool>) {
        let started = clock::now();
        let ending = tokio::select! {
            biased;
            _ = cut.wait_for(|cut| *cut) => Ending::Untried { due_at: clock::now() },
            ending = self.ask(&leased) => ending,
        };
        let (result, settlement) = match ending {
            Ending::Over => (None, JobResult::Done),
            Ending::Untried { due_at } => (None, JobResult::PutBack { due_at }),
            Ending::Done(result) => (Some(result), JobResult::Done),
            Ending::GivenUp(result) => {
                metrics::counter!("chasqui_checks_given_up_total").increment(1);
                tracing::warn!(
                    payment_id = %leased.payment_id,
                    "a payment is still not decided long after its expiry; khipu is asked about it again only when it is visited or notified of"
                );
                (Some(result), JobResult::Dead)
            }
            Ending::Again {
                result,
                due_at,
                priority,
            } => {
                leased.priority = priority;
                (Some(result), JobResult::Retry { due_at })
            }
        };
        let attempt = result.map(|result| JobAttempt {
            at: started,
            duration: clock::now().since(started),
            result,
        });
        let settled = self.jobs.finish(&leased, &settlement, attempt.as_ref());
        match settled.await {
            Ok(true) => {}
            Ok(false) => {
                tracing::debug!(payment_id = %leased.payment_id, "a check took longer than its lease")
            }
            Err(error) => {
                tracing::warn!(payment_id = %leased.payment_id, %error, "a check could not be settled")
            }
        }
    }

    async fn ask(&self, leased: &LeasedJob) -> Ending {
        let id = &leased.payment_id;
        let payment = match self.payments.payment(id).await {
            Ok(Some(payment)) => payment,
            Ok(None) => return Ending::Over,
            Err(error) => return unread(leased, error.to_string()),
        };
        if is_over(&payment) {
            if !awaits_cross_check(leased, &payment) {
                return Ending::Over;
            }
            if clock::now() > last_cross_check(&payment) {
                return dropped();
            }
        }
        let Some(account) = self.gateway.accounts.named(&payment.account) else {
            return undecided(
                leased,
                &payment,
                "its account is not configured".into(),
                false,
            );
        };
        let in_turn = self.gateway.ask_in_turn(account, id, leased.priority);
        let asked = match in_turn.await {
            InTurn::Asked(asked) => asked,
            InTurn::AskedJustNow => return put_off(leased, &payment, ASKED_JUST_NOW),
            InTurn::NoRoom { retry_in } => return put_off(leased, &payment, retry_in),
        };
        // With what the answer has changed, such as the terms of a payment that was not known.
        let payment = match self.payments.payment(id).await {
            Ok(Some(payment)) => payment,
            Ok(None) => return Ending::Over,
            Err(error) => return unread(leased, error.to_string()),
        };
        match asked {
            Ok(_) if is_over(&payment) => Ending::Done("khipu answered: final".into()),
            Ok(_) => undecided(
                leased,
                &payment,
                "khipu answered: not final yet".into(),
                true,
            ),
            Err(AskError::Khipu(error)) if error.is_not_found() => {
                not_found(leased, &payment, error.to_string())
            }
            Err(error) => undecided(leased, &payment, error.to_string(), false),
        }
    }
}

/// How a check ends.
#[derive(Debug)]
enum Ending {
    /// There is nothing to ask.
    Over,
    /// Nothing was asked: Khipu was just asked by somebody else, or too many questions wait.
    Untried {
        due_at: Timestamp,
    },
    Done(String),
    Again {
        result: String,
        due_at: Timestamp,
        priority: Priority,
    },
    GivenUp(String),
}

/// Nothing but a cross-check is left to ask.
fn is_over(payment: &Payment) -> bool {
    payment.state.is_final()
}

fn awaits_cross_check(leased: &LeasedJob, payment: &Payment) -> bool {
    leased.priority == Priority::CrossCheck && payment.state.version == Version::CONFIRMED
}

/// A cross-check that found no room until then is not made.
fn last_cross_check(payment: &Payment) -> Timestamp {
    let due_at = payment.state.at.plus(CROSS_CHECK_DELAY);
    due_at.plus(CROSS_CHECK_PATIENCE)
}

fn dropped() -> Ending {
    metrics::counter!("chasqui_cross_checks_dropped_total").increment(1);
    Ending::Over
}

/// Nothing was asked for this check. A cross-check that would come too late is not made.
fn put_off(leased: &LeasedJob, payment: &Payment, wait: Duration) -> Ending {
    let due_at = clock::now().plus(wait);
    match awaits_cross_check(leased, payment) && due_at > last_cross_check(payment) {
        true => dropped(),
        false => Ending::Untried { due_at },
    }
}

/// The plan is not known while the store cannot be read.
fn unread(leased: &LeasedJob, result: String) -> Ending {
    Ending::Again {
        result,
        due_at: clock::now().plus(retry(leased.attempts).unwrap_or(LONGEST_RETRY)),
        priority: leased.priority,
    }
}

fn undecided(leased: &LeasedJob, payment: &Payment, result: String, answered: bool) -> Ending {
    let now = clock::now();
    let attempts = leased.attempts;
    if is_over(payment) {
        return match retry(attempts) {
            Some(after) if awaits_cross_check(leased, payment) => Ending::Again {
                result,
                due_at: now.plus(after),
                priority: leased.priority,
            },
            _ => Ending::Done(result),
        };
    }
    match CheckPlan::of(payment).after(leased.priority, attempts, answered, now) {
        Some((due_at, priority)) => Ending::Again {
            result,
            due_at,
            priority,
        },
        None => Ending::GivenUp(result),
    }
}

/// Khipu's side that answers may lag behind its side that notifies: of a payment that was not made here it is believed when
/// it has said so a few times.
fn not_found(leased: &LeasedJob, payment: &Payment, result: String) -> Ending {
    if payment.terms.is_none() && leased.attempts + 1 >= TIMES_NOT_FOUND {
        tracing::warn!(payment_id = %leased.payment_id, "khipu does not know a payment of which it seemed to notify");
        return Ending::Done("khipu knows no such payment".into());
    }
    undecided(leased, payment, result, true)
}

#[cfg(test)]
mod tests;
