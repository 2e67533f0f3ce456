//! An account's payments are listed by their last change, and a reader misses none.

use std::collections::HashMap;
use std::time::Duration;

use chasqui_store::{ChangeCursor, ChangedPayment};

use crate::fixtures::*;

const BEGINNING: ChangeCursor = ChangeCursor {
    updated_at: Timestamp::from_unix_ms(0),
    id: None,
};

async fn since(store: &dyn Store, cursor: &ChangeCursor, limit: usize) -> Vec<ChangedPayment> {
    let listed = store.changed_since(&shop(), cursor, None, limit).await;
    listed.expect("changed_since")
}

/// Lists once what is committed can be listed.
async fn listed(store: &dyn Store, account: &AccountName) -> Vec<ChangedPayment> {
    passed(now().plus(Duration::from_millis(10))).await;
    let listed = store.changed_since(account, &BEGINNING, None, 1000).await;
    listed.expect("changed_since")
}

async fn names(store: &dyn Store, account: &AccountName) -> Vec<String> {
    let listed = listed(store, account).await.into_iter();
    listed.map(|changed| changed.id.to_string()).collect()
}

async fn observe(store: &dyn Store, name: &str, observation: &Observation) {
    let observed = store.observe(&id(name), observation).await;
    observed.expect("observe");
    // Changes of one moment are listed by their payments' ids.
    passed(now()).await;
}

async fn create(store: &dyn Store, payment: &Payment) {
    store.create(payment).await.expect("create");
    passed(now()).await;
}

fn after(changed: &ChangedPayment) -> ChangeCursor {
    ChangeCursor {
        updated_at: changed.updated_at,
        id: Some(changed.id.clone()),
    }
}

pub async fn payments_are_listed_by_their_last_change_the_oldest_first(
    factory: &impl StoreFactory,
) {
    let store = factory.fresh().await;
    let began = now();
    for name in ["a", "b", "c"] {
        create(&*store, &payment(name)).await;
    }
    observe(&*store, "d", &confirming("{}", 20)).await;
    // Its time is in the past: the order is the store's.
    observe(&*store, "a", &reporting(StatusKind::Verifying, 15)).await;

    let found = listed(&*store, &shop()).await;
    let rows: Vec<_> = found
        .iter()
        .map(|changed| (changed.id.as_str(), changed.state.version.number()))
        .collect();
    assert_eq!(rows, [("b", 11), ("c", 11), ("d", 1000), ("a", 14)]);
    assert_eq!(found[3].state.at, at(15));
    let transactions: Vec<_> = found
        .iter()
        .map(|it| it.transaction_id.as_deref())
        .collect();
    let order = Some("order 77");
    assert_eq!(transactions, [order, order, None, order]);
    assert!(
        found.is_sorted_by_key(|changed| changed.updated_at),
        "{found:?}"
    );
    assert!((began..=now()).contains(&found[0].updated_at), "{found:?}");
}

pub async fn what_changes_nothing_is_no_change(factory: &impl StoreFactory) {
    let store = factory.fresh().await;
    create(&*store, &payment("a")).await;
    create(&*store, &payment("b")).await;
    let before = listed(&*store, &shop()).await;
    create(&*store, &payment("a")).await;
    for observation in [
        reporting(StatusKind::Created, 20),
        notified("{}", Verdict::Stale, 20),
        scheduling(JobKind::Check, 20),
    ] {
        observe(&*store, "a", &observation).await;
    }
    assert_eq!(listed(&*store, &shop()).await, before);
}

pub async fn terms_that_come_later_are_a_change(factory: &impl StoreFactory) {
    let store = factory.fresh().await;
    observe(&*store, "a", &confirming("{}", 20)).await;
    observe(&*store, "b", &confirming("{}", 20)).await;
    create(&*store, &payment("a")).await;
    assert_eq!(names(&*store, &shop()).await, ["b", "a"]);
}

pub async fn a_page_continues_after_a_payment(factory: &impl StoreFactory) {
    let store = factory.fresh().await;
    for name in ["a", "b", "c"] {
        create(&*store, &payment(name)).await;
    }
    let all = listed(&*store, &shop()).await;
    let from_its_time = ChangeCursor {
        updated_at: all[1].updated_at,
        id: None,
    };
    assert_eq!(since(&*store, &from_its_time, 9).await, all[1..]);
    assert_eq!(since(&*store, &after(&all[1]), 9).await, all[2..]);
    assert_eq!(since(&*store, &after(&all[2]), 9).await, []);
    assert_eq!(since(&*store, &BEGINNING, 2).await, all[..2]);
    assert_eq!(since(&*store, &BEGINNING, 0).await, []);

    // The payment after which a page continues may change meanwhile.
    observe(&*store, "b", &reporting(StatusKind::Verifying, 15)).await;
    passed(now().plus(Duration::from_millis(10))).await;
    let rest = since(&*store, &after(&all[1]), 9).await;
    let rest: Vec<_> = rest.iter().map(|changed| changed.id.as_str()).collect();
    assert_eq!(rest, ["c", "b"]);
}

