mod instances;
mod uncommitted;
mod visits;

use std::time::Duration;

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
