//! Group commit: which operations share a commit, and what happens to the group when one fails.

use std::path::Path;
use std::pin::Pin;
use std::sync::mpsc;

use chasqui_payment::{Status, StatusKind, Verdict};
use chasqui_store_suite::{id, notified, other_shop, reporting, scheduling, status};
use futures_util::FutureExt;

use super::*;

type Waiting<'l, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'l>>;

/// Queues the operation without waiting for its result.
fn queued<'l, T>(
    operation: impl Future<Output = Result<T, StoreError>> + Send + 'l,
) -> Waiting<'l, T> {
    let mut waiting: Waiting<'l, T> = Box::pin(operation);
    assert!(waiting.as_mut().now_or_never().is_none(), "still waits");
    waiting
}

/// The writer, blocked in the middle of an operation until it is released.
struct Held<'l> {
    operation: Waiting<'l, ()>,
    release: mpsc::Sender<()>,
}

fn hold(store: &SqliteStore) -> Held<'_> {
    let (begun, begins) = mpsc::channel();
    let (release, released) = mpsc::channel();
    let operation = queued(store.write(move |_| {
        begun.send(()).expect("the test waits");
        released.recv().expect("the test releases it");
        Ok(())
    }));
    begins.recv().expect("the writer runs");
    Held { operation, release }
}

impl Held<'_> {
    async fn release(self) {
        self.release.send(()).expect("the writer waits");
        self.operation.await.expect("held operation");
    }
}

fn unavailable<T: std::fmt::Debug>(result: Result<T, StoreError>) -> String {
    match result {
        Err(StoreError::Unavailable(text)) => text,
        other => panic!("not unavailable: {other:?}"),
    }
}

fn file(directory: &TempDir) -> DatabaseLocation {
    DatabaseLocation::File(directory.path().join("chasqui.db"))
}

/// The commits in the write-ahead log: the frames that name the size of the database.
fn commits(directory: &Path) -> usize {
    const HEADER: usize = 32;
    const FRAME: usize = 24 + 4096;
    let log = std::fs::read(directory.join("chasqui.db-wal")).expect("log");
    let frames = log[HEADER..].chunks_exact(FRAME);
    frames.filter(|frame| frame[4..8] != [0; 4]).count()
}

#[tokio::test]
async fn waiting_operations_are_committed_together_up_to_the_limit() {
    let directory = tempfile::tempdir().expect("directory");
    let limits = SqliteLimits {
        group: 10,
        ..SqliteLimits::default()
    };
    let store = open(&file(&directory), &limits);
    let before = commits(directory.path());
    let held = hold(&store);
    let (observation, names) = (
        reporting(StatusKind::Verifying, 1),
        (0..25).map(|n| id(&format!("p{n}"))).collect::<Vec<_>>(),
    );
    let waiting: Vec<_> = names
        .iter()
        .map(|name| queued(store.observe(name, &observation)))
        .collect();
    held.release().await;
    for operation in waiting {
        assert!(operation.await.expect("observe").changed());
    }
    let groups = commits(directory.path()) - before;
    assert_eq!(groups, 3, "of 10, 10 and 5; the held one wrote nothing");
}

#[tokio::test]
async fn a_full_queue_answers_at_once() {
    let limits = SqliteLimits {
        write_queue: 2,
        ..SqliteLimits::default()
    };
    let store = open(&DatabaseLocation::Memory, &limits);
    let held = hold(&store);
    let (p1, observation) = (id("p1"), reporting(StatusKind::Verifying, 1));
    let waiting = [(); 2].map(|()| queued(store.observe(&p1, &observation)));
    let refused = store.observe(&p1, &observation).now_or_never();
    assert_eq!(
        unavailable(refused.expect("at once")),
        "the write queue is full"
    );
    held.release().await;
    for operation in waiting {
        operation.await.expect("was queued");
    }
    store.observe(&p1, &observation).await.expect("room again");
}

#[tokio::test]
async fn a_caller_that_waits_too_long_gets_an_error_and_the_operation_still_happens() {
    let limits = SqliteLimits {
        answer_wait: Duration::from_millis(20),
        ..SqliteLimits::default()
    };
    let store = open(&DatabaseLocation::Memory, &limits);
    let held = hold(&store);
    let text = unavailable(
        store
            .observe(&id("p1"), &reporting(StatusKind::Confirmed, 1))
            .await,
    );
    assert!(text.contains("within 20ms"), "{text}");
    held.release.send(()).expect("the writer waits");
    assert_eq!(status(&store, "p1").await, Some(Status::Confirmed));
}

#[tokio::test]
async fn nothing_is_leased_for_a_caller_that_stopped_waiting() {
    let store = open(&DatabaseLocation::Memory, &SqliteLimits::default());
    let check = scheduling(JobKind::Check, 1);
    store.observe(&id("p1"), &check).await.expect("observe");
    let held = hold(&store);
    let lease = Duration::from_secs(60);
    let lease_due = || store.lease_due(JobKind::Check, Timestamp::from_unix_ms(2), 1, lease);
    drop(queued(lease_due()));
    held.release().await;
    let leased = lease_due().await.expect("lease");
    assert_eq!(leased.len(), 1, "the job is still free");
}

#[tokio::test]
async fn readers_on_a_file_do_not_wait_for_the_writer() {
    let directory = tempfile::tempdir().expect("directory");
    let store = open(&file(&directory), &SqliteLimits::default());
    store
        .observe(&id("p1"), &reporting(StatusKind::Verifying, 1))
        .await
        .expect("observe");
    let held = hold(&store);
    assert_eq!(status(&store, "p1").await, Some(Status::Verifying));
    held.release().await;
}

