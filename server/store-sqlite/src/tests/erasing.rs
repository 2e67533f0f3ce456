//! What was erased is in no file.

use std::fs;

use chasqui_payment::Verdict;
use chasqui_store::{Erasure, PayerData};
use chasqui_store_suite::{at, id, notified, shop};
use rusqlite::Connection;

use super::*;

const PAYER: &str = "Luz Payer, 12.345.678-9";

async fn filled(files: &Files) -> SqliteStore {
    let limits = SqliteLimits {
        busy_wait: Duration::from_millis(50),
        ..SqliteLimits::default()
    };
    let store = open(&DatabaseLocation::File(files.newest()), &limits);
    // On a page of the table, and on pages of its own.
    for body in [PAYER.to_owned(), PAYER.repeat(1000)] {
        let observation = notified(&body, Verdict::Agrees, 10);
        store
            .observe(&id("p1"), &observation)
            .await
            .expect("observe");
    }
    store
}

async fn erase(store: &SqliteStore) -> Option<String> {
    match store
        .erase(&shop(), &id("p1"), at(20))
        .await
        .expect("erase")
    {
        Erasure::Erased { warning } => warning,
        refused => panic!("{refused:?}"),
    }
}

fn holds(files: &Files, suffix: &str) -> bool {
    let path = format!("{}{suffix}", files.newest().display());
    let bytes = fs::read(path).expect("a file");
    bytes
        .windows(PAYER.len())
        .any(|part| part == PAYER.as_bytes())
}

#[tokio::test]
async fn erased_bytes_are_neither_in_the_file_nor_in_its_log() {
    let files = Files::new();
    let store = filled(&files).await;
    assert!(holds(&files, "-wal"));
    assert_eq!(erase(&store).await, None);
    assert!(!holds(&files, "") && !holds(&files, "-wal"));
}

#[tokio::test]
async fn bytes_that_reached_the_file_are_overwritten_there() {
    let files = Files::new();
    drop(filled(&files).await);
    assert!(holds(&files, ""));
    let store = open(
        &DatabaseLocation::File(files.newest()),
        &SqliteLimits::default(),
    );
    assert_eq!(erase(&store).await, None);
    assert!(!holds(&files, "") && !holds(&files, "-wal"));
}

#[tokio::test]
async fn a_reader_that_holds_the_log_is_a_warning_and_a_repetition_truncates_it() {
    let files = Files::new();
    let store = filled(&files).await;
    let shell = Connection::open(files.newest()).expect("shell");
    shell
        .execute_batch("BEGIN; SELECT * FROM payment")
        .expect("a reading");
    let warning = erase(&store).await.expect("a warning");
    assert!(warning.contains("write-ahead log"), "{warning}");
    shell.execute_batch("COMMIT").expect("its end");
    assert_eq!(erase(&store).await, None);
    assert!(!holds(&files, "") && !holds(&files, "-wal"));
}
