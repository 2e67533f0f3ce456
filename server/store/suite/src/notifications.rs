//! A notification is stored once, byte for byte.

use chasqui_store::StoredNotification;

use crate::fixtures::*;

fn stored(body: &str, ms: i64) -> StoredNotification {
    StoredNotification {
        body: Bytes::copy_from_slice(body.as_bytes()),
        signature: format!("t={ms},s=c2lnbmF0dXJl"),
        verdict: Verdict::Agrees,
        received_at: at(ms),
    }
}

pub async fn a_notification_is_stored_with_its_bytes_signature_and_arrival(
    factory: &impl StoreFactory,
) {
    let store = factory.fresh().await;
    let mut observation = confirming("", 30);
    let body = Bytes::from((0..=255).collect::<Vec<u8>>());
    if let Some(notification) = &mut observation.notification {
        notification.body = body.clone();
    }
    store
        .observe(&id("p1"), &observation)
        .await
        .expect("observe");
    let found = store.notification(&id("p1")).await.expect("notification");
    assert_eq!(
        found,
        Some(StoredNotification {
            body,
            ..stored("", 30)
        })
    );
}

pub async fn a_copy_is_counted_and_not_stored_again(factory: &impl StoreFactory) {
    let store = factory.fresh().await;
    for ms in [30, 40, 50] {
        store
            .observe(&id("p1"), &confirming("{}", ms))
            .await
            .expect("observe");
    }
    let found = store.notification(&id("p1")).await.expect("notification");
    assert_eq!(found, Some(stored("{}", 30)));
    let counted = TimelineEvent::Notified {
        verdict: Verdict::Agrees,
        copies: 3,
    };
    let timeline = store.timeline(&id("p1")).await.expect("timeline");
    let notified: Vec<_> = timeline
        .iter()
        .filter(|entry| matches!(entry.event, TimelineEvent::Notified { .. }))
        .collect();
    assert_eq!(notified.len(), 1);
    assert_eq!((notified[0].at, &notified[0].event), (at(30), &counted));
}

pub async fn concurrent_copies_are_one_notification(factory: &impl StoreFactory) {
    let store = factory.fresh().await;
    at_once(32, |_| {
        let store = Arc::clone(&store);
        async move {
            store
                .observe(&id("p1"), &notified("{}", Verdict::Stale, 30))
                .await
                .expect("observe")
        }
    })
    .await;
    let expected = TimelineEvent::Notified {
        verdict: Verdict::Stale,
        copies: 32,
    };
    assert_eq!(events(&*store, "p1").await, [expected]);
}

pub async fn a_copy_that_agrees_sets_the_verdict(factory: &impl StoreFactory) {
    let store = factory.fresh().await;
    for (verdict, ms) in [
        (Verdict::UnknownPayment, 30),
        (Verdict::Agrees, 40),
        (Verdict::Agrees, 50),
    ] {
        store
            .observe(&id("p1"), &notified("{}", verdict, ms))
            .await
            .expect("observe");
    }
    let expected = StoredNotification {
        received_at: at(30),
        ..stored("{}", 40)
    };
    let found = store.notification(&id("p1")).await.expect("notification");
    assert_eq!(found, Some(expected));
    let upgraded = TimelineEvent::Notified {
        verdict: Verdict::Agrees,
        copies: 3,
    };
    assert_eq!(events(&*store, "p1").await, [upgraded]);
}

pub async fn a_copy_that_does_not_agree_changes_nothing(factory: &impl StoreFactory) {
    let store = factory.fresh().await;
    for (verdict, ms) in [(Verdict::Agrees, 30), (Verdict::Stale, 40)] {
        store
            .observe(&id("p1"), &notified("{}", verdict, ms))
            .await
            .expect("observe");
    }
    let found = store.notification(&id("p1")).await.expect("notification");
    assert_eq!(found, Some(stored("{}", 30)));
}

pub async fn the_same_bytes_for_another_payment_are_another_notification(
    factory: &impl StoreFactory,
) {
    let store = factory.fresh().await;
    for name in ["p1", "p2"] {
        store
            .observe(&id(name), &notified("{}", Verdict::Agrees, 30))
            .await
            .expect("observe");
    }
    for name in ["p1", "p2"] {
        let only = TimelineEvent::Notified {
            verdict: Verdict::Agrees,
            copies: 1,
        };
        assert_eq!(events(&*store, name).await, [only]);
    }
}

pub async fn the_first_agreeing_notification_is_returned(factory: &impl StoreFactory) {
    let store = factory.fresh().await;
    for (body, verdict, ms) in [
        ("{\"n\":0}", Verdict::Mismatch, 20),
        ("{\"n\":1}", Verdict::Stale, 30),
        ("{\"n\":2}", Verdict::Agrees, 40),
        ("{\"n\":3}", Verdict::Agrees, 50),
    ] {
        store
            .observe(&id("p1"), &notified(body, verdict, ms))
            .await
            .expect("observe");
    }
    let found = store.notification(&id("p1")).await.expect("notification");
    assert_eq!(found, Some(stored("{\"n\":2}", 40)));
}

pub async fn without_an_agreeing_one_the_first_undecided_notification_is_returned(
    factory: &impl StoreFactory,
) {
    let store = factory.fresh().await;
    let (stale, unknown) = (Verdict::Stale, Verdict::UnknownPayment);
    for (name, first, second) in [("p1", stale, unknown), ("p2", unknown, stale)] {
        for (body, verdict, ms) in [
            ("{\"n\":1}", Verdict::Mismatch, 30),
            ("{\"n\":2}", Verdict::Unconciliated, 40),
            ("{\"n\":3}", first, 50),
            ("{\"n\":4}", second, 60),
        ] {
            store
                .observe(&id(name), &notified(body, verdict, ms))
                .await
                .expect("observe");
        }
        let expected = StoredNotification {
            verdict: first,
            ..stored("{\"n\":3}", 50)
        };
        let found = store.notification(&id(name)).await.expect("notification");
        assert_eq!(found, Some(expected));
    }
}

pub async fn a_mismatched_or_unconciliated_notification_is_never_returned(
    factory: &impl StoreFactory,
) {
    let store = factory.fresh().await;
    for (n, verdict) in [Verdict::Mismatch, Verdict::Unconciliated]
        .into_iter()
        .enumerate()
    {
        let observation = notified(&format!("{{\"n\":{n}}}"), verdict, 30);
        store
            .observe(&id("p1"), &observation)
            .await
            .expect("observe");
    }
    assert_eq!(store.notification(&id("p1")).await.expect("none"), None);
    assert_eq!(store.notification(&id("p2")).await.expect("none"), None);
}
