//! When a delivery is tried again, and when it is given up. Pure: the time and a random number are arguments.
//!
//! The waits are those that the Standard Webhooks specification recommends: ten attempts over about three days.

use std::time::Duration;

use chasqui_payment::{Timestamp, jittered};
use chasqui_store::JobResult;

use super::attempt_outcome::AttemptOutcome;

/// The waits after each failed attempt. After the last the delivery is dead.
pub(super) const RETRY_DELAYS: [Duration; 9] = [
    Duration::from_secs(5),
    Duration::from_mins(5),
    Duration::from_mins(30),
    Duration::from_hours(2),
    Duration::from_hours(5),
    Duration::from_hours(10),
    Duration::from_hours(14),
    Duration::from_hours(20),
    Duration::from_hours(24),
];

/// The longest `Retry-After` that is followed, so that a mistaken value does not delay a delivery for a year.
pub(super) const RETRY_AFTER_LIMIT: Duration = Duration::from_hours(24);

/// For this long after a confirmation, a failed query for the content counts as no attempt: the merchant has not failed.
pub(super) const CONTENT_RETRY_TERM: Duration = Duration::from_hours(72);

/// The wait between two such queries is a quarter of the time since the confirmation, within these limits.
const CONTENT_RETRY_DELAYS: (Duration, Duration) =
    (Duration::from_secs(1), Duration::from_mins(10));

/// The result of a delivery whose attempt number `attempts_made`, from 1, has ended. `random`: see [`jittered`].
/// `Retry-After` can delay the next attempt, never advance it, and adds no attempt after the last.
pub(super) fn after_attempt(
    attempts_made: u32,
    outcome: &AttemptOutcome,
    now: Timestamp,
    random: f64,
) -> JobResult {
    let not_before = match outcome {
        AttemptOutcome::Delivered { .. } | AttemptOutcome::Unneeded(_) => return JobResult::Done,
        AttemptOutcome::Gone | AttemptOutcome::Unsendable(_) => return JobResult::Dead,
        AttemptOutcome::Interrupted => return JobResult::PutBack { due_at: now },
        AttemptOutcome::ContentUnavailable { confirmed_at, .. } => {
            let age = now.since(*confirmed_at);
            if age < CONTENT_RETRY_TERM {
                let (shortest, longest) = CONTENT_RETRY_DELAYS;
                return JobResult::PutBack {
                    due_at: now.plus(jittered((age / 4).clamp(shortest, longest), random)),
                };
            }
            None
        }
        AttemptOutcome::Refused { not_before, .. }
        | AttemptOutcome::Redirected { not_before, .. } => *not_before,
        AttemptOutcome::Timeout { .. }
        | AttemptOutcome::Unreachable { .. }
        | AttemptOutcome::DestinationRefused(_)
        | AttemptOutcome::NotSent(_) => None,
    };
    let wait = usize::try_from(attempts_made.saturating_sub(1))
        .ok()
        .and_then(|index| RETRY_DELAYS.get(index));
    let Some(wait) = wait else {
        return JobResult::Dead;
    };
    let scheduled = now.plus(jittered(*wait, random));
    let not_before = not_before.map_or(scheduled, |at| at.min(now.plus(RETRY_AFTER_LIMIT)));
    let due_at = scheduled.max(not_before);
    JobResult::Retry { due_at }
}

