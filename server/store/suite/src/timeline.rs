//! The timeline lists what happened, in order.

use std::time::Duration;

use chasqui_store::{JobResult, TIMELINE_LIMIT, TimelineEntry};

use crate::fixtures::*;

pub async fn it_lists_everything_in_order(factory: &impl StoreFactory) {
    let store = factory.fresh().await;
    let p1 = id("p1");
    store.create(&payment("p1")).await.expect("create");
    let returned = Observation {
        source: Source::Payer,
        ..reporting(StatusKind::Verifying, 20)
    };
    store.observe(&p1, &returned).await.expect("observe");
    store
        .observe(&p1, &confirming("{}", 30))
        .await
        .expect("observe");
    let leased = store
        .lease_due(JobKind::Delivery, at(30), 1, Duration::from_secs(1))
        .await
        .expect("lease");
    let again = JobResult::Retry { due_at: at(60) };
    store
        .finish(&leased[0], &again, Some(&attempt(50, "connection refused")))
        .await
        .expect("finish");
    let leased = store
        .lease_due(JobKind::Delivery, at(60), 1, Duration::from_secs(1))
        .await
        .expect("lease");
    // Recorded before the attempt that began earlier, and listed after it.
    store
        .observe(&p1, &reporting(StatusKind::Reversed, 65))
        .await
        .expect("observe");
    store
        .finish(&leased[0], &JobResult::Done, Some(&attempt(60, "200")))
        .await
        .expect("finish");

    let observed = |source, number| TimelineEvent::Observed {
        source,
        version: version(number),
        accepted: true,
    };
    let attempted = |number, result: &str| TimelineEvent::Attempted {
        kind: JobKind::Delivery,
        number,
        result: result.to_owned(),
        duration: Duration::from_millis(250),
    };
    let notified = TimelineEvent::Notified {
        verdict: Verdict::Agrees,
        copies: 1,
    };
    let expected = [
        (10, TimelineEvent::Created),
        (20, observed(Source::Payer, 14)),
        (30, notified),
        (30, observed(Source::Notification, 1000)),
        (50, attempted(1, "connection refused")),
        (60, attempted(2, "200")),
        (65, observed(Source::Khipu, 1001)),
    ]
    .map(|(ms, event)| TimelineEntry { at: at(ms), event });
    assert_eq!(store.timeline(&p1).await.expect("timeline"), expected);
}

pub async fn entries_of_one_moment_stay_in_the_order_recorded(factory: &impl StoreFactory) {
    let store = factory.fresh().await;
    const NUMBERS: [u16; 6] = [14, 17, 22, 23, 1000, 1001];
    let mut held = 11;
    for number in NUMBERS {
        store
            .observe(&id("p1"), &updating(Some(held), number, 5))
            .await
            .expect("observe");
        held = number;
    }
    let expected = NUMBERS.map(|number| TimelineEvent::Observed {
        source: Source::Khipu,
        version: version(number),
        accepted: true,
    });
    assert_eq!(events(&*store, "p1").await, expected);
}

pub async fn an_update_without_effect_is_not_recorded(factory: &impl StoreFactory) {
    let store = factory.fresh().await;
    store.create(&payment("p1")).await.expect("create");
    let with_job = Observation {
        update: updating(Some(17), 22, 99).update,
        ..scheduling(JobKind::Check, 20)
    };
    for observation in [
        reporting(StatusKind::Created, 99),
        updating(Some(17), 22, 99),
        with_job,
    ] {
        let outcome = store
            .observe(&id("p1"), &observation)
            .await
            .expect("observe");
        assert!(!outcome.changed());
    }
    assert_eq!(events(&*store, "p1").await, [TimelineEvent::Created]);
    assert_eq!(
        store.payment(&id("p1")).await.expect("payment"),
        Some(payment("p1"))
    );
}

pub async fn an_update_without_effect_is_recorded_only_with_a_new_notification(
    factory: &impl StoreFactory,
) {
    let store = factory.fresh().await;
    store.create(&payment("p1")).await.expect("create");
    let confirmed = reporting(StatusKind::Confirmed, 20);
    store.observe(&id("p1"), &confirmed).await.expect("observe");
    store
        .observe(&id("p1"), &confirming("{}", 30))
        .await
        .expect("observe");
    let observed = |source, accepted| TimelineEvent::Observed {
        source,
        version: Version::CONFIRMED,
        accepted,
    };
    let notified = TimelineEvent::Notified {
        verdict: Verdict::Agrees,
        copies: 1,
    };
    assert_eq!(
        events(&*store, "p1").await,
        [
            TimelineEvent::Created,
            observed(Source::Khipu, true),
            notified,
            observed(Source::Notification, false)
        ]
    );
}

