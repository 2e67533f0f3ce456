//! A panic in one of the store's threads is reported, and the store stops working.

use futures_util::FutureExt;

use super::*;

async fn panic_in_the_writer(store: &SqliteStore) {
    let never: Result<(), _> = store.write(|_| panic!("on purpose")).await;
    assert!(
        matches!(never, Err(StoreError::Unavailable(_))),
        "{never:?}"
    );
}

#[tokio::test]
async fn a_panic_in_the_writer_is_reported() {
    let store = open(&DatabaseLocation::Memory, &SqliteLimits::default());
    let failed = store.failed();
    tokio::pin!(failed);
    assert_eq!((&mut failed).now_or_never(), None);
    panic_in_the_writer(&store).await;
    assert_eq!(failed.await, "the thread store-writer panicked");
    let health = store.health_check().await;
    assert!(
        matches!(health, Err(StoreError::Unavailable(_))),
        "{health:?}"
    );
    // A later caller gets the reason too.
    assert_eq!(store.failed().await, "the thread store-writer panicked");
}

#[tokio::test]
async fn a_panic_in_a_reader_is_reported() {
    let directory = tempfile::tempdir().expect("directory");
    let location = DatabaseLocation::File(directory.path().join("chasqui.db"));
    let store = open(&location, &SqliteLimits::default());
    let never: Result<(), _> = store.read(|_| panic!("on purpose")).await;
    assert!(
        matches!(never, Err(StoreError::Unavailable(_))),
        "{never:?}"
    );
    assert_eq!(store.failed().await, "the thread store-reader panicked");
}

#[tokio::test]
async fn closing_is_no_failure() {
    let store = open(&DatabaseLocation::Memory, &SqliteLimits::default());
    let failed = store.failed();
    drop(store);
    assert_eq!(failed.now_or_never(), None);
}
