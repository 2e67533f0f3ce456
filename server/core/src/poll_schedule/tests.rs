use std::collections::HashMap;
use std::time::Duration;

use super::plan::UNCOMMITTED_LIMIT;
use super::*;
use crate::tests::fixture::rate_limiter;

fn id(text: &str) -> PaymentId {
    PaymentId::parse(text).expect("id")
}

fn schedule() -> PollSchedule {
    PollSchedule::new(rate_limiter(1000), 100)
}

#[tokio::test(start_paused = true)]
async fn a_watched_payment_is_polled_at_growing_intervals() {
    let schedule = schedule();
    schedule.watch(&id("a"));
    let started = Instant::now();
    let mut seconds = Vec::new();
    for _ in 0..11 {
        let (poll, _slot) = schedule.next(|_| true).await;
        seconds.push(started.elapsed().as_secs());
        schedule.record(&poll, PollResult::Answered, PollPace::Normal);
    }
    assert_eq!(seconds, [0, 1, 3, 6, 11, 19, 32, 52, 82, 112, 142]);
}

#[tokio::test(start_paused = true)]
async fn an_unwatched_payment_is_polled_once() {
    let schedule = schedule();
    schedule.request(&id("a"));
    let (poll, _slot) = schedule.next(|_| false).await;
    schedule.record(&poll, PollResult::Answered, PollPace::Normal);
    let next = tokio::time::timeout(Duration::from_secs(60), schedule.next(|_| false)).await;
    assert!(next.is_err(), "{next:?}");
    assert!(schedule.plan().entries.is_empty());
}

#[tokio::test(start_paused = true)]
async fn simultaneous_requests_are_one_poll() {
    let schedule = schedule();
    for _ in 0..100 {
        schedule.request(&id("a"));
    }
    let (poll, _slot) = schedule.next(|_| false).await;
    schedule.request(&id("a"));
    schedule.record(&poll, PollResult::Answered, PollPace::Normal);
    let started = Instant::now();
    assert_eq!(schedule.next(|_| false).await.0.id, id("a"));
    assert_eq!(
        started.elapsed().as_secs(),
        1,
        "a second after the first poll, not at once"
    );
}

#[tokio::test(start_paused = true)]
async fn a_new_payment_does_not_queue_behind_polled_ones() {
    let schedule = schedule();
    for i in 0..50 {
        schedule.watch(&id(&format!("old{i}")));
    }
    for _ in 0..50 {
        let (poll, _slot) = schedule.next(|_| true).await;
        schedule.record(&poll, PollResult::Answered, PollPace::Normal);
    }
    tokio::time::sleep(Duration::from_secs(5)).await;
    schedule.request(&id("new"));
    assert_eq!(schedule.next(|_| true).await.0.id, id("new"));
}

#[tokio::test(start_paused = true)]
async fn a_final_payment_is_forgotten() {
    let schedule = schedule();
    schedule.request(&id("a"));
    let (poll, _slot) = schedule.next(|_| true).await;
    schedule.record(&poll, PollResult::Answered, PollPace::Stop);
    assert!(schedule.plan().entries.is_empty());
    assert!(
        tokio::time::timeout(Duration::from_secs(60), schedule.next(|_| true))
            .await
            .is_err()
    );
}

