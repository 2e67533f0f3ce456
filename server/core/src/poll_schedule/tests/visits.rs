//! Visits and events: polls at once, but no more than once a second.

use std::collections::HashMap;

use super::*;

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
