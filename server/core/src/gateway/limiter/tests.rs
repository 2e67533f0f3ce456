use super::*;

fn limiter() -> Arc<Limiter> {
    Arc::new(Limiter::alone(10))
}

/// Its burst is used up, and the last slot went to a check.
async fn saturated() -> Arc<Limiter> {
    let limiter = limiter();
    for class in [Class::Watched; 9].into_iter().chain([Class::Notified]) {
        limiter.turn(class).await.spend();
    }
    limiter
}

/// Waits for a slot of the class and spends it; then the class is on the list.
fn waits(limiter: &Arc<Limiter>, class: Class, served: &Arc<Mutex<Vec<Class>>>) {
    let (limiter, served) = (Arc::clone(limiter), Arc::clone(served));
    tokio::spawn(async move {
        limiter.turn(class).await.spend();
        served.lock().expect("served").push(class);
    });
}

#[tokio::test(start_paused = true)]
async fn a_burst_of_one_second_and_then_an_even_pace() {
    let limiter = limiter();
    let started = Instant::now();
    let mut waits = Vec::new();
    for _ in 0..30 {
        limiter.turn(Class::Watched).await.spend();
        waits.push(started.elapsed().as_millis());
    }
    assert_eq!(waits[..10], [0; 10]);
    for (n, waited) in (1..).zip(&waits[10..]) {
        assert!((n * 100..n * 100 + 10).contains(waited), "{waits:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_pause_holds_everybody_back() {
    let limiter = limiter();
    let kept = limiter.turn(Class::Watched).await;
    let started = Instant::now();
    limiter.pause(Duration::from_secs(5)).await;
    drop(kept);
    limiter.turn(Class::Notified).await.spend();
    let waited = started.elapsed().as_millis();
    assert!((5000..5010).contains(&waited), "after {waited} ms");
}

#[tokio::test(start_paused = true)]
async fn a_pause_that_begins_while_one_waits_counts_too() {
    let limiter = saturated().await;
    let started = Instant::now();
    let pausing = async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        limiter.pause(Duration::from_secs(5)).await;
    };
    let (slot, ()) = tokio::join!(limiter.turn(Class::Watched), pausing);
    slot.spend();
    assert!(started.elapsed() >= Duration::from_millis(5050));
}

#[tokio::test(start_paused = true)]
async fn the_most_pressing_who_waits_gets_the_next_slot() {
    let limiter = saturated().await;
    let served = Arc::default();
    let classes = [
        Class::Confirmed,
        Class::Silent,
        Class::Notified,
        Class::Watched,
    ];
    for class in classes {
        waits(&limiter, class, &served);
        // Each joins the line before the next comes.
        tokio::task::yield_now().await;
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
    let expected: Vec<_> = classes.into_iter().rev().collect();
    assert_eq!(*served.lock().expect("served"), expected);
}

#[tokio::test(start_paused = true)]
async fn every_eighth_slot_goes_to_the_check_that_waited_longest() {
    let limiter = saturated().await;
    let served = Arc::default();
    for class in [Class::Silent, Class::Confirmed, Class::Notified] {
        waits(&limiter, class, &served);
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    for _ in 0..40 {
        waits(&limiter, Class::Watched, &served);
    }
    tokio::time::sleep(Duration::from_secs(3)).await;
    let served = served.lock().expect("served");
    let places = |class| {
        let all = served.iter().enumerate();
        all.filter(move |(_, served)| **served == class)
            .map(|(place, _)| place)
            .collect::<Vec<_>>()
    };
    let (silent, notified) = (places(Class::Silent), places(Class::Notified));
    assert_eq!(silent, [7], "{served:?}");
    assert_eq!(notified, [15], "{served:?}");
    assert!(
        places(Class::Confirmed).is_empty(),
        "it takes what is left over"
    );
}

#[tokio::test(start_paused = true)]
async fn visits_and_the_poller_take_turns() {
    let limiter = saturated().await;
    let served = Arc::default();
    for _ in 0..20 {
        waits(&limiter, Class::Visit, &served);
    }
    for _ in 0..5 {
        waits(&limiter, Class::Watched, &served);
    }
    tokio::time::sleep(Duration::from_millis(1050)).await;
    let served = served.lock().expect("served");
    let watched = served.iter().filter(|class| **class == Class::Watched);
    assert_eq!((watched.count(), served.len()), (5, 10), "{served:?}");
}

#[tokio::test(start_paused = true)]
async fn a_slot_that_is_not_spent_is_given_to_the_next() {
    let limiter = saturated().await;
    let slot = limiter.turn(Class::Watched).await;
    let started = Instant::now();
    let giving_back = async {
        tokio::time::sleep(Duration::from_millis(10)).await;
        drop(slot);
    };
    let (next, ()) = tokio::join!(limiter.turn(Class::Silent), giving_back);
    next.spend();
    assert_eq!(started.elapsed().as_millis(), 10);
}

#[tokio::test(start_paused = true)]
async fn questions_that_are_not_put_cost_nothing() {
    let limiter = saturated().await;
    let started = Instant::now();
    for _ in 0..1000 {
        drop(limiter.turn(Class::Watched).await);
    }
    limiter.turn(Class::Watched).await.spend();
    assert!(started.elapsed() < Duration::from_millis(110));
}

#[tokio::test(start_paused = true)]
async fn no_more_than_a_seconds_worth_is_given_back() {
    let limiter = limiter();
    let mut slots = Vec::new();
    for _ in 0..50 {
        slots.push(limiter.turn(Class::Watched).await);
    }
    slots.clear();
    let started = Instant::now();
    for _ in 0..30 {
        limiter.turn(Class::Watched).await.spend();
    }
    assert!(started.elapsed() >= Duration::from_millis(1800));
}

#[tokio::test(start_paused = true)]
async fn one_who_leaves_takes_no_slot_and_holds_up_nobody() {
    let limiter = saturated().await;
    for _ in 0..100 {
        let left = timeout(Duration::from_millis(1), limiter.turn(Class::Watched)).await;
        drop(left);
    }
    let started = Instant::now();
    limiter.turn(Class::Confirmed).await.spend();
    assert!(started.elapsed() <= Duration::from_millis(101));
}

#[tokio::test(start_paused = true)]
async fn a_check_for_which_the_line_is_too_long_is_told_when_to_come_back() {
    let limiter = saturated().await;
    limiter.pause(Duration::from_secs(30)).await;
    let mut waiting = Vec::new();
    for _ in 0..Class::Silent.most_waiting() {
        let limiter = Arc::clone(&limiter);
        waiting.push(tokio::spawn(async move {
            limiter.turn_if_room(Class::Silent).await
        }));
        tokio::task::yield_now().await;
    }
    for n in 1..=20 {
        let refused = limiter.turn_if_room(Class::Silent).await;
        let retry_in = Duration::from_millis(100) * n;
        assert_eq!(refused.expect_err("no room"), NoRoom { retry_in });
    }
    // Others have a line of their own.
    let notified = timeout(
        Duration::from_secs(1),
        limiter.turn_if_room(Class::Notified),
    );
    assert!(notified.await.is_err(), "it waits");
    for granted in waiting {
        granted.await.expect("no panic").expect("a slot").spend();
    }
}

#[tokio::test(start_paused = true)]
async fn a_check_that_waits_too_long_gives_way() {
    let limiter = saturated().await;
    limiter.pause(Duration::from_secs(300)).await;
    let started = Instant::now();
    assert!(limiter.turn_if_room(Class::Silent).await.is_err());
    assert_eq!(started.elapsed(), Class::Silent.patience());
    assert!(limiter.line().has_room(Class::Silent));
}

/// Beside the burst that the bucket has earned again by then it would be a second one.
#[tokio::test(start_paused = true)]
async fn a_slot_that_was_given_back_lapses() {
    let limiter = limiter();
    let mut slots = Vec::new();
    for _ in 0..10 {
        slots.push(limiter.turn(Class::Watched).await);
    }
    drop(slots);
    tokio::time::sleep(Duration::from_secs(5)).await;
    let started = Instant::now();
    for _ in 0..20 {
        limiter.turn(Class::Watched).await.spend();
    }
    let took = started.elapsed().as_millis();
    assert!((1000..1100).contains(&took), "twenty slots in {took} ms");
}
