use std::collections::HashMap;
use std::time::Duration;

use super::plan::UNCOMMITTED_LIMIT;
use super::*;

fn id(text: &str) -> PaymentId {
    PaymentId::parse(text).expect("id")
}

fn schedule() -> PollSchedule {
    PollSchedule::new(RateLimiter::local(1000), 100)
}

#[tokio::test(start_paused = true)]
async fn a_watched_payment_is_asked_about_at_growing_intervals() {
    let schedule = schedule();
    schedule.watch(&id("a"));
    let started = Instant::now();
    let mut seconds = Vec::new();
    for _ in 0..11 {
        let (asked, _slot) = schedule.next(|_| true).await;
        seconds.push(started.elapsed().as_secs());
        schedule.record(&asked, PollResult::Answered, PollPace::Normal);
    }
    assert_eq!(seconds, [0, 1, 3, 6, 11, 19, 32, 52, 82, 112, 142]);
}

#[tokio::test(start_paused = true)]
async fn one_that_nobody_watches_is_asked_about_once() {
    let schedule = schedule();
    schedule.request(&id("a"));
    let (asked, _slot) = schedule.next(|_| false).await;
    schedule.record(&asked, PollResult::Answered, PollPace::Normal);
    let next = tokio::time::timeout(Duration::from_secs(60), schedule.next(|_| false)).await;
    assert!(next.is_err(), "{next:?}");
    assert!(schedule.plan().entries.is_empty());
}

#[tokio::test(start_paused = true)]
async fn many_who_want_to_know_at_once_are_one_question() {
    let schedule = schedule();
    for _ in 0..100 {
        schedule.request(&id("a"));
    }
    let (asked, _slot) = schedule.next(|_| false).await;
    schedule.request(&id("a"));
    schedule.record(&asked, PollResult::Answered, PollPace::Normal);
    let started = Instant::now();
    assert_eq!(schedule.next(|_| false).await.0.id, id("a"));
    assert_eq!(
        started.elapsed().as_secs(),
        1,
        "a newcomer is answered at the next turn, not at once again"
    );
}

#[tokio::test(start_paused = true)]
async fn a_newcomer_does_not_queue_behind_those_who_were_asked_about_before() {
    let schedule = schedule();
    for i in 0..50 {
        schedule.watch(&id(&format!("old{i}")));
    }
    for _ in 0..50 {
        let (asked, _slot) = schedule.next(|_| true).await;
        schedule.record(&asked, PollResult::Answered, PollPace::Normal);
    }
    tokio::time::sleep(Duration::from_secs(5)).await;
    schedule.request(&id("new"));
    assert_eq!(schedule.next(|_| true).await.0.id, id("new"));
}

#[tokio::test(start_paused = true)]
async fn a_settled_payment_is_forgotten() {
    let schedule = schedule();
    schedule.request(&id("a"));
    let (asked, _slot) = schedule.next(|_| true).await;
    schedule.record(&asked, PollResult::Answered, PollPace::Stop);
    assert!(schedule.plan().entries.is_empty());
    assert!(
        tokio::time::timeout(Duration::from_secs(60), schedule.next(|_| true))
            .await
            .is_err()
    );
}

