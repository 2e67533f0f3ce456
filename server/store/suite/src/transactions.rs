//! Payments are found by their merchant's transaction id.

use chasqui_store::BY_TRANSACTION_LIMIT;

use crate::fixtures::*;

fn paying(name: &str, transaction_id: &str, ms: i64) -> Payment {
    let mut payment = Payment {
        reference: None,
        created_at: at(ms),
        state: PaymentState::created(at(ms)),
        ..payment(name)
    };
    if let Some(terms) = &mut payment.terms {
        terms.transaction_id = Some(transaction_id.to_owned());
    }
    payment
}

async fn create(store: &dyn Store, payment: &Payment) {
    store.create(payment).await.expect("create");
}

async fn found(store: &dyn Store, account: &AccountName, transaction_id: &str) -> Vec<PaymentId> {
    let found = store.by_transaction(account, transaction_id).await;
    found.expect("by_transaction")
}

pub async fn payments_are_found_by_transaction_the_newest_first(factory: &impl StoreFactory) {
    let store = factory.fresh().await;
    for (name, ms) in [("a", 10), ("c", 30), ("b", 20), ("c", 30)] {
        create(&*store, &paying(name, "order 77", ms)).await;
    }
    let newest_first = ["c", "b", "a"].map(id);
    assert_eq!(found(&*store, &shop(), "order 77").await, newest_first);
}

pub async fn another_account_or_transaction_is_not_found(factory: &impl StoreFactory) {
    let store = factory.fresh().await;
    create(&*store, &paying("a", "order 77", 10)).await;
    let foreign = Payment {
        account: other_shop(),
        ..paying("b", "order 77", 10)
    };
    create(&*store, &foreign).await;
    let mut nameless = paying("c", "", 10);
    nameless.terms = nameless.terms.map(|terms| PaymentTerms {
        transaction_id: None,
        ..terms
    });
    create(&*store, &nameless).await;

    assert_eq!(found(&*store, &shop(), "order 77").await, [id("a")]);
    assert_eq!(found(&*store, &other_shop(), "order 77").await, [id("b")]);
    for unknown in ["", "Order 77", "order 77 "] {
        assert_eq!(found(&*store, &shop(), unknown).await, [], "{unknown:?}");
    }
}

pub async fn account_and_transaction_are_separate_in_the_key(factory: &impl StoreFactory) {
    let store = factory.fresh().await;
    let account = |name| AccountName::parse(name).expect("account");
    let payment = Payment {
        account: account("ab"),
        ..paying("p1", "c", 10)
    };
    create(&*store, &payment).await;
    assert_eq!(found(&*store, &account("a"), "bc").await, []);
    assert_eq!(found(&*store, &account("ab"), "c").await, [id("p1")]);
}

pub async fn a_payment_whose_terms_came_later_is_found_by_its_transaction(
    factory: &impl StoreFactory,
) {
    let store = factory.fresh().await;
    let observation = reporting(StatusKind::Verifying, 10);
    store
        .observe(&id("early"), &observation)
        .await
        .expect("observe");
    assert_eq!(found(&*store, &shop(), "order 77").await, []);
    create(&*store, &paying("middle", "order 77", 20)).await;
    // It was observed at 10, so it counts as created then.
    create(&*store, &paying("early", "order 77", 30)).await;
    let expected = ["middle", "early"].map(id);
    assert_eq!(found(&*store, &shop(), "order 77").await, expected);
}

pub async fn a_known_transaction_stays(factory: &impl StoreFactory) {
    let store = factory.fresh().await;
    create(&*store, &paying("p1", "order 77", 10)).await;
    create(&*store, &paying("p1", "order 78", 10)).await;
    let foreign = Payment {
        account: other_shop(),
        ..paying("p1", "order 77", 10)
    };
    assert!(store.create(&foreign).await.is_err());

    assert_eq!(found(&*store, &shop(), "order 77").await, [id("p1")]);
    assert_eq!(found(&*store, &shop(), "order 78").await, []);
    assert_eq!(found(&*store, &other_shop(), "order 77").await, []);
}

pub async fn the_newest_payments_are_found_up_to_the_limit(factory: &impl StoreFactory) {
    let store = factory.fresh().await;
    let count = BY_TRANSACTION_LIMIT + 5;
    at_once(count, |n| {
        let store = Arc::clone(&store);
        let ms = i64::try_from(n).expect("small");
        async move { create(&*store, &paying(&format!("p{n}"), "test", ms)).await }
    })
    .await;
    let newest: Vec<_> = (5..count).rev().map(|n| id(&format!("p{n}"))).collect();
    assert_eq!(found(&*store, &shop(), "test").await, newest);
}
