//! Visits of payers and watchers are in the timeline, and do not fill it.

use chasqui_payment::WatchTransport;
use chasqui_store::{TIMELINE_LIMIT, TimelineEntry, VISITS_LIMIT};

use crate::fixtures::*;

async fn visit(store: &dyn Store, visit: Visit, ms: i64) -> bool {
    let recorded = store.record_visit(&id("p1"), visit, at(ms)).await;
    recorded.expect("record_visit")
}

pub async fn visits_are_in_the_timeline(factory: &impl StoreFactory) {
    let store = factory.fresh().await;
    store.create(&payment("p1")).await.expect("create");
    let visits = [
        (20, Visit::Returned),
        (21, Visit::Watched(WatchTransport::WebSocket)),
        (22, Visit::Watched(WatchTransport::Sse)),
        (23, Visit::Watched(WatchTransport::Polling)),
        (24, Visit::Seen(version(14))),
        (25, Visit::Seen(Version::CONFIRMED)),
    ];
    for (ms, it) in visits {
        assert!(visit(&*store, it, ms).await, "{it:?}");
    }
    let timeline = store.timeline(&id("p1")).await.expect("timeline");
    let expected = visits.map(|(ms, visit)| TimelineEntry {
        at: at(ms),
        event: TimelineEvent::Visited(visit),
    });
    assert_eq!(timeline[1..], expected);
    let kept = store.payment(&id("p1")).await.expect("payment");
    assert_eq!(kept, Some(payment("p1")));
}

pub async fn a_version_is_seen_once(factory: &impl StoreFactory) {
    let store = factory.fresh().await;
    store.create(&payment("p1")).await.expect("create");
    let recorded = at_once(8, |n| {
        let store = Arc::clone(&store);
        let ms = i64::try_from(n).expect("small");
        async move { visit(&*store, Visit::Seen(version(14)), ms).await }
    })
    .await;
    assert_eq!(recorded.iter().filter(|recorded| **recorded).count(), 1);
    assert!(visit(&*store, Visit::Seen(version(22)), 20).await);
    assert_eq!(events(&*store, "p1").await.len(), 3);
}

pub async fn a_page_that_reloads_in_a_loop_does_not_fill_the_timeline(factory: &impl StoreFactory) {
    let store = factory.fresh().await;
    store.create(&payment("p1")).await.expect("create");
    for (transport, count) in [
        (WatchTransport::Sse, VISITS_LIMIT),
        (WatchTransport::Polling, 0),
    ] {
        let mut recorded = 0;
        for _ in 0..VISITS_LIMIT + 3 {
            recorded += usize::from(visit(&*store, Visit::Watched(transport), 20).await);
        }
        assert_eq!(recorded, count);
    }
    for n in 0..VISITS_LIMIT + 3 {
        assert_eq!(visit(&*store, Visit::Returned, 20).await, n < VISITS_LIMIT);
    }
    assert_eq!(events(&*store, "p1").await.len(), 1 + 2 * VISITS_LIMIT);
}

pub async fn a_full_timeline_takes_no_visit(factory: &impl StoreFactory) {
    let store = factory.fresh().await;
    at_once(TIMELINE_LIMIT, |n| {
        let store = Arc::clone(&store);
        let observation = notified(&n.to_string(), Verdict::Stale, 10);
        async move {
            let observed = store.observe(&id("p1"), &observation).await;
            observed.expect("observe")
        }
    })
    .await;
    assert!(!visit(&*store, Visit::Returned, 20).await);
}

pub async fn a_visit_to_an_unknown_payment_is_not_recorded(factory: &impl StoreFactory) {
    let store = factory.fresh().await;
    assert!(!visit(&*store, Visit::Returned, 20).await);
    assert_eq!(events(&*store, "p1").await, []);
}