#[tokio::test(start_paused = true)]
async fn a_crowd_that_has_left_is_not_asked_about() {
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
async fn a_payment_to_which_something_happened_is_asked_about_at_once_and_often_again() {
    let schedule = schedule();
    schedule.watch(&id("a"));
    for _ in 0..10 {
        let (asked, _slot) = schedule.next(|_| true).await;
        schedule.record(&asked, PollResult::Answered, PollPace::Normal);
    }
    let started = Instant::now();
    schedule.poll_now(&id("a"));
    schedule.poll_now(&id("a"));
    let mut seconds = Vec::new();
    for _ in 0..3 {
        let (asked, _slot) = schedule.next(|_| true).await;
        seconds.push(started.elapsed().as_secs());
        schedule.record(&asked, PollResult::Answered, PollPace::Normal);
    }
    // It was asked about this very moment.
    assert_eq!(seconds, [1, 2, 4]);
}

#[tokio::test(start_paused = true)]
async fn a_payment_is_asked_about_once_a_second_however_often_it_is_urged() {
    let schedule = schedule();
    let started = Instant::now();
    let mut asked_at = Vec::new();
    // Twenty times a second for ten seconds; nobody watches.
    let urging = async {
        for _ in 0..200 {
            schedule.poll_now(&id("a"));
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let refresh = async {
        loop {
            let (poll, _slot) = schedule.next(|_| false).await;
            asked_at.push(started.elapsed().as_millis());
            schedule.record(&poll, PollResult::Answered, PollPace::Normal);
        }
    };
    tokio::select! {
        () = urging => {}
        () = refresh => {}
    }
    assert!((10..=11).contains(&asked_at.len()), "{asked_at:?}");
}

#[tokio::test(start_paused = true)]
async fn a_payment_that_is_visited_all_the_time_does_not_delay_anothers_question() {
    let schedule = PollSchedule::new(RateLimiter::local(2), 100);
    let started = Instant::now();
    let mut asked: HashMap<PaymentId, Vec<Duration>> = HashMap::new();
    let visiting = async {
        for round in 0..1200 {
            // Each payment by itself is enough to use up what the account may ask.
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
            let times = asked.entry(poll.id.clone()).or_default();
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
        let waited = asked[&id(name)][0] - came;
        assert!(waited <= Duration::from_secs(1), "{name}: {waited:?}");
    }
    // One after the other: of 100 questions in 50 s each of five gets its part.
    for name in ["watched", "visited0", "visited1", "visited2", "visited3"] {
        let times = asked[&id(name)].len();
        assert!(times >= 7, "{name} was asked about {times} times");
    }
}

#[tokio::test(start_paused = true)]
async fn one_at_an_end_that_a_payer_may_still_undo_is_asked_about_at_a_fifth_of_the_pace() {
    let schedule = schedule();
    schedule.watch(&id("a"));
    let started = Instant::now();
    let mut seconds = Vec::new();
    for outlook in [PollPace::Slow; 4].into_iter().chain([PollPace::Normal; 3]) {
        let (poll, _slot) = schedule.next(|_| true).await;
        seconds.push(started.elapsed().as_secs());
        schedule.record(&poll, PollResult::Answered, outlook);
    }
    assert_eq!(seconds, [0, 5, 15, 30, 55, 63, 76]);
    // A payer who comes back is not kept waiting for it.
    schedule.record(
        &schedule.next(|_| true).await.0,
        PollResult::Answered,
        PollPace::Slow,
    );
    tokio::time::sleep(Duration::from_secs(2)).await;
    let urged = Instant::now();
    schedule.poll_now(&id("a"));
    schedule.next(|_| true).await;
    assert_eq!(urged.elapsed().as_secs(), 0);
}

#[tokio::test(start_paused = true)]
async fn one_that_is_watched_again_soon_after_is_asked_about_at_once() {
    let schedule = schedule();
    schedule.request(&id("a"));
    let (poll, _slot) = schedule.next(|_| false).await;
    schedule.record(&poll, PollResult::Answered, PollPace::Normal);
    let rested = tokio::time::timeout(Duration::from_secs(5), schedule.next(|_| false)).await;
    assert!(rested.is_err(), "{rested:?}");
    schedule.watch(&id("a"));
    let started = Instant::now();
    let (poll, _slot) = schedule.next(|_| true).await;
    assert_eq!(started.elapsed().as_secs(), 0);
    schedule.record(&poll, PollResult::Answered, PollPace::Normal);
    schedule.next(|_| true).await;
    assert_eq!(started.elapsed().as_secs(), 1);
}

#[tokio::test(start_paused = true)]
async fn visits_beyond_the_limit_are_left_to_the_plan_and_watchers_are_not() {
    let schedule = PollSchedule::new(RateLimiter::local(1000), 0);
    for n in 0..=VISITED_LIMIT {
        schedule.request(&id(&format!("p{n}")));
    }
    assert_eq!(schedule.plan().entries.len(), VISITED_LIMIT);
    schedule.watch(&id("watched"));
    assert_eq!(schedule.plan().entries.len(), VISITED_LIMIT + 1);
}

#[tokio::test(start_paused = true)]
async fn a_question_is_left_to_whoever_asked_since_the_one_before() {
    let schedule = schedule();
    schedule.watch(&id("a"));
    let mut gaps = Vec::new();
    for _ in 0..10 {
        let (poll, _slot) = schedule.next(|_| true).await;
        gaps.push(poll.min_interval.as_millis());
        schedule.record(&poll, PollResult::Skipped, PollPace::Normal);
    }
    let expected = [900, 900, 1800, 2700, 4500, 7200, 11700, 18000, 27000, 27000];
    assert_eq!(gaps, expected);
    for requested in [PollSchedule::poll_now, PollSchedule::request] {
        requested(&schedule, &id("a"));
        let (poll, _slot) = schedule.next(|_| true).await;
        assert_eq!(poll.min_interval, URGENT_MIN_INTERVAL);
        schedule.record(&poll, PollResult::Answered, PollPace::Normal);
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_urged_and_left_to_another_is_asked_a_moment_later_though_nobody_watches() {
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
async fn two_instances_that_follow_a_payment_in_step_ask_by_turns() {
    let schedules = [schedule(), schedule()];
    let mut last: Option<Instant> = None;
    let mut asked = [0, 0];
    schedules[0].watch(&id("a"));
    tokio::time::advance(Duration::from_millis(100)).await;
    schedules[1].watch(&id("a"));
    for _ in 0..16 {
        let (who, poll) = tokio::select! {
            (poll, _) = schedules[0].next(|_| true) => (0, poll),
            (poll, _) = schedules[1].next(|_| true) => (1, poll),
        };
        // The store's word, as it is given to both.
        let result = match last.is_some_and(|last| last.elapsed() < poll.min_interval) {
            true => PollResult::Skipped,
            false => {
                last = Some(Instant::now());
                asked[who] += 1;
                PollResult::Answered
            }
        };
        schedules[who].record(&poll, result, PollPace::Normal);
    }
    assert!(asked[0] >= 3 && asked[1] >= 3, "{asked:?}");
}

#[tokio::test(start_paused = true)]
async fn what_could_not_be_committed_is_asked_about_until_it_is_though_nobody_watches() {
    let schedule = schedule();
    schedule.watch(&id("a"));
    let (poll, _slot) = schedule.next(|_| true).await;
    schedule.remember_uncommitted(&poll.id);
    // Its watchers leave with Khipu's answer; elsewhere the payment is final in the meantime.
    schedule.record(&poll, PollResult::Failed, PollPace::Normal);
    let started = Instant::now();
    for (result, outlook) in [
        (PollResult::Failed, PollPace::Normal),
        (PollResult::Skipped, PollPace::Stop),
        (PollResult::Failed, PollPace::Stop),
    ] {
        let (poll, _slot) = schedule.next(|_| false).await;
        schedule.remember_uncommitted(&poll.id);
        schedule.record(&poll, result, outlook);
    }
    assert_eq!(started.elapsed().as_millis(), 1000 + 2000 + 2700);
    assert_eq!(schedule.plan().uncommitted, 1);
    let (poll, _slot) = schedule.next(|_| false).await;
    schedule.record(&poll, PollResult::Answered, PollPace::Stop);
    assert!(schedule.plan().entries.is_empty());
    assert_eq!(schedule.plan().uncommitted, 0);
}

#[tokio::test(start_paused = true)]
async fn an_answer_from_before_does_not_commit_what_was_learnt_since() {
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
async fn no_more_than_the_limit_is_remembered_as_uncommitted() {
    let schedule = schedule();
    for i in 0..=UNCOMMITTED_LIMIT {
        schedule.remember_uncommitted(&id(&format!("p{i}")));
    }
    assert_eq!(schedule.plan().uncommitted, UNCOMMITTED_LIMIT);
    assert_eq!(schedule.plan().entries.len(), UNCOMMITTED_LIMIT);
}

/// A page that is reloaded, a second tab, a shop that looks: whatever the plan was, it is asked about now.
#[tokio::test(start_paused = true)]
async fn a_visit_to_a_payment_that_has_a_plan_is_asked_about_at_once() {
    let visits: [fn(&PollSchedule); 2] = [
        |schedule| schedule.watch(&id("a")),
        |schedule| schedule.request(&id("a")),
    ];
    for visit in visits {
        let schedule = schedule();
        schedule.watch(&id("a"));
        for _ in 0..10 {
            let (asked, _slot) = schedule.next(|_| true).await;
            schedule.record(&asked, PollResult::Answered, PollPace::Slow);
        }
        tokio::time::sleep(Duration::from_secs(2)).await;
        visit(&schedule);
        let started = Instant::now();
        let (asked, _slot) = schedule.next(|_| true).await;
        assert_eq!(started.elapsed().as_secs(), 0);
        assert_eq!(
            asked.min_interval, URGENT_MIN_INTERVAL,
            "another instance may have asked before the visit"
        );
        schedule.record(&asked, PollResult::Answered, PollPace::Slow);
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
async fn a_visit_while_a_question_is_under_way_is_answered_by_the_next_one() {
    let schedule = schedule();
    schedule.watch(&id("a"));
    for _ in 0..10 {
        let (asked, _slot) = schedule.next(|_| true).await;
        schedule.record(&asked, PollResult::Answered, PollPace::Slow);
    }
    let (asked, _slot) = schedule.next(|_| true).await;
    schedule.request(&id("a"));
    schedule.record(&asked, PollResult::Answered, PollPace::Slow);
    let started = Instant::now();
    schedule.next(|_| true).await;
    assert_eq!(started.elapsed().as_secs(), 1);
}
