//! A check: asks Khipu about a payment that is not confirmed, watched or not, or whether it agrees with a confirmation.
//!
//! [`CheckPlan`] decides when the next one is due. Checks end when the payment is confirmed or reversed, when Khipu knows no
//! such payment, or with the plan. Watched payments are polled much more often.

use std::sync::Arc;
use std::time::Duration;

use chasqui_payment::{
    CheckPlan, JobKind, JobPriority, Payment, QUICK_RETRIES, Timestamp, Version, check_retry_delay,
};
use chasqui_store::{JobAttempt, JobResult, LeasedJob, PaymentReader, StoreError};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::worker::{JobEnd, JobHandler, STORE_TIMEOUT, WorkerLimits};
use crate::clock;
use crate::error::RefreshError;
use crate::payments::{CROSS_CHECK_DELAY, Payments};
use crate::poller::PollOutcome;
use crate::rate_limiter::CHECKS_WAITING;
use crate::store_call::within;

/// The most checks in one lease call, and that run beside those that wait for a slot: an account with a full queue holds up no
/// other.
const CHECKS_PER_LEASE: usize = 32;

/// The wait for a slot (a minute), Khipu's answer (`khipu.timeout`, 30 s at most) and its commit.
const POLL_TIMEOUT: Duration = Duration::from_secs(100);

/// "Not found" counts after this many answers: Khipu's API may lag behind its notifications.
const NOT_FOUND_LIMIT: u32 = 4;

/// How soon a check of a payment that has just been polled is due again.
const JUST_POLLED_DELAY: Duration = Duration::from_secs(1);

/// How long a due cross-check waits for the account's rate limit. Then it is dropped and counted.
const CROSS_CHECK_TERM: Duration = Duration::from_secs(600);

#[derive(Debug)]
pub struct CheckHandler {
    payments: Arc<Payments>,
    reader: Arc<dyn PaymentReader>,
}

/// The result, and Khipu's answer for the timeline; `None`: Khipu was not asked.
type CheckEnd = (JobResult, Option<String>);

const OVER: CheckEnd = (JobResult::Done, None);

impl CheckHandler {
    pub fn new(payments: Arc<Payments>, reader: Arc<dyn PaymentReader>) -> Self {
        Self { payments, reader }
    }

    pub fn worker_limits(&self) -> WorkerLimits {
        WorkerLimits {
            in_flight: CHECKS_PER_LEASE + self.payments.accounts.iter().count() * CHECKS_WAITING,
            batch: CHECKS_PER_LEASE,
            lease: Duration::from_secs(120),
            // Shorter than the drain of requests, so that cancelled checks can still be put back.
            drain: Duration::from_millis(500),
        }
    }

    async fn check(&self, job: &mut LeasedJob) -> CheckEnd {
        let id = &job.payment_id;
        let payment = match within(STORE_TIMEOUT, self.reader.payment(id)).await {
            Ok(Some(payment)) => payment,
            Ok(None) => return OVER,
            Err(error) => return retry_unread(job, &error),
        };
        if payment.state.is_final() {
            if !awaits_cross_check(job, &payment) {
                return OVER;
            }
            if clock::now() > cross_check_deadline(&payment) {
                return drop_cross_check();
            }
        }
        let Some(account) = self.payments.accounts.by_name(&payment.account) else {
            return retry_undecided(
                job,
                &payment,
                "the payment's account is not configured".into(),
                false,
            );
        };
        let poll = self.payments.try_poll(account, id, job.priority);
        let refreshed = match timeout(POLL_TIMEOUT, poll).await {
            Ok(PollOutcome::Polled(refreshed)) => refreshed,
            Ok(PollOutcome::JustPolled) => return put_back(job, &payment, JUST_POLLED_DELAY),
            Ok(PollOutcome::Busy { retry_after }) => return put_back(job, &payment, retry_after),
            Err(_) => return retry_undecided(job, &payment, "no answer in time".into(), false),
        };
        // Read again, with what the answer has changed.
        let payment = match within(STORE_TIMEOUT, self.reader.payment(id)).await {
            Ok(Some(payment)) => payment,
            Ok(None) => return OVER,
            Err(error) => return retry_unread(job, &error),
        };
        match refreshed {
            Ok(_) if payment.state.is_final() => {
                (JobResult::Done, Some("khipu answered: final".into()))
            }
            Ok(_) => retry_undecided(job, &payment, "khipu answered: not final yet".into(), true),
            Err(RefreshError::Khipu(error)) if error.is_not_found() => {
                not_found(job, &payment, error.to_string())
            }
            Err(error) => retry_undecided(job, &payment, error.to_string(), false),
        }
    }
}

