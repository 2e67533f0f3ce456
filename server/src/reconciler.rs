//! Asks Khipu about payments whose notification could not be believed by itself: the agenda's checks.
//!
//! A check survives a crash, for it is an errand in the ledger. It is repeated until Khipu's answer is final, Khipu knows
//! no such payment, or the schedule has run out. Payments that somebody is watching are asked about elsewhere, much more
//! often.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, Semaphore};
use tokio::time::Instant;

use crate::clock;
use crate::gateway::{AskError, Gateway};
use crate::ledger::{Attempt, Leased, Ledger, Settlement};
use crate::payment::{ErrandKind, PaymentId};

/// How long after each check without a final answer the next one follows; after the last the check is given up, and the
/// next notification or watcher begins anew.
const INTERVALS: [Duration; 9] = [
    Duration::from_secs(5),
    Duration::from_secs(30),
    Duration::from_secs(2 * 60),
    Duration::from_secs(10 * 60),
    Duration::from_secs(3600),
    Duration::from_secs(6 * 3600),
    Duration::from_secs(12 * 3600),
    Duration::from_secs(24 * 3600),
    Duration::from_secs(24 * 3600),
];

/// Checks in hand at once; more wait in the ledger.
const IN_HAND: usize = 32;

/// Longer than a check may take: its wait for the account's turn behind the others in hand, a pause that Khipu asked for
/// (a minute at most), the question (`khipu.timeout`, 30 s at most) and the ledger.
const LEASE: Duration = Duration::from_secs(180);

/// Khipu's side that answers may lag behind its side that notifies: only so many times "unknown" are believed.
const TIMES_NOT_FOUND: u32 = 4;

/// How soon to come back to a check because somebody has just asked about its payment.
const ASKED_JUST_NOW: Duration = Duration::from_secs(1);

/// The agenda is not asked again at once for what is due and in somebody's hands.
const SHORTEST_REST: Duration = Duration::from_millis(50);

/// Between two looks at the agenda, however many checks are scheduled meanwhile: one look finds all of them, and on a ledger
/// that is shared each costs something in every partition.
const BREATHER: Duration = Duration::from_millis(20);

/// The agenda is looked at no less often: another instance's lease runs out without a sound.
const IDLE: Duration = Duration::from_secs(5);

#[derive(Debug)]
pub struct Reconciler {
    gateway: Arc<Gateway>,
    ledger: Arc<dyn Ledger>,
    wake: Arc<Notify>,
}

impl Reconciler {
    pub fn new(gateway: Arc<Gateway>, ledger: Arc<dyn Ledger>, wake: Arc<Notify>) -> Self {
        Self {
            gateway,
            ledger,
            wake,
        }
    }

