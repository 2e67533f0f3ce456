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
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    fn at(after: Duration) -> Timestamp {
        Timestamp::from_unix_ms(1_700_000_000_000).plus(after)
    }

    fn plan(expires_after: Duration) -> CheckPlan {
        CheckPlan {
            created_at: at(Duration::ZERO),
            expires_at: at(expires_after),
            awaited_since: None,
        }
    }

    /// Each check is made on time: how long after creation, in minutes.
    fn minutes(plan: CheckPlan, from: Duration) -> Vec<u64> {
        let mut minutes = Vec::new();
        let mut now = at(from);
        while let Some(next) = plan.next(now) {
            assert!(next > now);
            minutes.push(next.since(at(Duration::ZERO)).as_secs() / 60);
            now = next;
        }
        minutes
    }

    #[test]
    fn an_unconfirmed_payment_is_checked_from_its_creation_to_ten_days_after_its_expiry() {
        let day = 24 * 60;
        let daily = |expiry: u64| (1..=10).map(move |days| expiry + days * day);
        let expected = [15, 60, 180, 720, 1440, 1500, 1620].into_iter();
        let expected: Vec<_> = expected.chain(daily(1440)).collect();
        assert_eq!(minutes(plan(DAY), Duration::ZERO), expected);

        let expected = [15, 30, 60, 90, 180, 210, 720].into_iter();
        let expected: Vec<_> = expected.chain(daily(30)).collect();
        let short = plan(30 * MINUTE);
        assert_eq!(minutes(short, Duration::ZERO), expected);
        // Missed checks are not made up for.
        assert_eq!(minutes(short, 200 * MINUTE), expected[5..]);
    }

    #[test]
    fn without_an_expiry_the_usual_term_applies() {
        let mut payment = Payment {
            id: crate::PaymentId::parse("p").expect("id"),
            account: crate::AccountName::parse("shop").expect("account"),
            terms: None,
            urls: crate::MerchantUrls::default(),
            reference: None,
            payment_url: None,
            expires_at: None,
            created_at: at(Duration::ZERO),
            state: crate::PaymentState::created(at(Duration::ZERO)),
        };
        assert_eq!(CheckPlan::of(&payment), plan(DAY));
        payment.expires_at = Some(at(HOUR));
        assert_eq!(CheckPlan::of(&payment), plan(HOUR));
        assert_eq!(payment.first_check_at(), at(15 * MINUTE));
        assert_eq!(plan(DAY).next(at(Duration::ZERO)), Some(at(15 * MINUTE)));
    }

    #[test]
    fn while_a_confirmation_is_expected_the_intervals_double_to_an_hour() {
        let since = 20 * MINUTE;
        let awaited = CheckPlan {
            awaited_since: Some(at(since)),
            ..plan(DAY)
        };
        let mut now = at(since);
        let mut seconds = Vec::new();
        for _ in 0..10 {
            now = awaited.next(now).expect("planned");
            seconds.push(now.since(at(since)).as_secs());
        }
        // At 2400 s the check that is planned after one hour comes in between; at 9600 s the one after three.
        let expected = [30, 90, 210, 450, 930, 1890, 2400, 3810, 7410, 9600];
        assert_eq!(seconds, expected);

        // After days without a check.
        let late = at(since + 3 * DAY + Duration::from_secs(1));
        let next = awaited.next(late).expect("planned");
        assert!(next > late && next.since(late) <= HOUR, "{next}");
        let after_all = at(11 * DAY);
        assert_eq!(awaited.next(after_all), None);
    }

    #[test]
    fn a_notification_that_was_not_believed_is_followed_by_quick_checks_and_then_the_plan() {
        let now = at(20 * MINUTE);
        for (attempts, seconds) in [(0, 5), (1, 30), (2, 120), (3, 600)] {
            for answered in [true, false] {
                let after = plan(DAY).after(JobPriority::Notified, attempts, answered, now, 0.5);
                let due_at = now.plus(Duration::from_secs(seconds));
                assert_eq!(after, Some((due_at, JobPriority::Notified)), "{attempts}");
            }
        }
        let after = plan(DAY).after(JobPriority::Notified, 4, true, now, 0.5);
        assert_eq!(after, Some((at(HOUR), JobPriority::Silent)));

        // The plan may be quicker, and it may be over.
        let before = at(HOUR).minus(Duration::from_secs(10));
        let after = plan(DAY).after(JobPriority::Notified, 1, true, before, 0.5);
        assert_eq!(after, Some((at(HOUR), JobPriority::Notified)));
        let late = at(12 * DAY);
        let after = plan(DAY).after(JobPriority::Notified, 0, true, late, 0.5);
        let soon = late.plus(Duration::from_secs(5));
        assert_eq!(after, Some((soon, JobPriority::Notified)));
        assert_eq!(
            plan(DAY).after(JobPriority::Notified, 4, true, late, 0.5),
            None
        );
    }

    #[test]
    fn a_planned_check_that_khipu_does_not_answer_is_repeated_sooner() {
        let now = at(20 * MINUTE);
        for (attempts, seconds) in [(0, 5), (1, 30), (2, 120), (3, 600), (4, 600), (99, 600)] {
            let after = plan(DAY).after(JobPriority::Silent, attempts, false, now, 0.5);
            let due_at = now.plus(Duration::from_secs(seconds));
            assert_eq!(after, Some((due_at, JobPriority::Silent)), "{attempts}");
        }
        let after = plan(DAY).after(JobPriority::Silent, 0, true, now, 0.5);
        assert_eq!(after, Some((at(HOUR), JobPriority::Silent)));
        let before = at(HOUR).minus(Duration::from_secs(10));
        let after = plan(DAY).after(JobPriority::Silent, 3, false, before, 0.5);
        assert_eq!(after, Some((at(HOUR), JobPriority::Silent)));
        let late = at(12 * DAY);
        assert_eq!(
            plan(DAY).after(JobPriority::Silent, 0, false, late, 0.5),
            None
        );
    }

    /// Many checks fail together when Khipu or the store does.
    #[test]
    fn a_repeated_check_is_up_to_a_fifth_earlier_or_later() {
        let now = at(20 * MINUTE);
        let wait = |priority, random| {
            let after = plan(DAY).after(priority, 2, false, now, random);
            after.expect("again").0.since(now).as_secs()
        };
        for priority in [JobPriority::Notified, JobPriority::Silent] {
            let waits = [0.0, 0.25, 0.5, 1.0].map(|random| wait(priority, random));
            assert_eq!(waits, [96, 108, 120, 144], "{priority:?}");
        }
        // A planned check is not moved.
        let planned = plan(DAY).after(JobPriority::Silent, 0, true, now, 1.0);
        assert_eq!(planned, Some((at(HOUR), JobPriority::Silent)));
    }
}
