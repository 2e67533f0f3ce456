use super::*;

fn id(text: &str) -> PaymentId {
    PaymentId::parse(text).expect("id")
}

fn desk() -> Desk {
    Desk::new(Limiter::alone(1000), 100)
}

#[tokio::test(start_paused = true)]
async fn a_watched_payment_is_asked_about_at_growing_intervals() {
    let desk = desk();
    desk.follow(&id("a"));
    let started = Instant::now();
    let mut seconds = Vec::new();
    for _ in 0..11 {
        let asked = desk.next(|_| true).await;
        seconds.push(started.elapsed().as_secs());
        desk.settle(&asked, Settled::Answered, Outlook::Usual);
    }
    assert_eq!(seconds, [0, 1, 3, 6, 11, 19, 32, 52, 82, 112, 142]);
}

#[tokio::test(start_paused = true)]
async fn one_that_nobody_watches_is_asked_about_once() {
    let desk = desk();
    desk.want(&id("a"));
    let asked = desk.next(|_| false).await;
    desk.settle(&asked, Settled::Answered, Outlook::Usual);
    let next = tokio::time::timeout(Duration::from_secs(60), desk.next(|_| false)).await;
    assert!(next.is_err(), "{next:?}");
    assert!(desk.plan().entries.is_empty());
}

#[tokio::test(start_paused = true)]
async fn many_who_want_to_know_at_once_are_one_question() {
    let desk = desk();
    for _ in 0..100 {
        desk.want(&id("a"));
    }
    let asked = desk.next(|_| false).await;
    desk.want(&id("a"));
    desk.settle(&asked, Settled::Answered, Outlook::Usual);
    let started = Instant::now();
    assert_eq!(desk.next(|_| false).await.id, id("a"));
    assert_eq!(
        started.elapsed().as_secs(),
        1,
        "a newcomer is answered at the next turn, not at once again"
    );
}

#[tokio::test(start_paused = true)]
async fn a_newcomer_does_not_queue_behind_those_who_were_asked_about_before() {
    let desk = desk();
    for i in 0..50 {
        desk.follow(&id(&format!("old{i}")));
    }
    for _ in 0..50 {
        let asked = desk.next(|_| true).await;
        desk.settle(&asked, Settled::Answered, Outlook::Usual);
    }
    tokio::time::sleep(Duration::from_secs(5)).await;
    desk.want(&id("new"));
    assert_eq!(desk.next(|_| true).await.id, id("new"));
}

#[tokio::test(start_paused = true)]
async fn a_settled_payment_is_forgotten() {
    let desk = desk();
    desk.want(&id("a"));
    let asked = desk.next(|_| true).await;
    desk.settle(&asked, Settled::Answered, Outlook::Over);
    assert!(desk.plan().entries.is_empty());
    assert!(
        tokio::time::timeout(Duration::from_secs(60), desk.next(|_| true))
            .await
            .is_err()
    );
}