pub async fn a_copys_update_is_not_recorded_again(factory: &impl StoreFactory) {
    let store = factory.fresh().await;
    for ms in [30, 40, 50] {
        store
            .observe(&id("p1"), &confirming("{}", ms))
            .await
            .expect("observe");
    }
    let notified = TimelineEvent::Notified {
        verdict: Verdict::Agrees,
        copies: 3,
    };
    let observed = TimelineEvent::Observed {
        source: Source::Notification,
        version: Version::CONFIRMED,
        accepted: true,
    };
    assert_eq!(events(&*store, "p1").await, [notified, observed]);
}

pub async fn an_attempt_is_recorded_even_if_the_lease_was_lost(factory: &impl StoreFactory) {
    let store = factory.fresh().await;
    store
        .observe(&id("p1"), &scheduling(JobKind::Check, 10))
        .await
        .expect("observe");
    let mut holders = Vec::new();
    let brief = Duration::from_millis(20);
    for lease in [brief, Duration::from_secs(60)] {
        let leased = store.lease_due(JobKind::Check, now(), 1, lease).await;
        holders.extend(leased.expect("lease"));
        passed(now().plus(brief)).await;
    }
    for (leased, ms, holds) in [(&holders[0], 25, false), (&holders[1], 26, true)] {
        let finished = store
            .finish(leased, &JobResult::Done, Some(&attempt(ms, "200")))
            .await
            .expect("finish");
        assert_eq!(finished, holds);
    }
    let attempted = TimelineEvent::Attempted {
        kind: JobKind::Check,
        number: 1,
        result: "200".to_owned(),
        duration: Duration::from_millis(250),
    };
    assert_eq!(events(&*store, "p1").await, [attempted.clone(), attempted]);
}

pub async fn an_interrupted_attempt_is_recorded_and_not_counted(factory: &impl StoreFactory) {
    let store = factory.fresh().await;
    store
        .observe(&id("p1"), &scheduling(JobKind::Check, 10))
        .await
        .expect("observe");
    let cut_off = JobResult::PutBack { due_at: at(30) };
    for (now, end, result) in [(10, cut_off, "cut off"), (30, JobResult::Done, "200")] {
        let leased = store
            .lease_due(JobKind::Check, at(now), 1, Duration::from_secs(1))
            .await
            .expect("lease");
        assert_eq!(leased[0].attempts, 0);
        let attempt = attempt(now, result);
        let finished = store.finish(&leased[0], &end, Some(&attempt)).await;
        assert!(finished.expect("finish"));
    }
    let attempted = |result: &str| TimelineEvent::Attempted {
        kind: JobKind::Check,
        number: 1,
        result: result.to_owned(),
        duration: Duration::from_millis(250),
    };
    assert_eq!(
        events(&*store, "p1").await,
        [attempted("cut off"), attempted("200")]
    );
}

pub async fn it_lists_the_oldest_entries_up_to_its_limit(factory: &impl StoreFactory) {
    let store = factory.fresh().await;
    // The first may arrive in any order; the last arrive after them.
    for numbers in [0..TIMELINE_LIMIT, TIMELINE_LIMIT..TIMELINE_LIMIT + 5] {
        at_once(numbers.len(), |n| {
            let store = Arc::clone(&store);
            let n = numbers.start + n;
            let ms = i64::try_from(n).expect("small");
            let observation = notified(&n.to_string(), Verdict::Stale, ms);
            async move {
                store
                    .observe(&id("p1"), &observation)
                    .await
                    .expect("observe")
            }
        })
        .await;
    }
    let timeline = store.timeline(&id("p1")).await.expect("timeline");
    assert_eq!(timeline.len(), TIMELINE_LIMIT);
    let times: Vec<_> = timeline.iter().map(|entry| entry.at.unix_ms()).collect();
    let last = i64::try_from(TIMELINE_LIMIT).expect("small");
    assert_eq!(times, (0..last).collect::<Vec<_>>());
}

pub async fn an_unknown_payment_has_no_timeline(factory: &impl StoreFactory) {
    let store = factory.fresh().await;
    assert_eq!(store.timeline(&id("p1")).await.expect("timeline"), []);
}
