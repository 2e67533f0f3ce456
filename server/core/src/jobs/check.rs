//! A check: asks Khipu about a payment that is not confirmed, watched or not, or whether it agrees with a confirmation.
//!
//! [`CheckPlan`] says when the next one is due. Checks end when the payment is confirmed or reversed, when Khipu knows no such
//! payment, or when the plan has run out. The gateway asks about watched payments much more often.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::worker::{JobEnd, JobHandler, STORE_TIMEOUT, WorkerLimits, within};
use crate::clock;
use crate::error::RefreshError;
use crate::payments::{CROSS_CHECK_DELAY, Payments};
use crate::poller::PollOutcome;
use crate::rate_limiter::CHECKS_WAITING;
use chasqui_payment::{CheckPlan, JobKind, JobPriority, Payment, Timestamp, Version, retry};
use chasqui_store::{JobAttempt, JobResult, LeasedJob, PaymentReader, StoreError};

/// Checks that run at once beside those that wait for a slot, and the most that are leased in one step. An account whose
/// queue for slots is full holds up no other's.
const AT_ONCE: usize = 32;

/// A check's wait for a slot (a minute), Khipu's answer (`khipu.timeout`, 30 s at most) and its effect on the store.
const ASK_TIMEOUT: Duration = Duration::from_secs(100);

/// Khipu's answers may lag behind its notifications: "unknown" counts only when it was answered this many times.
const TIMES_NOT_FOUND: u32 = 4;

/// How soon a check is due again whose payment was asked about just now.
const ASKED_JUST_NOW: Duration = Duration::from_secs(1);

/// Between two attempts of a check whose payment cannot be read.
const LONGEST_RETRY: Duration = Duration::from_secs(600);

/// How long a cross-check waits for room under the account's limiter once it is due. Then it is dropped and counted.
const CROSS_CHECK_PATIENCE: Duration = Duration::from_secs(600);

#[derive(Debug)]
pub struct CheckHandler {
    gateway: Arc<Payments>,
    payments: Arc<dyn PaymentReader>,
}

/// What becomes of a check, and for its timeline what Khipu answered; `None`: Khipu was not asked.
type CheckEnd = (JobResult, Option<String>);

const OVER: CheckEnd = (JobResult::Done, None);

impl CheckHandler {
    pub fn new(gateway: Arc<Payments>, payments: Arc<dyn PaymentReader>) -> Self {
        Self { gateway, payments }
    }

    pub fn worker_limits(&self) -> WorkerLimits {
        WorkerLimits {
            in_flight: AT_ONCE + self.gateway.accounts.iter().count() * CHECKS_WAITING,
            batch: AT_ONCE,
            lease: Duration::from_secs(120),
            // Shorter than what the last requests are granted, so that what is cut off can still be put back.
            drain: Duration::from_millis(500),
        }
    }

    async fn check(&self, job: &mut LeasedJob) -> CheckEnd {
        let id = &job.payment_id;
        let payment = match within(self.payments.payment(id)).await {
            Ok(Some(payment)) => payment,
            Ok(None) => return OVER,
            Err(error) => return unread(job, &error),
        };
        if is_over(&payment) {
            if !awaits_cross_check(job, &payment) {
                return OVER;
            }
            if clock::now() > last_cross_check(&payment) {
                return dropped();
            }
        }
        let Some(account) = self.gateway.accounts.named(&payment.account) else {
            return undecided(job, &payment, "its account is not configured".into(), false);
        };
        let in_turn = self.gateway.poll_once(account, id, job.priority);
        let asked = match timeout(ASK_TIMEOUT, in_turn).await {
            Ok(PollOutcome::Polled(asked)) => asked,
            Ok(PollOutcome::JustPolled) => return put_off(job, &payment, ASKED_JUST_NOW),
            Ok(PollOutcome::Busy { retry_in }) => return put_off(job, &payment, retry_in),
            Err(_) => return undecided(job, &payment, "no answer in time".into(), false),
        };
        // With what the answer has changed, such as the terms of a payment that was not known.
        let payment = match within(self.payments.payment(id)).await {
            Ok(Some(payment)) => payment,
            Ok(None) => return OVER,
            Err(error) => return unread(job, &error),
        };
        match asked {
            Ok(_) if is_over(&payment) => (JobResult::Done, Some("khipu answered: final".into())),
            Ok(_) => undecided(job, &payment, "khipu answered: not final yet".into(), true),
            Err(RefreshError::Khipu(error)) if error.is_not_found() => {
                not_found(job, &payment, error.to_string())
            }
            Err(error) => undecided(job, &payment, error.to_string(), false),
        }
    }
}