#[tokio::test(start_paused = true)]
async fn a_crowd_that_has_left_is_not_asked_about() {
    let desk = desk();
    for i in 0..1000 {
        desk.follow(&id(&format!("gone{i}")));
    }
    desk.follow(&id("stays"));
    let started = Instant::now();
    assert_eq!(desk.next(|id| id.as_str() == "stays").await.id, id("stays"));
    assert_eq!(started.elapsed().as_secs(), 0);
    assert_eq!(desk.plan().entries.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_payment_to_which_something_happened_is_asked_about_at_once_and_often_again() {
    let desk = desk();
    desk.follow(&id("a"));
    for _ in 0..10 {
        let asked = desk.next(|_| true).await;
        desk.settle(&asked, Settled::Answered, Outlook::Usual);
    }
    let started = Instant::now();
    desk.urge(&id("a"));
    desk.urge(&id("a"));
    let mut seconds = Vec::new();
    for _ in 0..3 {
        let asked = desk.next(|_| true).await;
        seconds.push(started.elapsed().as_secs());
        desk.settle(&asked, Settled::Answered, Outlook::Usual);
    }
    // It was asked about this very moment.
    assert_eq!(seconds, [1, 2, 4]);
}

#[tokio::test(start_paused = true)]
async fn a_payment_is_asked_about_once_a_second_however_often_it_is_urged() {
    let desk = desk();
    let started = Instant::now();
    let mut asked_at = Vec::new();
    // Twenty times a second for ten seconds; nobody watches.
    let urging = async {
        for _ in 0..200 {
            desk.urge(&id("a"));
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let asking = async {
        loop {
            let question = desk.next(|_| false).await;
            asked_at.push(started.elapsed().as_millis());
            desk.settle(&question, Settled::Answered, Outlook::Usual);
        }
    };
    tokio::select! {
        () = urging => {}
        () = asking => {}
    }
    assert!((10..=11).contains(&asked_at.len()), "{asked_at:?}");
}

#[tokio::test(start_paused = true)]
async fn a_payment_that_is_visited_all_the_time_does_not_delay_anothers_question() {
    let desk = Desk::new(Limiter::alone(2), 100);
    let started = Instant::now();
    let mut asked: HashMap<PaymentId, Vec<Duration>> = HashMap::new();
    let visiting = async {
        for round in 0..1200 {
            // Each payment by itself is enough to use up what the account may ask.
            for n in 0..4 {
                desk.urge(&id(&format!("visited{n}")));
            }
            if round == 200 {
                desk.urge(&id("returned"));
                desk.follow(&id("watched"));
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let asking = async {
        loop {
            let mut question = desk.next(|id| id.as_str() == "watched").await;
            question.slot.take().expect("a slot").spend();
            let times = asked.entry(question.id.clone()).or_default();
            times.push(started.elapsed());
            desk.settle(&question, Settled::Answered, Outlook::Usual);
        }
    };
    tokio::select! {
        () = visiting => {}
        () = asking => {}
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
    let desk = desk();
    desk.follow(&id("a"));
    let started = Instant::now();
    let mut seconds = Vec::new();
    for outlook in [Outlook::Slow; 4].into_iter().chain([Outlook::Usual; 3]) {
        let question = desk.next(|_| true).await;
        seconds.push(started.elapsed().as_secs());
        desk.settle(&question, Settled::Answered, outlook);
    }
    assert_eq!(seconds, [0, 5, 15, 30, 55, 63, 76]);
    // A payer who comes back is not kept waiting for it.
    desk.settle(&desk.next(|_| true).await, Settled::Answered, Outlook::Slow);
    tokio::time::sleep(Duration::from_secs(2)).await;
    let urged = Instant::now();
    desk.urge(&id("a"));
    desk.next(|_| true).await;
    assert_eq!(urged.elapsed().as_secs(), 0);
}

#[tokio::test(start_paused = true)]
async fn one_that_is_watched_again_soon_after_is_asked_about_at_once() {
    let desk = desk();
    desk.want(&id("a"));
    let question = desk.next(|_| false).await;
    desk.settle(&question, Settled::Answered, Outlook::Usual);
    let rested = tokio::time::timeout(Duration::from_secs(5), desk.next(|_| false)).await;
    assert!(rested.is_err(), "{rested:?}");
    desk.follow(&id("a"));
    let started = Instant::now();
    let question = desk.next(|_| true).await;
    assert_eq!(started.elapsed().as_secs(), 0);
    desk.settle(&question, Settled::Answered, Outlook::Usual);
    desk.next(|_| true).await;
    assert_eq!(started.elapsed().as_secs(), 1);
}

#[tokio::test(start_paused = true)]
async fn visits_beyond_the_limit_are_left_to_the_plan_and_watchers_are_not() {
    let desk = Desk::new(Limiter::alone(1000), 0);
    for n in 0..=VISITED_LIMIT {
        desk.want(&id(&format!("p{n}")));
    }
    assert_eq!(desk.plan().entries.len(), VISITED_LIMIT);
    desk.follow(&id("watched"));
    assert_eq!(desk.plan().entries.len(), VISITED_LIMIT + 1);
}

#[tokio::test(start_paused = true)]
async fn a_question_is_left_to_whoever_asked_since_the_one_before() {
    let desk = desk();
    desk.follow(&id("a"));
    let mut gaps = Vec::new();
    for _ in 0..10 {
        let question = desk.next(|_| true).await;
        gaps.push(question.gap.as_millis());
        desk.settle(&question, Settled::LeftToAnother, Outlook::Usual);
    }
    let expected = [900, 900, 1800, 2700, 4500, 7200, 11700, 18000, 27000, 27000];
    assert_eq!(gaps, expected);
    for wanted in [Desk::urge, Desk::want] {
        wanted(&desk, &id("a"));
        let question = desk.next(|_| true).await;
        assert_eq!(question.gap, SHORTEST_GAP);
        desk.settle(&question, Settled::Answered, Outlook::Usual);
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_urged_and_left_to_another_is_asked_a_moment_later_though_nobody_watches() {
    let desk = desk();
    let started = Instant::now();
    desk.urge(&id("a"));
    let question = desk.next(|_| false).await;
    desk.settle(&question, Settled::LeftToAnother, Outlook::Usual);
    let question = desk.next(|_| false).await;
    assert_eq!(started.elapsed().as_millis(), 900);
    desk.settle(&question, Settled::Answered, Outlook::Usual);
    let next = tokio::time::timeout(Duration::from_secs(60), desk.next(|_| false)).await;
    assert!(next.is_err(), "{next:?}");
}

/// One of them may be the one that cannot reach Khipu.
#[tokio::test(start_paused = true)]
async fn two_instances_that_follow_a_payment_in_step_ask_by_turns() {
    let desks = [desk(), desk()];
    let mut last: Option<Instant> = None;
    let mut asked = [0, 0];
    desks[0].follow(&id("a"));
    tokio::time::advance(Duration::from_millis(100)).await;
    desks[1].follow(&id("a"));
    for _ in 0..16 {
        let (who, question) = tokio::select! {
            question = desks[0].next(|_| true) => (0, question),
            question = desks[1].next(|_| true) => (1, question),
        };
        // The store's word, as it is given to both.
        let settled = match last.is_some_and(|last| last.elapsed() < question.gap) {
            true => Settled::LeftToAnother,
            false => {
                last = Some(Instant::now());
                asked[who] += 1;
                Settled::Answered
            }
        };
        desks[who].settle(&question, settled, Outlook::Usual);
    }
    assert!(asked[0] >= 3 && asked[1] >= 3, "{asked:?}");
}

#[tokio::test(start_paused = true)]
async fn what_could_not_be_committed_is_asked_about_until_it_is_though_nobody_watches() {
    let desk = desk();
    desk.follow(&id("a"));
    let question = desk.next(|_| true).await;
    desk.remember_uncommitted(&question.id);
    // Its watchers leave with Khipu's answer; elsewhere the payment is final in the meantime.
    desk.settle(&question, Settled::Failed, Outlook::Usual);
    let started = Instant::now();
    for (settled, outlook) in [
        (Settled::Failed, Outlook::Usual),
        (Settled::LeftToAnother, Outlook::Over),
        (Settled::Failed, Outlook::Over),
    ] {
        let question = desk.next(|_| false).await;
        desk.remember_uncommitted(&question.id);
        desk.settle(&question, settled, outlook);
    }
    assert_eq!(started.elapsed().as_millis(), 1000 + 2000 + 2700);
    assert_eq!(desk.plan().uncommitted, 1);
    let question = desk.next(|_| false).await;
    desk.settle(&question, Settled::Answered, Outlook::Over);
    assert!(desk.plan().entries.is_empty());
    assert_eq!(desk.plan().uncommitted, 0);
}

#[tokio::test(start_paused = true)]
async fn an_answer_from_before_does_not_commit_what_was_learnt_since() {
    let desk = desk();
    desk.want(&id("a"));
    let question = desk.next(|_| false).await;
    tokio::time::advance(Duration::from_millis(1)).await;
    desk.remember_uncommitted(&question.id);
    desk.settle(&question, Settled::Answered, Outlook::Over);
    assert_eq!(desk.plan().uncommitted, 1);
    assert_eq!(desk.next(|_| false).await.id, id("a"));
}

#[tokio::test(start_paused = true)]
async fn no_more_than_the_limit_is_remembered_as_uncommitted() {
    let desk = desk();
    for i in 0..=UNCOMMITTED_LIMIT {
        desk.remember_uncommitted(&id(&format!("p{i}")));
    }
    assert_eq!(desk.plan().uncommitted, UNCOMMITTED_LIMIT);
    assert_eq!(desk.plan().entries.len(), UNCOMMITTED_LIMIT);
}

/// A page that is reloaded, a second tab, a shop that looks: whatever the plan was, it is asked about now.
#[tokio::test(start_paused = true)]
async fn a_visit_to_a_payment_that_has_a_plan_is_asked_about_at_once() {
    let visits: [fn(&Desk); 2] = [|desk| desk.follow(&id("a")), |desk| desk.want(&id("a"))];
    for visit in visits {
        let desk = desk();
        desk.follow(&id("a"));
        for _ in 0..10 {
            let asked = desk.next(|_| true).await;
            desk.settle(&asked, Settled::Answered, Outlook::Slow);
        }
        tokio::time::sleep(Duration::from_secs(2)).await;
        visit(&desk);
        let started = Instant::now();
        let asked = desk.next(|_| true).await;
        assert_eq!(started.elapsed().as_secs(), 0);
        assert_eq!(
            asked.gap, SHORTEST_GAP,
            "another instance may have asked before the visit"
        );
        desk.settle(&asked, Settled::Answered, Outlook::Slow);
        for _ in 0..20 {
            visit(&desk);
        }
        let started = Instant::now();
        desk.next(|_| true).await;
        assert_eq!(
            started.elapsed().as_secs(),
            1,
            "once a second, however many come"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_visit_while_a_question_is_under_way_is_answered_by_the_next_one() {
    let desk = desk();
    desk.follow(&id("a"));
    for _ in 0..10 {
        let asked = desk.next(|_| true).await;
        desk.settle(&asked, Settled::Answered, Outlook::Slow);
    }
    let asked = desk.next(|_| true).await;
    desk.want(&id("a"));
    desk.settle(&asked, Settled::Answered, Outlook::Slow);
    let started = Instant::now();
    desk.next(|_| true).await;
    assert_eq!(started.elapsed().as_secs(), 1);
}