#[tokio::test]
async fn a_commit_that_fails_is_reported_to_its_whole_group_and_the_next_one_works() {
    let directory = tempfile::tempdir().expect("directory");
    let store = open(&file(&directory), &SqliteLimits::default());
    let held = hold(&store);
    let (p1, observation) = (id("p1"), reporting(StatusKind::Verifying, 1));
    let before = queued(store.observe(&p1, &observation));
    // A dangling reference, which SQLite checks at the commit.
    let spoiling = queued(store.write(|statements| {
        statements.connection().execute_batch(
            "CREATE TABLE orphan (parent TEXT REFERENCES payment (id) DEFERRABLE INITIALLY DEFERRED);
             INSERT INTO orphan VALUES ('missing')",
        )?;
        Ok(())
    }));
    let foreign = Observation {
        account: other_shop(),
        ..observation.clone()
    };
    let after = queued(store.observe(&p1, &foreign));
    held.release().await;
    for text in [
        unavailable(before.await),
        unavailable(spoiling.await),
        unavailable(after.await),
    ] {
        assert!(text.contains("FOREIGN KEY"), "{text}");
    }
    assert_eq!(status(&store, "p1").await, None);
    store.observe(&p1, &observation).await.expect("next");
    assert_eq!(status(&store, "p1").await, Some(Status::Verifying));
}

#[tokio::test]
async fn a_transaction_that_is_lost_is_reported_to_its_whole_group_and_the_next_one_works() {
    let store = open(&DatabaseLocation::Memory, &SqliteLimits::default());
    let held = hold(&store);
    let (p1, observation) = (id("p1"), reporting(StatusKind::Verifying, 1));
    let before = queued(store.observe(&p1, &observation));
    // As SQLite does when memory or disk runs out at a bad moment.
    let spoiling = queued(store.write::<(), _>(|statements| {
        statements.connection().execute_batch("ROLLBACK")?;
        Err(DatabaseError::unavailable("out of memory"))
    }));
    let after = queued(store.observe(&p1, &observation));
    held.release().await;
    assert_eq!(unavailable(before.await), "out of memory");
    assert_eq!(unavailable(spoiling.await), "out of memory");
    assert_eq!(unavailable(after.await), "out of memory");
    assert_eq!(status(&store, "p1").await, None);
    store.observe(&p1, &observation).await.expect("next");
}

#[tokio::test]
async fn a_full_disk_is_reported_to_the_whole_group_and_a_write_that_fits_works_afterwards() {
    let directory = tempfile::tempdir().expect("directory");
    let store = open(&file(&directory), &SqliteLimits::default());
    store
        .observe(&id("p1"), &reporting(StatusKind::Verifying, 1))
        .await
        .expect("observe");
    let allow = |pages: i64| {
        store.write(move |statements| {
            let set = statements.connection().pragma_update_and_check(
                None,
                "max_page_count",
                pages,
                |row| row.get::<_, i64>(0),
            )?;
            Ok(set)
        })
    };
    allow(1).await.expect("no further page");

    let held = hold(&store);
    let (p1, large) = (id("p1"), notified(&"x".repeat(60_000), Verdict::Stale, 2));
    let small = reporting(StatusKind::Confirmed, 3);
    // On a full disk SQLite rolls back the whole transaction, not only the statement.
    let waiting = [
        queued(store.observe(&p1, &small)),
        queued(store.observe(&p1, &large)),
    ];
    held.release().await;
    for operation in waiting {
        let text = unavailable(operation.await);
        assert!(text.starts_with("the disk is full"), "{text}");
    }
    assert_eq!(status(&store, "p1").await, Some(Status::Verifying));
    let outcome = store.observe(&p1, &small).await.expect("needs no page");
    assert!(outcome.changed());

    allow(1_000_000).await.expect("space again");
    store.observe(&p1, &large).await.expect("fits now");
}

#[tokio::test]
async fn an_operation_that_fails_half_way_leaves_nothing() {
    let store = open(&DatabaseLocation::Memory, &SqliteLimits::default());
    let held = hold(&store);
    let half = queued(store.write::<(), _>(|statements| {
        crate::payments::observe(
            statements,
            &id("half"),
            &reporting(StatusKind::Confirmed, 1),
        )?;
        Err(DatabaseError::unavailable("half way"))
    }));
    let (whole, check) = (id("whole"), scheduling(JobKind::Check, 1));
    let other = queued(store.observe(&whole, &check));
    held.release().await;
    assert_eq!(unavailable(half.await), "half way");
    other.await.expect("committed");
    assert_eq!(status(&store, "half").await, None);
    assert_eq!(status(&store, "whole").await, Some(Status::Pending));
}

#[tokio::test]
async fn dropping_it_finishes_what_is_queued() {
    let directory = tempfile::tempdir().expect("directory");
    let store = open(&file(&directory), &SqliteLimits::default());
    let held = hold(&store);
    for n in 0..300 {
        drop(queued(store.observe(
            &id(&format!("p{n}")),
            &reporting(StatusKind::Confirmed, 1),
        )));
    }
    // No caller waits for a result any more.
    let release = held.release.clone();
    drop(held);
    release.send(()).expect("the writer waits");
    drop(store);

    let log = directory.path().join("chasqui.db-wal");
    assert!(!log.exists(), "everything is in the one file");
    let store = open(&file(&directory), &SqliteLimits::default());
    for n in 0..300 {
        assert_eq!(
            status(&store, &format!("p{n}")).await,
            Some(Status::Confirmed)
        );
    }
}