impl JobHandler for CheckHandler {
    const KIND: JobKind = JobKind::Check;

    fn longest_run(&self) -> Duration {
        // The payment is read before and after.
        POLL_TIMEOUT + 2 * STORE_TIMEOUT
    }

    async fn run(
        &self,
        job: &mut LeasedJob,
        stop: &CancellationToken,
    ) -> Result<JobEnd, StoreError> {
        let at = clock::now();
        let Some((result, answer)) = stop.run_until_cancelled(self.check(job)).await else {
            return Ok(JobEnd::put_back(clock::now()));
        };
        let attempt = answer.map(|result| JobAttempt {
            at,
            duration: clock::now().since(at),
            result,
        });
        Ok(JobEnd { result, attempt })
    }
}

fn awaits_cross_check(job: &LeasedJob, payment: &Payment) -> bool {
    job.priority == JobPriority::CrossCheck && payment.state.version == Version::CONFIRMED
}

fn cross_check_deadline(payment: &Payment) -> Timestamp {
    let due_at = payment.state.at.plus(CROSS_CHECK_DELAY);
    due_at.plus(CROSS_CHECK_TERM)
}

fn drop_cross_check() -> CheckEnd {
    metrics::counter!("chasqui_cross_checks_dropped_total").increment(1);
    OVER
}

/// Puts back a check for which Khipu was not asked.
fn put_back(job: &LeasedJob, payment: &Payment, wait: Duration) -> CheckEnd {
    let due_at = clock::now().plus(wait);
    match awaits_cross_check(job, payment) && due_at > cross_check_deadline(payment) {
        true => drop_cross_check(),
        false => (JobResult::PutBack { due_at }, None),
    }
}

/// Repeats a check whose payment, and so whose plan, could not be read.
fn retry_unread(job: &LeasedJob, error: &StoreError) -> CheckEnd {
    let due_at = clock::now().plus(check_retry_delay(job.attempts, rand::random()));
    (JobResult::Retry { due_at }, Some(error.to_string()))
}

fn retry_undecided(
    job: &mut LeasedJob,
    payment: &Payment,
    answer: String,
    answered: bool,
) -> CheckEnd {
    let now = clock::now();
    let attempts = job.attempts;
    let result = if payment.state.is_final() {
        match awaits_cross_check(job, payment) && attempts < QUICK_RETRIES {
            true => JobResult::Retry {
                due_at: now.plus(check_retry_delay(attempts, rand::random())),
            },
            false => JobResult::Done,
        }
    } else if let Some((due_at, priority)) =
        CheckPlan::of(payment).after(job.priority, attempts, answered, now, rand::random())
    {
        job.priority = priority;
        JobResult::Retry { due_at }
    } else {
        metrics::counter!("chasqui_checks_given_up_total").increment(1);
        tracing::warn!(payment_id = %job.payment_id, "checks of a payment end, undecided long after its expiry; khipu is asked again at a visit or notification");
        JobResult::Dead
    };
    (result, Some(answer))
}

/// Ends the checks of a payment that was not created here after [`NOT_FOUND_LIMIT`] answers.
fn not_found(job: &mut LeasedJob, payment: &Payment, answer: String) -> CheckEnd {
    if payment.terms.is_none() && job.attempts + 1 >= NOT_FOUND_LIMIT {
        tracing::warn!(payment_id = %job.payment_id, "khipu does not know a payment that it notified of; its checks end");
        return (JobResult::Done, Some("khipu knows no such payment".into()));
    }
    retry_undecided(job, payment, answer, true)
}

#[cfg(test)]
mod tests;
