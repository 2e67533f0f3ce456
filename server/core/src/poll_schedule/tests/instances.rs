//! Instances that watch the same payment.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_poll_by_another_instance_within_the_interval_makes_one_unnecessary() {
    let schedule = schedule();
    schedule.watch(&id("a"));
    let mut intervals = Vec::new();
    for _ in 0..10 {
        let (poll, _slot) = schedule.next(|_| true).await;
        intervals.push(poll.min_interval.as_millis());
        schedule.record(&poll, PollResult::Skipped, PollPace::Normal);
    }
    let expected = [900, 900, 1800, 2700, 4500, 7200, 11700, 18000, 27000, 27000];
    assert_eq!(intervals, expected);
    for requested in [PollSchedule::poll_now, PollSchedule::request] {
        requested(&schedule, &id("a"));
        let (poll, _slot) = schedule.next(|_| true).await;
        assert_eq!(poll.min_interval, URGENT_MIN_INTERVAL);
        schedule.record(&poll, PollResult::Answered, PollPace::Normal);
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_that_was_skipped_is_polled_a_moment_later_although_unwatched() {
    let schedule = schedule();
    let started = Instant::now();
    schedule.poll_now(&id("a"));
    let (poll, _slot) = schedule.next(|_| false).await;
    schedule.record(&poll, PollResult::Skipped, PollPace::Normal);
    let (poll, _slot) = schedule.next(|_| false).await;
    assert_eq!(started.elapsed().as_millis(), 900);
    schedule.record(&poll, PollResult::Answered, PollPace::Normal);
    let next = tokio::time::timeout(Duration::from_secs(60), schedule.next(|_| false)).await;
    assert!(next.is_err(), "{next:?}");
}

/// One of them may be the one that cannot reach Khipu.
#[tokio::test(start_paused = true)]
async fn two_instances_that_watch_a_payment_in_step_take_turns() {
    let schedules = [schedule(), schedule()];
    let mut last: Option<Instant> = None;
    let mut polls = [0, 0];
    schedules[0].watch(&id("a"));
    tokio::time::advance(Duration::from_millis(100)).await;
    schedules[1].watch(&id("a"));
    for _ in 0..16 {
        let (i, poll) = tokio::select! {
            (poll, _) = schedules[0].next(|_| true) => (0, poll),
            (poll, _) = schedules[1].next(|_| true) => (1, poll),
        };
        // As the store's poll lock decides.
        let result = match last.is_some_and(|last| last.elapsed() < poll.min_interval) {
            true => PollResult::Skipped,
            false => {
                last = Some(Instant::now());
                polls[i] += 1;
                PollResult::Answered
            }
        };
        schedules[i].record(&poll, result, PollPace::Normal);
    }
    assert!(polls[0] >= 3 && polls[1] >= 3, "{polls:?}");
}