    /// Works until it is dropped. What was claimed and not settled is taken up again when its lease has run out.
    pub async fn run(self) {
        let this = Arc::new(self);
        let hands = Arc::new(Semaphore::new(IN_HAND));
        loop {
            // At least one hand is free when something is claimed; the semaphore is never closed.
            let Ok(free) = hands.acquire().await else {
                return;
            };
            drop(free);
            let looked_at = Instant::now();
            match this
                .ledger
                .claim(
                    ErrandKind::Check,
                    clock::now(),
                    hands.available_permits(),
                    LEASE,
                )
                .await
            {
                Ok(claimed) if claimed.is_empty() => this.rest().await,
                Ok(claimed) => {
                    for leased in claimed {
                        let Ok(hand) = Arc::clone(&hands).acquire_owned().await else {
                            return;
                        };
                        let this = Arc::clone(&this);
                        tokio::spawn(async move {
                            this.check(leased).await;
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
        let until_due = match self.ledger.next_due(ErrandKind::Check).await {
            Ok(Some(due)) => due.since(clock::now()),
            _ => IDLE,
        };
        // What is due and cannot be claimed is in somebody's hands.
        let _ =
            tokio::time::timeout(until_due.clamp(SHORTEST_REST, IDLE), self.wake.notified()).await;
    }

    async fn check(&self, leased: Leased) {
        let started = clock::now();
        let asked = self.ask(&leased.payment_id, leased.attempts).await;
        let (attempt, settlement) = match asked {
            Some((result, settlement)) => {
                let attempt = Attempt {
                    at: started,
                    duration: clock::now().since(started),
                    result,
                };
                (Some(attempt), settlement)
            }
            None => {
                let due_at = clock::now().plus(ASKED_JUST_NOW);
                (None, Settlement::Untried { due_at })
            }
        };
        let settled = self.ledger.settle(&leased, &settlement, attempt.as_ref());
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

    /// `None`: somebody has just asked, perhaps too early to know what this check is about.
    async fn ask(&self, id: &PaymentId, attempts: u32) -> Option<(String, Settlement)> {
        let payment = match self.ledger.payment(id).await {
            Ok(Some(payment)) => payment,
            Ok(None) => return Some(("the payment is gone".into(), Settlement::Done)),
            Err(error) => return Some((error.to_string(), again(attempts))),
        };
        let Some(account) = self.gateway.accounts.named(&payment.account) else {
            let result = "its account is no longer configured".into();
            return Some((result, again(attempts)));
        };
        Some(match self.gateway.ask_in_turn(account, id).await? {
            Ok(_) => match self.ledger.read(std::slice::from_ref(id)).await {
                Ok(states) if states[0].is_some_and(|state| state.is_final()) => {
                    ("khipu answered: final".into(), Settlement::Done)
                }
                _ => ("khipu answered: not final yet".into(), again(attempts)),
            },
            Err(AskError::Khipu(error))
                if error.is_not_found() && attempts + 1 >= TIMES_NOT_FOUND =>
            {
                tracing::warn!(payment_id = %id, "khipu knows no payment of which it seemed to notify");
                ("khipu knows no such payment".into(), Settlement::Done)
            }
            Err(error) => (error.to_string(), again(attempts)),
        })
    }
}

fn again(attempts: u32) -> Settlement {
    match INTERVALS.get(attempts as usize) {
        Some(interval) => Settlement::Again {
            due_at: clock::now().plus(*interval),
        },
        None => Settlement::Dead,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gateway::fixture::{Stage, id};
    use crate::ledger::Event;
    use crate::payment::{Errand, Kind};

    /// What is recorded of one check, and the check as the next claim finds it.
    async fn checked(stage: &Stage) -> (Vec<Event>, Leased) {
        let reconciler = Reconciler::new(
            Arc::clone(&stage.gateway),
            Arc::clone(&stage.ledger),
            Arc::default(),
        );
        let claim = async |now| {
            let claimed = stage.ledger.claim(ErrandKind::Check, now, 9, LEASE).await;
            claimed.expect("claimed").pop().expect("a check")
        };
        let before = clock::now();
        reconciler.check(claim(before).await).await;
        let due = stage.ledger.next_due(ErrandKind::Check).await;
        let due = due.expect("read").expect("put back");
        assert!(due >= before.plus(ASKED_JUST_NOW), "not at once");
        let timeline = stage.ledger.timeline(&id("a")).await.expect("timeline");
        let attempts = timeline.into_iter().map(|entry| entry.event);
        let attempts = attempts.filter(|event| matches!(event, Event::Attempted { .. }));
        (attempts.collect(), claim(due).await)
    }

    async fn stage() -> Stage {
        let stage = Stage::in_memory();
        let check = Errand {
            kind: ErrandKind::Check,
            due_at: clock::now(),
        };
        let errands = vec![check];
        stage.commit_with(&id("a"), Kind::Verifying, errands).await;
        stage
    }

    #[tokio::test]
    async fn a_check_of_what_was_just_asked_about_is_put_off_and_is_no_attempt() {
        let stage = stage().await;
        let minute = Duration::from_secs(60);
        let turn = stage.ledger.take_turn(&id("a"), clock::now(), minute).await;
        assert!(turn.expect("taken"), "another instance asks");
        let (attempts, next) = checked(&stage).await;
        assert_eq!((attempts, next.attempts), (Vec::new(), 0));
    }

    #[tokio::test]
    async fn a_check_takes_the_turn_and_is_an_attempt() {
        let stage = stage().await;
        let (attempts, next) = checked(&stage).await;
        assert_eq!((attempts.len(), next.attempts), (1, 1));
        let minute = Duration::from_secs(60);
        let turn = stage.ledger.take_turn(&id("a"), clock::now(), minute).await;
        assert!(!turn.expect("asked"), "it was the check's");
    }
}
