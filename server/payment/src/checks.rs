//! When Khipu is asked about a payment that is not confirmed, watched or not.

use std::time::Duration;

use super::{Kind, Payment, Priority, Timestamp};

const HOUR: Duration = Duration::from_secs(60 * 60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// The first check of a payment after its creation; its creation schedules it.
const FIRST_CHECK: Duration = Duration::from_secs(15 * 60);

const AFTER_CREATION: [Duration; 4] = [
    FIRST_CHECK,
    HOUR,
    Duration::from_secs(3 * 60 * 60),
    Duration::from_secs(12 * 60 * 60),
];

/// An attempt that the payer began in time has a term of three hours, so that the last of these decides whether it expired.
const AFTER_EXPIRY: [Duration; 3] = [Duration::ZERO, HOUR, Duration::from_secs(3 * 60 * 60)];

/// So many daily checks follow. After the last nothing is planned any more.
const DAYS_AFTER_EXPIRY: u32 = 10;

/// How long Khipu is asked after a payment expired.
pub const CHECKED_AFTER_EXPIRY: Duration = DAY.saturating_mul(DAYS_AFTER_EXPIRY);

/// Where Khipu did not say until when a payment can be paid.
pub const USUAL_TERM: Duration = DAY;

/// While the payer is back or Khipu is verifying: the first check after that began, and the longest between two.
const FIRST_WHILE_AWAITED: Duration = Duration::from_secs(30);
const LONGEST_WHILE_AWAITED: Duration = HOUR;

/// After an attempt that must be made again sooner than planned.
const RETRIES: [Duration; 4] = [
    Duration::from_secs(5),
    Duration::from_secs(30),
    Duration::from_secs(2 * 60),
    Duration::from_secs(10 * 60),
];

/// Of one payment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CheckPlan {
    created_at: Timestamp,
    expires_at: Timestamp,
    /// Since when a confirmation is to be expected any moment.
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
            awaited_since: matches!(state.version.kind(), Kind::Returned | Kind::Verifying)
                .then_some(state.at),
        }
    }

    /// The first check that is planned after `now`. `None`: there are no more.
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

    /// What follows a check that did not decide the payment: when the next one is due, and with which priority. `attempts`
    /// were made before it; `answered` tells whether Khipu answered it. `None`: the payment is given up.
    pub fn after(
        &self,
        priority: Priority,
        attempts: u32,
        answered: bool,
        now: Timestamp,
    ) -> Option<(Timestamp, Priority)> {
        let planned = self.next(now);
        let retry = retry(attempts).map(|after| now.plus(after));
        // What Khipu notifies of may be ahead of what it answers.
        if let (Priority::Notified, Some(retry)) = (priority, retry) {
            return Some((planned.unwrap_or(retry).min(retry), Priority::Notified));
        }
        let planned = planned?;
        let longest = now.plus(RETRIES[RETRIES.len() - 1]);
        let due_at = match answered {
            true => planned,
            false => planned.min(retry.unwrap_or(longest)),
        };
        Some((due_at, Priority::Silent))
    }
}

impl Payment {
    /// When Khipu is asked about it for the first time if nothing is heard of it.
    pub fn first_check_at(&self) -> Timestamp {
        self.created_at.plus(FIRST_CHECK)
    }
}

/// How long after an attempt the next is made of something that cannot wait for its plan. `None` after the last.
pub fn retry(attempts: u32) -> Option<Duration> {
    RETRIES.get(usize::try_from(attempts).ok()?).copied()
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
    fn a_silent_payment_is_asked_about_from_its_creation_to_ten_days_after_its_expiry() {
        let day = 24 * 60;
        let daily = |expiry: u64| (1..=10).map(move |days| expiry + days * day);
        let expected = [15, 60, 180, 720, 1440, 1500, 1620].into_iter();
        let expected: Vec<_> = expected.chain(daily(1440)).collect();
        assert_eq!(minutes(plan(DAY), Duration::ZERO), expected);

        let expected = [15, 30, 60, 90, 180, 210, 720].into_iter();
        let expected: Vec<_> = expected.chain(daily(30)).collect();
        let short = plan(30 * MINUTE);
        assert_eq!(minutes(short, Duration::ZERO), expected);
        // What was missed is not made up for.
        assert_eq!(minutes(short, 200 * MINUTE), expected[5..]);
    }

    #[test]
    fn without_a_date_of_expiry_it_is_khipus_default() {
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
    fn while_a_confirmation_is_awaited_the_intervals_double_to_an_hour() {
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
        // At 2400 s its plan's check after an hour comes in between; at 9600 s that after three.
        let expected = [30, 90, 210, 450, 930, 1890, 2400, 3810, 7410, 9600];
        assert_eq!(seconds, expected);

        // A clock or a store that was away for days.
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
                let after = plan(DAY).after(Priority::Notified, attempts, answered, now);
                let due_at = now.plus(Duration::from_secs(seconds));
                assert_eq!(after, Some((due_at, Priority::Notified)), "{attempts}");
            }
        }
        let after = plan(DAY).after(Priority::Notified, 4, true, now);
        assert_eq!(after, Some((at(HOUR), Priority::Silent)));

        // The plan may be quicker, and it may be over.
        let before = at(HOUR).minus(Duration::from_secs(10));
        let after = plan(DAY).after(Priority::Notified, 1, true, before);
        assert_eq!(after, Some((at(HOUR), Priority::Notified)));
        let late = at(12 * DAY);
        let after = plan(DAY).after(Priority::Notified, 0, true, late);
        let soon = late.plus(Duration::from_secs(5));
        assert_eq!(after, Some((soon, Priority::Notified)));
        assert_eq!(plan(DAY).after(Priority::Notified, 4, true, late), None);
    }

    #[test]
    fn a_planned_check_that_khipu_does_not_answer_is_made_again_sooner() {
        let now = at(20 * MINUTE);
        for (attempts, seconds) in [(0, 5), (1, 30), (2, 120), (3, 600), (4, 600), (99, 600)] {
            let after = plan(DAY).after(Priority::Silent, attempts, false, now);
            let due_at = now.plus(Duration::from_secs(seconds));
            assert_eq!(after, Some((due_at, Priority::Silent)), "{attempts}");
        }
        let after = plan(DAY).after(Priority::Silent, 0, true, now);
        assert_eq!(after, Some((at(HOUR), Priority::Silent)));
        let before = at(HOUR).minus(Duration::from_secs(10));
        let after = plan(DAY).after(Priority::Silent, 3, false, before);
        assert_eq!(after, Some((at(HOUR), Priority::Silent)));
        let late = at(12 * DAY);
        assert_eq!(plan(DAY).after(Priority::Silent, 0, false, late), None);
    }
}