#[tokio::test(start_paused = true)]
async fn payments_without_watchers_are_not_polled() {
    let schedule = schedule();
    for i in 0..1000 {
        schedule.watch(&id(&format!("gone{i}")));
    }
    schedule.watch(&id("stays"));
    let started = Instant::now();
    assert_eq!(
        schedule.next(|id| id.as_str() == "stays").await.0.id,
        id("stays")
    );
    assert_eq!(started.elapsed().as_secs(), 0);
    assert_eq!(schedule.plan().entries.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn after_an_event_a_payment_is_polled_at_once_and_often_again() {
    let schedule = schedule();
    schedule.watch(&id("a"));
    for _ in 0..10 {
        let (poll, _slot) = schedule.next(|_| true).await;
        schedule.record(&poll, PollResult::Answered, PollPace::Normal);
    }
    let started = Instant::now();
    schedule.poll_now(&id("a"));
    schedule.poll_now(&id("a"));
    let mut seconds = Vec::new();
    for _ in 0..3 {
        let (poll, _slot) = schedule.next(|_| true).await;
        seconds.push(started.elapsed().as_secs());
        schedule.record(&poll, PollResult::Answered, PollPace::Normal);
    }
    // It was polled just before.
    assert_eq!(seconds, [1, 2, 4]);
}

#[tokio::test(start_paused = true)]
async fn a_payment_is_polled_once_a_second_however_many_events_it_has() {
    let schedule = schedule();
    let started = Instant::now();
    let mut polled_at = Vec::new();
    // Twenty times a second for ten seconds, unwatched.
    let events = async {
        for _ in 0..200 {
            schedule.poll_now(&id("a"));
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let refresh = async {
        loop {
            let (poll, _slot) = schedule.next(|_| false).await;
            polled_at.push(started.elapsed().as_millis());
            schedule.record(&poll, PollResult::Answered, PollPace::Normal);
        }
    };
    tokio::select! {
        () = events => {}
        () = refresh => {}
    }
    assert!((10..=11).contains(&polled_at.len()), "{polled_at:?}");
}

#[tokio::test(start_paused = true)]
async fn a_payment_that_is_visited_all_the_time_does_not_delay_another() {
    let schedule = PollSchedule::new(rate_limiter(2), 100);
    let started = Instant::now();
    let mut polls: HashMap<PaymentId, Vec<Duration>> = HashMap::new();
    let visiting = async {
        for round in 0..1200 {
            // Each payment by itself would use up the account's rate.
            for n in 0..4 {
                schedule.poll_now(&id(&format!("visited{n}")));
            }
            if round == 200 {
                schedule.poll_now(&id("returned"));
                schedule.watch(&id("watched"));
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let refresh = async {
        loop {
            let (poll, slot) = schedule.next(|id| id.as_str() == "watched").await;
            slot.spend();
            let times = polls.entry(poll.id.clone()).or_default();
            times.push(started.elapsed());
            schedule.record(&poll, PollResult::Answered, PollPace::Normal);
        }
    };
    tokio::select! {
        () = visiting => {}
        () = refresh => {}
    }
    let came = Duration::from_secs(10);
    for name in ["returned", "watched"] {
        let waited = polls[&id(name)][0] - came;
        assert!(waited <= Duration::from_secs(1), "{name}: {waited:?}");
    }
    // Each of five payments gets its part of 100 polls in 50 s.
    for name in ["watched", "visited0", "visited1", "visited2", "visited3"] {
        let times = polls[&id(name)].len();
        assert!(times >= 7, "{name} was polled {times} times");
    }
}

#[tokio::test(start_paused = true)]
async fn a_closed_payment_that_can_be_resumed_is_polled_at_a_fifth_of_the_pace() {
    let schedule = schedule();
    schedule.watch(&id("a"));
    let started = Instant::now();
    let mut seconds = Vec::new();
    for pace in [PollPace::Slow; 4].into_iter().chain([PollPace::Normal; 3]) {
        let (poll, _slot) = schedule.next(|_| true).await;
        seconds.push(started.elapsed().as_secs());
        schedule.record(&poll, PollResult::Answered, pace);
    }
    assert_eq!(seconds, [0, 5, 15, 30, 55, 63, 76]);
    // A payer who returns does not wait that long.
    schedule.record(
        &schedule.next(|_| true).await.0,
        PollResult::Answered,
        PollPace::Slow,
    );
    tokio::time::sleep(Duration::from_secs(2)).await;
    let restarted = Instant::now();
    schedule.poll_now(&id("a"));
    schedule.next(|_| true).await;
    assert_eq!(restarted.elapsed().as_secs(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_payment_that_is_watched_again_is_polled_at_once() {
    let schedule = schedule();
    schedule.request(&id("a"));
    let (poll, _slot) = schedule.next(|_| false).await;
    schedule.record(&poll, PollResult::Answered, PollPace::Normal);
    let idle = tokio::time::timeout(Duration::from_secs(5), schedule.next(|_| false)).await;
    assert!(idle.is_err(), "{idle:?}");
    schedule.watch(&id("a"));
    let started = Instant::now();
    let (poll, _slot) = schedule.next(|_| true).await;
    assert_eq!(started.elapsed().as_secs(), 0);
    schedule.record(&poll, PollResult::Answered, PollPace::Normal);
    schedule.next(|_| true).await;
    assert_eq!(started.elapsed().as_secs(), 1);
}

#[tokio::test(start_paused = true)]
async fn visits_beyond_the_limit_are_not_polled_and_watched_payments_are() {
    let schedule = PollSchedule::new(rate_limiter(1000), 0);
    for n in 0..=VISITED_LIMIT {
        schedule.request(&id(&format!("p{n}")));
    }
    assert_eq!(schedule.plan().entries.len(), VISITED_LIMIT);
    schedule.watch(&id("watched"));
    assert_eq!(schedule.plan().entries.len(), VISITED_LIMIT + 1);
}

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

#[tokio::test(start_paused = true)]
async fn an_uncommitted_payment_is_polled_until_it_is_committed_although_unwatched() {
    let schedule = schedule();
    schedule.watch(&id("a"));
    let (poll, _slot) = schedule.next(|_| true).await;
    schedule.remember_uncommitted(&poll.id);
    // Its watchers leave with Khipu's answer; another instance commits the status in the meantime.
    schedule.record(&poll, PollResult::Failed, PollPace::Normal);
    let started = Instant::now();
    for (result, pace) in [
        (PollResult::Failed, PollPace::Normal),
        (PollResult::Skipped, PollPace::Stop),
        (PollResult::Failed, PollPace::Stop),
    ] {
        let (poll, _slot) = schedule.next(|_| false).await;
        schedule.remember_uncommitted(&poll.id);
        schedule.record(&poll, result, pace);
    }
    assert_eq!(started.elapsed().as_millis(), 1000 + 2000 + 2700);
    assert_eq!(schedule.plan().uncommitted, 1);
    let (poll, _slot) = schedule.next(|_| false).await;
    schedule.record(&poll, PollResult::Answered, PollPace::Stop);
    assert!(schedule.plan().entries.is_empty());
    assert_eq!(schedule.plan().uncommitted, 0);
}

#[tokio::test(start_paused = true)]
async fn an_answer_does_not_commit_a_result_from_after_its_query() {
    let schedule = schedule();
    schedule.request(&id("a"));
    let (poll, _slot) = schedule.next(|_| false).await;
    tokio::time::advance(Duration::from_millis(1)).await;
    schedule.remember_uncommitted(&poll.id);
    schedule.record(&poll, PollResult::Answered, PollPace::Stop);
    assert_eq!(schedule.plan().uncommitted, 1);
    assert_eq!(schedule.next(|_| false).await.0.id, id("a"));
}

#[tokio::test(start_paused = true)]
async fn uncommitted_payments_are_bounded() {
    let schedule = schedule();
    for i in 0..=UNCOMMITTED_LIMIT {
        schedule.remember_uncommitted(&id(&format!("p{i}")));
    }
    assert_eq!(schedule.plan().uncommitted, UNCOMMITTED_LIMIT);
    assert_eq!(schedule.plan().entries.len(), UNCOMMITTED_LIMIT);
}

/// As when a page is reloaded.
#[tokio::test(start_paused = true)]
async fn a_visit_to_a_planned_payment_is_polled_at_once() {
    let visits: [fn(&PollSchedule); 2] = [
        |schedule| schedule.watch(&id("a")),
        |schedule| schedule.request(&id("a")),
    ];
    for visit in visits {
        let schedule = schedule();
        schedule.watch(&id("a"));
        for _ in 0..10 {
            let (poll, _slot) = schedule.next(|_| true).await;
            schedule.record(&poll, PollResult::Answered, PollPace::Slow);
        }
        tokio::time::sleep(Duration::from_secs(2)).await;
        visit(&schedule);
        let started = Instant::now();
        let (poll, _slot) = schedule.next(|_| true).await;
        assert_eq!(started.elapsed().as_secs(), 0);
        assert_eq!(
            poll.min_interval, URGENT_MIN_INTERVAL,
            "another instance may have polled before the visit"
        );
        schedule.record(&poll, PollResult::Answered, PollPace::Slow);
        for _ in 0..20 {
            visit(&schedule);
        }
        let started = Instant::now();
        schedule.next(|_| true).await;
        assert_eq!(
            started.elapsed().as_secs(),
            1,
            "once a second, however many come"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_visit_during_a_poll_is_polled_again() {
    let schedule = schedule();
    schedule.watch(&id("a"));
    for _ in 0..10 {
        let (poll, _slot) = schedule.next(|_| true).await;
        schedule.record(&poll, PollResult::Answered, PollPace::Slow);
    }
    let (poll, _slot) = schedule.next(|_| true).await;
    schedule.request(&id("a"));
    schedule.record(&poll, PollResult::Answered, PollPace::Slow);
    let started = Instant::now();
    schedule.next(|_| true).await;
    assert_eq!(started.elapsed().as_secs(), 1);
}