/// The time of a `Retry-After` value: seconds from now, or an HTTP date. `None` for anything else.
pub(super) fn retry_after(value: &str, now: Timestamp) -> Option<Timestamp> {
    let value = value.trim();
    if !value.is_empty() && value.bytes().all(|b| b.is_ascii_digit()) {
        // A number too large to parse means "very long"; the limit applies.
        let seconds = value.parse().unwrap_or(u64::MAX / 1000);
        return Some(now.plus(Duration::from_secs(seconds)));
    }
    jiff::fmt::rfc2822::DateTimeParser::new()
        .parse_timestamp(value)
        .ok()
        .map(|at| Timestamp::from_unix_ms(at.as_millisecond()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW: Timestamp = Timestamp::from_unix_ms(1_800_000_000_000);
    const FAILED: AttemptOutcome = AttemptOutcome::Refused {
        status: 500,
        not_before: None,
    };

    fn wait(attempts_made: u32, outcome: &AttemptOutcome, random: f64) -> Option<Duration> {
        match after_attempt(attempts_made, outcome, NOW, random) {
            JobResult::Retry { due_at } => Some(due_at.since(NOW)),
            _ => None,
        }
    }

    fn retry_after_of(after: Duration) -> AttemptOutcome {
        AttemptOutcome::Refused {
            status: 503,
            not_before: Some(NOW.plus(after)),
        }
    }

    #[test]
    fn delivered_and_unneeded_are_done_and_gone_and_unsendable_dead_at_any_attempt() {
        for made in 1..=12 {
            let delivered = AttemptOutcome::Delivered { status: 200 };
            for outcome in [delivered, AttemptOutcome::Unneeded("")] {
                assert_eq!(after_attempt(made, &outcome, NOW, 0.5), JobResult::Done);
            }
            for outcome in [
                AttemptOutcome::Gone,
                AttemptOutcome::Unsendable(String::new()),
            ] {
                assert_eq!(after_attempt(made, &outcome, NOW, 0.5), JobResult::Dead);
            }
        }
    }

    fn without_content(confirmed_at: Timestamp) -> AttemptOutcome {
        let cause = "no answer".to_owned();
        AttemptOutcome::ContentUnavailable {
            confirmed_at,
            cause,
        }
    }

    #[test]
    fn an_interruption_counts_as_no_attempt() {
        for made in [1, 10, u32::MAX] {
            let result = after_attempt(made, &AttemptOutcome::Interrupted, NOW, 0.5);
            assert_eq!(result, JobResult::PutBack { due_at: NOW });
        }
    }

    #[test]
    fn missing_content_counts_as_no_attempt_for_three_days() {
        let wait = |age: Duration, made| {
            let confirmed_at = NOW.minus(age);
            match after_attempt(made, &without_content(confirmed_at), NOW, 0.5) {
                JobResult::PutBack { due_at } => Some(due_at.since(NOW).as_secs()),
                _ => None,
            }
        };
        let hour = Duration::from_hours(1);
        for made in [1, 10, u32::MAX] {
            assert_eq!(wait(Duration::ZERO, made), Some(1));
            assert_eq!(wait(Duration::from_secs(40), made), Some(10));
            assert_eq!(wait(hour, made), Some(600));
            assert_eq!(wait(71 * hour, made), Some(600));
            assert_eq!(wait(72 * hour, made), None);
        }
        let confirmed_at = NOW.minus(72 * hour);
        let silence = without_content(confirmed_at);
        for made in 1..=10 {
            let failed = after_attempt(made, &FAILED, NOW, 0.5);
            assert_eq!(after_attempt(made, &silence, NOW, 0.5), failed);
        }
    }

    #[test]
    fn ten_attempts_over_three_days_then_dead() {
        let waits = (1..=9).map(|made| wait(made, &FAILED, 0.5).expect("again"));
        let seconds = waits.map(|wait| wait.as_secs()).collect::<Vec<_>>();
        let expected = [5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400];
        assert_eq!(seconds, expected);
        for made in [10, 11, u32::MAX] {
            assert_eq!(after_attempt(made, &FAILED, NOW, 0.5), JobResult::Dead);
            assert_eq!(
                after_attempt(made, &retry_after_of(Duration::from_secs(1)), NOW, 0.5),
                JobResult::Dead
            );
        }
    }

    #[test]
    fn retry_after_delays_an_attempt_and_never_advances_it() {
        let later = Duration::from_mins(10);
        assert_eq!(wait(1, &retry_after_of(later), 0.5), Some(later));
        assert_eq!(wait(3, &retry_after_of(later), 0.5), Some(RETRY_DELAYS[2]));
        assert_eq!(
            wait(1, &retry_after_of(Duration::ZERO), 0.5),
            Some(Duration::from_secs(5))
        );
    }

    #[test]
    fn retry_after_is_followed_up_to_its_limit() {
        let year = Duration::from_hours(365 * 24);
        assert_eq!(wait(1, &retry_after_of(year), 0.5), Some(RETRY_AFTER_LIMIT));
    }

    #[test]
    fn retry_after_is_read_as_seconds_or_as_a_date() {
        assert_eq!(
            retry_after(" 120 ", NOW),
            Some(NOW.plus(Duration::from_mins(2)))
        );
        let at = Timestamp::parse("1994-11-06T08:49:37Z").expect("date");
        assert_eq!(retry_after("Sun, 06 Nov 1994 08:49:37 GMT", NOW), Some(at));
        assert!(retry_after("99999999999999999999999", NOW).is_some_and(|at| at > NOW));
        for unreadable in ["", "soon", "-5", "1.5", "1994-11-06"] {
            assert_eq!(retry_after(unreadable, NOW), None, "{unreadable:?}");
        }
    }

    proptest! {
        #[test]
        fn jitter_stays_within_a_fifth(made in 1u32..=9, random in 0.0f64..1.0) {
            let wait = wait(made, &FAILED, random).expect("again").as_secs_f64();
            let planned = RETRY_DELAYS[made as usize - 1].as_secs_f64();
            prop_assert!((planned * 0.799..=planned * 1.201).contains(&wait));
        }

        #[test]
        fn any_outcome_at_any_time_has_a_result(
            made in any::<u32>(), now in any::<i64>(), not_before in any::<i64>(), random in 0.0f64..1.0, text in ".{0,40}"
        ) {
            let now = Timestamp::from_unix_ms(now);
            let not_before = Some(Timestamp::from_unix_ms(not_before));
            let outcome = AttemptOutcome::Refused { status: 503, not_before };
            let _ = after_attempt(made, &outcome, now, random);
            let _ = retry_after(&text, now);
        }
    }
}
