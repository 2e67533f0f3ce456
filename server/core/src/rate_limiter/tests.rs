use super::*;
use crate::tests::fixture;

fn rate_limiter() -> Arc<RateLimiter> {
    Arc::new(fixture::rate_limiter(10))
}

/// Its burst is spent, and the last slot went to a check.
async fn saturated() -> Arc<RateLimiter> {
    let rate_limiter = rate_limiter();
    for class in [CallClass::Watched; 9]
        .into_iter()
        .chain([CallClass::Notified])
    {
        rate_limiter.acquire(class).await.spend();
    }
    rate_limiter
}

/// Waits for a slot of the class, spends it and adds the class to the list.
fn waits(rate_limiter: &Arc<RateLimiter>, class: CallClass, served: &Arc<Mutex<Vec<CallClass>>>) {
    let (rate_limiter, served) = (Arc::clone(rate_limiter), Arc::clone(served));
    tokio::spawn(async move {
        rate_limiter.acquire(class).await.spend();
        served.lock().expect("served").push(class);
    });
}

#[tokio::test(start_paused = true)]
async fn a_burst_of_one_second_and_then_an_even_pace() {
    let rate_limiter = rate_limiter();
    let started = Instant::now();
    let mut waits = Vec::new();
    for _ in 0..30 {
        rate_limiter.acquire(CallClass::Watched).await.spend();
        waits.push(started.elapsed().as_millis());
    }
    assert_eq!(waits[..10], [0; 10]);
    for (n, waited) in (1..).zip(&waits[10..]) {
        assert!((n * 100..n * 100 + 10).contains(waited), "{waits:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_pause_holds_every_caller_back() {
    let rate_limiter = rate_limiter();
    let kept = rate_limiter.acquire(CallClass::Watched).await;
    let started = Instant::now();
    rate_limiter.pause(Duration::from_secs(5)).await;
    drop(kept);
    rate_limiter.acquire(CallClass::Notified).await.spend();
    let waited = started.elapsed().as_millis();
    assert!((5000..5010).contains(&waited), "after {waited} ms");
}

#[tokio::test(start_paused = true)]
async fn a_pause_that_begins_while_one_waits_counts_too() {
    let rate_limiter = saturated().await;
    let started = Instant::now();
    let pausing = async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        rate_limiter.pause(Duration::from_secs(5)).await;
    };
    let (slot, ()) = tokio::join!(rate_limiter.acquire(CallClass::Watched), pausing);
    slot.spend();
    assert!(started.elapsed() >= Duration::from_millis(5050));
}

#[tokio::test(start_paused = true)]
async fn the_most_urgent_caller_gets_the_next_slot() {
    let rate_limiter = saturated().await;
    let served = Arc::default();
    let classes = [
        CallClass::Recheck,
        CallClass::Silent,
        CallClass::Notified,
        CallClass::Watched,
    ];
    for class in classes {
        waits(&rate_limiter, class, &served);
        // Each queues before the next comes.
        tokio::task::yield_now().await;
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
    let expected: Vec<_> = classes.into_iter().rev().collect();
    assert_eq!(*served.lock().expect("served"), expected);
}

#[tokio::test(start_paused = true)]
async fn every_eighth_slot_goes_to_the_check_that_waited_longest() {
    let rate_limiter = saturated().await;
    let served = Arc::default();
    for class in [CallClass::Silent, CallClass::Recheck, CallClass::Notified] {
        waits(&rate_limiter, class, &served);
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    for _ in 0..40 {
        waits(&rate_limiter, CallClass::Watched, &served);
    }
    tokio::time::sleep(Duration::from_secs(3)).await;
    let served = served.lock().expect("served");
    let places = |class| {
        let all = served.iter().enumerate();
        all.filter(move |(_, served)| **served == class)
            .map(|(place, _)| place)
            .collect::<Vec<_>>()
    };
    let (silent, notified) = (places(CallClass::Silent), places(CallClass::Notified));
    assert_eq!(silent, [7], "{served:?}");
    assert_eq!(notified, [15], "{served:?}");
    assert!(
        places(CallClass::Recheck).is_empty(),
        "it takes what is left"
    );
}

#[tokio::test(start_paused = true)]
async fn visits_and_the_poller_take_turns() {
    let rate_limiter = saturated().await;
    let served = Arc::default();
    for _ in 0..20 {
        waits(&rate_limiter, CallClass::Visit, &served);
    }
    for _ in 0..5 {
        waits(&rate_limiter, CallClass::Watched, &served);
    }
    tokio::time::sleep(Duration::from_millis(1050)).await;
    let served = served.lock().expect("served");
    let watched = served.iter().filter(|class| **class == CallClass::Watched);
    assert_eq!((watched.count(), served.len()), (5, 10), "{served:?}");
}

#[tokio::test(start_paused = true)]
async fn a_slot_that_is_not_spent_is_given_to_the_next() {
    let rate_limiter = saturated().await;
    let slot = rate_limiter.acquire(CallClass::Watched).await;
    let started = Instant::now();
    let giving_back = async {
        tokio::time::sleep(Duration::from_millis(10)).await;
        drop(slot);
    };
    let (next, ()) = tokio::join!(rate_limiter.acquire(CallClass::Silent), giving_back);
    next.spend();
    assert_eq!(started.elapsed().as_millis(), 10);
}

#[tokio::test(start_paused = true)]
async fn unspent_slots_cost_nothing() {
    let rate_limiter = saturated().await;
    let started = Instant::now();
    for _ in 0..1000 {
        drop(rate_limiter.acquire(CallClass::Watched).await);
    }
    rate_limiter.acquire(CallClass::Watched).await.spend();
    assert!(started.elapsed() < Duration::from_millis(110));
}

#[tokio::test(start_paused = true)]
async fn no_more_than_a_seconds_worth_is_given_back() {
    let rate_limiter = rate_limiter();
    let mut slots = Vec::new();
    for _ in 0..50 {
        slots.push(rate_limiter.acquire(CallClass::Watched).await);
    }
    slots.clear();
    let started = Instant::now();
    for _ in 0..30 {
        rate_limiter.acquire(CallClass::Watched).await.spend();
    }
    assert!(started.elapsed() >= Duration::from_millis(1800));
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_gives_up_takes_no_slot() {
    let rate_limiter = saturated().await;
    for _ in 0..100 {
        let left = timeout(
            Duration::from_millis(1),
            rate_limiter.acquire(CallClass::Watched),
        )
        .await;
        drop(left);
    }
    let started = Instant::now();
    rate_limiter.acquire(CallClass::Recheck).await.spend();
    assert!(started.elapsed() <= Duration::from_millis(101));
}

#[tokio::test(start_paused = true)]
async fn a_check_beyond_the_queue_limit_is_sent_away_with_a_time_to_retry() {
    let rate_limiter = saturated().await;
    rate_limiter.pause(Duration::from_secs(30)).await;
    let mut waiting = Vec::new();
    for _ in 0..CallClass::Silent.queue_limit() {
        let rate_limiter = Arc::clone(&rate_limiter);
        waiting.push(tokio::spawn(async move {
            rate_limiter.try_acquire(CallClass::Silent).await
        }));
        tokio::task::yield_now().await;
    }
    for n in 1..=20 {
        let refused = rate_limiter.try_acquire(CallClass::Silent).await;
        let retry_after = Duration::from_millis(100) * n;
        assert_eq!(refused.expect_err("no room"), QueueFull { retry_after });
    }
    // Another class has its own queue.
    let notified = timeout(
        Duration::from_secs(1),
        rate_limiter.try_acquire(CallClass::Notified),
    );
    assert!(notified.await.is_err(), "it waits");
    for granted in waiting {
        granted.await.expect("no panic").expect("a slot").spend();
    }
}

#[tokio::test(start_paused = true)]
async fn a_check_that_waits_too_long_is_sent_away() {
    let rate_limiter = saturated().await;
    rate_limiter.pause(Duration::from_secs(300)).await;
    let started = Instant::now();
    assert!(rate_limiter.try_acquire(CallClass::Silent).await.is_err());
    assert_eq!(started.elapsed(), CallClass::Silent.wait_limit());
    assert!(rate_limiter.state().queue.has_room(CallClass::Silent));
}

/// Beside the refilled bucket it would allow a second burst.
#[tokio::test(start_paused = true)]
async fn a_slot_that_was_given_back_lapses() {
    let rate_limiter = rate_limiter();
    let mut slots = Vec::new();
    for _ in 0..10 {
        slots.push(rate_limiter.acquire(CallClass::Watched).await);
    }
    drop(slots);
    tokio::time::sleep(Duration::from_secs(5)).await;
    let started = Instant::now();
    for _ in 0..20 {
        rate_limiter.acquire(CallClass::Watched).await.spend();
    }
    let took = started.elapsed().as_millis();
    assert!((1000..1100).contains(&took), "twenty slots in {took} ms");
}
