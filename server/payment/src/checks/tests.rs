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