pub async fn pages_have_every_payment_once(factory: &impl StoreFactory) {
    let store = factory.fresh().await;
    at_once(150, |n| {
        let store = Arc::clone(&store);
        async move {
            store
                .create(&payment(&format!("p{n}")))
                .await
                .expect("create")
        }
    })
    .await;
    let all = listed(&*store, &shop()).await;
    assert_eq!(all.len(), 150);
    for size in [7, 149, 150] {
        let (mut read, mut cursor) = (Vec::new(), BEGINNING);
        loop {
            let page = since(&*store, &cursor, size).await;
            let Some(last) = page.last() else { break };
            cursor = after(last);
            read.extend(page);
        }
        assert_eq!(read, all, "{size}");
    }
}

pub async fn only_the_accounts_payments_are_listed(factory: &impl StoreFactory) {
    let store = factory.fresh().await;
    let foreign = |name| Payment {
        account: other_shop(),
        reference: None,
        ..payment(name)
    };
    create(&*store, &payment("a")).await;
    create(&*store, &foreign("b")).await;
    observe(&*store, "c", &notified("{}", Verdict::UnknownPayment, 20)).await;
    assert_eq!(names(&*store, &shop()).await, ["a", "c"]);
    // It was the other account's.
    create(&*store, &foreign("c")).await;
    assert_eq!(names(&*store, &shop()).await, ["a"]);
    assert_eq!(names(&*store, &other_shop()).await, ["b", "c"]);
}

pub async fn a_status_is_found_among_many_others(factory: &impl StoreFactory) {
    let store = factory.fresh().await;
    at_once(200, |n| {
        let store = Arc::clone(&store);
        async move {
            store
                .create(&payment(&format!("p{n}")))
                .await
                .expect("create")
        }
    })
    .await;
    for name in ["p3", "p1", "p2"] {
        observe(&*store, name, &reporting(StatusKind::Rejected, 20)).await;
    }
    create(&*store, &payment("last")).await;
    passed(now().plus(Duration::from_millis(10))).await;
    let find = async |status, limit| {
        let found = store
            .changed_since(&shop(), &BEGINNING, Some(status), limit)
            .await;
        let found = found.expect("changed_since").into_iter();
        found
            .map(|changed| changed.id.to_string())
            .collect::<Vec<_>>()
    };
    assert_eq!(find(Status::Rejected, 2).await, ["p3", "p1"]);
    assert_eq!(find(Status::Rejected, 9).await, ["p3", "p1", "p2"]);
    assert_eq!(find(Status::Reversed, 9).await, Vec::<String>::new());
    let pending = find(Status::Pending, 1000).await;
    assert_eq!((pending.len(), pending[197].as_str()), (198, "last"));
}

pub async fn a_payments_place_is_that_of_its_last_change(factory: &impl StoreFactory) {
    let store = factory.fresh().await;
    store.create(&payment("p1")).await.expect("create");
    let place = async |account: AccountName| {
        let place = store.changed_at(&account, &id("p1")).await;
        place.expect("read")
    };
    let created = place(shop()).await.expect("listed");
    store
        .observe(&id("p1"), &reporting(StatusKind::Confirmed, 30))
        .await
        .expect("observe");
    let changed = place(shop()).await.expect("listed");
    assert!(changed > created);
    let since = ChangeCursor {
        updated_at: changed,
        id: None,
    };
    let listed = store.changed_since(&shop(), &since, None, 10).await;
    assert_eq!(listed.expect("read")[0].updated_at, changed);
    assert_eq!(place(other_shop()).await, None);
}

pub async fn nothing_before_the_cursor_is_listed(factory: &impl StoreFactory) {
    let store = factory.fresh().await;
    create(&*store, &payment("a")).await;
    passed(now()).await;
    let cursor = ChangeCursor {
        updated_at: now(),
        id: None,
    };
    assert_eq!(since(&*store, &cursor, 9).await, []);
    create(&*store, &payment("b")).await;
    passed(now().plus(Duration::from_millis(10))).await;
    let found = since(&*store, &cursor, 9).await;
    assert_eq!((found.len(), found[0].id.as_str()), (1, "b"));
}

/// Changes that are committed while it reads, in any partition, by any instance.
pub async fn a_reader_that_continues_after_the_newest_change_misses_none(
    factory: &impl StoreFactory,
) {
    const PAYMENTS: usize = 40;
    const NUMBERS: [u16; 6] = [14, 17, 22, 23, 1000, 1001];
    let store = factory.fresh().await;
    let writers: Vec<_> = (0..PAYMENTS)
        .map(|n| {
            let store = Arc::clone(&store);
            tokio::spawn(async move {
                let mut held = 11;
                for number in NUMBERS {
                    let update = updating(Some(held), number, 20);
                    observe(&*store, &format!("p{n}"), &update).await;
                    held = number;
                }
            })
        })
        .collect();
    let (mut seen, mut cursor) = (HashMap::new(), BEGINNING);
    let mut remaining = 1;
    while remaining > 0 {
        // One more reading after the last change.
        let are_written = writers.iter().all(tokio::task::JoinHandle::is_finished);
        if are_written {
            passed(now().plus(Duration::from_millis(10))).await;
            remaining = 0;
        }
        loop {
            let page = since(&*store, &cursor, 10).await;
            let Some(last) = page.last() else { break };
            cursor = after(last);
            for changed in page {
                seen.insert(changed.id, changed.state.version.number());
            }
        }
    }
    assert_eq!(seen.len(), PAYMENTS);
    assert!(seen.values().all(|number| *number == 1001), "{seen:?}");
}
