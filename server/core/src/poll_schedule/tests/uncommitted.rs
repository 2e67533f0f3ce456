//! Results that could not be committed.

use super::*;
use crate::poll_schedule::plan::UNCOMMITTED_LIMIT;

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
