//! When Khipu is asked about a payment that is not confirmed, watched or not.

use std::time::Duration;

use crate::jitter::jittered;
use crate::observation::JobPriority;
use crate::payment::Payment;
use crate::status::StatusKind;
use crate::timestamp::Timestamp;

const HOUR: Duration = Duration::from_hours(1);
const DAY: Duration = Duration::from_hours(24);

/// The first check of a payment after its creation; its creation schedules it.
const FIRST_CHECK: Duration = Duration::from_mins(15);

const AFTER_CREATION: [Duration; 4] = [
    FIRST_CHECK,
    HOUR,
    Duration::from_hours(3),
    Duration::from_hours(12),
];

/// An attempt that the payer started in time has a term of three hours: the last of these checks decides whether it
/// expired.
const AFTER_EXPIRY: [Duration; 3] = [Duration::ZERO, HOUR, Duration::from_hours(3)];

/// The number of daily checks that follow. After the last one none is planned.
const DAYS_AFTER_EXPIRY: u32 = 10;

/// How long after its expiry a payment is checked.
pub const CHECKED_AFTER_EXPIRY: Duration = DAY.saturating_mul(DAYS_AFTER_EXPIRY);

/// The term of a payment without an expiry.
pub const USUAL_TERM: Duration = DAY;

/// While the payer is back or Khipu is verifying: the time to the first check, and the longest between two.
const FIRST_WHILE_AWAITED: Duration = Duration::from_secs(30);
const LONGEST_WHILE_AWAITED: Duration = HOUR;

/// The most quick repeats of a check after a notification that is not believed by itself, and of a cross-check.
pub const QUICK_RETRIES: u32 = 4;

/// The waits before quick repeats. The last also applies to every further attempt that Khipu does not answer.
const CHECK_RETRY_DELAYS: [Duration; QUICK_RETRIES as usize] = [
    Duration::from_secs(5),
    Duration::from_secs(30),
    Duration::from_mins(2),
    Duration::from_mins(10),
];

/// When one payment is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CheckPlan {
    created_at: Timestamp,
    expires_at: Timestamp,
    /// Since when a confirmation is expected at any moment.
    awaited_since: Option<Timestamp>,
}

impl CheckPlan {
    pub fn of(payment: &Payment) -> Self {
        let state = &payment.state;
        Self {
            created_at: payment.created_at,
            expires_at: payment
                .expires_at
                .unwrap_or(payment.created_at.plus(USUAL_TERM)),
            awaited_since: matches!(
                state.version.kind(),
                StatusKind::Returned | StatusKind::Verifying
            )
            .then_some(state.at),
        }
    }

    /// The first check that is planned after `now`. `None`: there is none.
    pub fn next(&self, now: Timestamp) -> Option<Timestamp> {
        let after_creation = AFTER_CREATION.map(|after| self.created_at.plus(after));
        let after_expiry = AFTER_EXPIRY.map(|after| self.expires_at.plus(after));
        let daily = (1..=DAYS_AFTER_EXPIRY).map(|days| self.expires_at.plus(DAY * days));
        let planned = after_creation
            .into_iter()
            .chain(after_expiry)
            .chain(daily)
            .filter(|at| *at > now)
            .min()?;
        let awaited = self.awaited_since.map(|since| while_awaited(since, now));
        Some(planned.min(awaited.unwrap_or(planned)))
    }

    /// When the next check is due, and its priority, after one that did not decide the payment. `attempts` were made before
    /// that one; `answered`: Khipu answered it; `random`: see [`jittered`]. `None`: the payment is given up.
    pub fn after(
        &self,
        priority: JobPriority,
        attempts: u32,
        answered: bool,
        now: Timestamp,
        random: f64,
    ) -> Option<(Timestamp, JobPriority)> {
        let planned = self.next(now);
        let retry_at = now.plus(check_retry_delay(attempts, random));
        // Khipu's notification may be ahead of its answers.
        if priority == JobPriority::Notified && attempts < QUICK_RETRIES {
            let due_at = planned.map_or(retry_at, |planned| planned.min(retry_at));
            return Some((due_at, JobPriority::Notified));
        }
        let planned = planned?;
        let due_at = if answered {
            planned
        } else {
            planned.min(retry_at)
        };
        Some((due_at, JobPriority::Silent))
    }
}

impl Payment {
    /// When its first check is due.
    pub fn first_check_at(&self) -> Timestamp {
        self.created_at.plus(FIRST_CHECK)
    }
}

/// The wait after an attempt that is repeated sooner than planned.
pub fn check_retry_delay(attempts: u32, random: f64) -> Duration {
    let index = attempts.min(QUICK_RETRIES - 1) as usize;
    jittered(CHECK_RETRY_DELAYS[index], random)
}

/// The intervals double from the first to the longest.
fn while_awaited(since: Timestamp, now: Timestamp) -> Timestamp {
    let mut interval = FIRST_WHILE_AWAITED;
    let mut at = since.plus(interval);
    while at <= now && interval < LONGEST_WHILE_AWAITED {
        interval = (interval * 2).min(LONGEST_WHILE_AWAITED);
        at = at.plus(interval);
    }
    if at > now {
        return at;
    }
    let behind = now.since(at).as_secs() / LONGEST_WHILE_AWAITED.as_secs();
    let intervals = u32::try_from(behind).unwrap_or(u32::MAX).saturating_add(1);
    at.plus(LONGEST_WHILE_AWAITED.saturating_mul(intervals))
}

#[cfg(test)]
mod tests;