impl JobHandler for CheckHandler {
    const KIND: JobKind = JobKind::Check;

    fn longest_run(&self) -> Duration {
        // The payment is read before and after.
        ASK_TIMEOUT + 2 * STORE_TIMEOUT
    }

    async fn run(
        &self,
        job: &mut LeasedJob,
        stop: &CancellationToken,
    ) -> Result<JobEnd, StoreError> {
        let at = clock::now();
        let Some((result, answer)) = stop.run_until_cancelled(self.check(job)).await else {
            return Ok(JobEnd::untried(clock::now()));
        };
        let attempt = answer.map(|result| JobAttempt {
            at,
            duration: clock::now().since(at),
            result,
        });
        Ok(JobEnd { result, attempt })
    }
}

/// Nothing but a cross-check is left to ask.
fn is_over(payment: &Payment) -> bool {
    payment.state.is_final()
}

fn awaits_cross_check(job: &LeasedJob, payment: &Payment) -> bool {
    job.priority == JobPriority::CrossCheck && payment.state.version == Version::CONFIRMED
}

/// A cross-check that found no room until then is not made.
fn last_cross_check(payment: &Payment) -> Timestamp {
    let due_at = payment.state.at.plus(CROSS_CHECK_DELAY);
    due_at.plus(CROSS_CHECK_PATIENCE)
}

fn dropped() -> CheckEnd {
    metrics::counter!("chasqui_cross_checks_dropped_total").increment(1);
    OVER
}

/// Nothing was asked for this check.
fn put_off(job: &LeasedJob, payment: &Payment, wait: Duration) -> CheckEnd {
    let due_at = clock::now().plus(wait);
    match awaits_cross_check(job, payment) && due_at > last_cross_check(payment) {
        true => dropped(),
        false => (JobResult::PutBack { due_at }, None),
    }
}

/// The plan is not known while the store cannot be read.
fn unread(job: &LeasedJob, error: &StoreError) -> CheckEnd {
    let due_at = clock::now().plus(retry(job.attempts).unwrap_or(LONGEST_RETRY));
    (JobResult::Retry { due_at }, Some(error.to_string()))
}

fn undecided(job: &mut LeasedJob, payment: &Payment, answer: String, answered: bool) -> CheckEnd {
    let now = clock::now();
    let attempts = job.attempts;
    let result = if is_over(payment) {
        match retry(attempts).filter(|_| awaits_cross_check(job, payment)) {
            Some(after) => JobResult::Retry {
                due_at: now.plus(after),
            },
            None => JobResult::Done,
        }
    } else if let Some((due_at, priority)) =
        CheckPlan::of(payment).after(job.priority, attempts, answered, now)
    {
        job.priority = priority;
        JobResult::Retry { due_at }
    } else {
        metrics::counter!("chasqui_checks_given_up_total").increment(1);
        tracing::warn!(
            payment_id = %job.payment_id,
            "checks of the payment end, undecided long after its expiry; khipu is asked again only when it is visited or notified of"
        );
        JobResult::Dead
    };
    (result, Some(answer))
}

/// "Unknown" ends the checks of a payment that was not made here once Khipu has answered it a few times.
fn not_found(job: &mut LeasedJob, payment: &Payment, answer: String) -> CheckEnd {
    if payment.terms.is_none() && job.attempts + 1 >= TIMES_NOT_FOUND {
        tracing::warn!(payment_id = %job.payment_id, "khipu does not know a payment that it seemed to notify of");
        return (JobResult::Done, Some("khipu knows no such payment".into()));
    }
    undecided(job, payment, answer, true)
}

#[cfg(test)]
mod tests;
