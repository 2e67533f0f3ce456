//! The file: durable, private, locked for one process, readable with other tools.

use std::fs;
use std::path::Path;

use chasqui_payment::{JobPriority, NewJob, Status, StatusKind};
use chasqui_store_suite::{at, confirming, id, reporting, scheduling, status};
use rusqlite::Connection;

use super::*;
use crate::migration;

fn refused(path: &Path) -> String {
    match SqliteStore::open(
        &DatabaseLocation::File(path.to_owned()),
        &SqliteLimits::default(),
    ) {
        Err(StoreError::Unavailable(text)) => text,
        other => panic!("not refused: {other:?}"),
    }
}

fn open_file(path: &Path) -> SqliteStore {
    open(
        &DatabaseLocation::File(path.to_owned()),
        &SqliteLimits::default(),
    )
}

/// As a sqlite3 shell opens it beside a running store.
fn shell(path: &Path) -> Connection {
    Connection::open(path).expect("shell")
}

#[tokio::test]
async fn the_writer_is_durable_and_the_readers_only_read() {
    let directory = tempfile::tempdir().expect("directory");
    let store = open_file(&directory.path().join("chasqui.db"));
    let pragma = |name: &'static str| {
        move |statements: &mut StatementCache<'_>| {
            let value = statements
                .connection()
                .pragma_query_value(None, name, |row| row.get::<_, rusqlite::types::Value>(0))?;
            Ok(value)
        }
    };
    for (name, expected) in [
        (
            "journal_mode",
            rusqlite::types::Value::from("wal".to_owned()),
        ),
        ("synchronous", 2.into()),
        ("foreign_keys", 1.into()),
        ("busy_timeout", 5000.into()),
    ] {
        assert_eq!(
            store.write(pragma(name)).await.expect(name),
            expected,
            "{name}"
        );
    }
    let written = store
        .read(|statements| {
            statements.execute("UPDATE health_check SET count = 0", [])?;
            Ok(())
        })
        .await;
    assert!(written.is_err());
}

#[tokio::test]
async fn committed_data_survives_a_killed_process() {
    let directory = tempfile::tempdir().expect("directory");
    let (path, left) = (
        directory.path().join("chasqui.db"),
        directory.path().join("left.db"),
    );
    let store = open_file(&path);
    store
        .observe(&id("p1"), &confirming("{}", 1))
        .await
        .expect("observe");
    // A copy of the files now is what a killed process leaves behind.
    for suffix in ["", "-wal"] {
        let name = |path: &Path| format!("{}{suffix}", path.display());
        fs::copy(name(&path), name(&left)).expect("copy");
    }
    let after = open_file(&left);
    assert_eq!(status(&after, "p1").await, Some(Status::Confirmed));
    assert!(after.notification(&id("p1")).await.expect("kept").is_some());
    assert!(
        after
            .next_due(JobKind::Delivery)
            .await
            .expect("due")
            .is_some()
    );
}

#[tokio::test]
async fn an_observation_that_changes_nothing_writes_nothing() {
    let directory = tempfile::tempdir().expect("directory");
    let path = directory.path().join("chasqui.db");
    let store = open_file(&path);
    let log_length = || {
        fs::metadata(directory.path().join("chasqui.db-wal"))
            .expect("log")
            .len()
    };
    store
        .observe(&id("p1"), &reporting(StatusKind::Verifying, 1))
        .await
        .expect("observe");
    let before = log_length();
    for kind in [StatusKind::Verifying, StatusKind::Created] {
        store
            .observe(&id("p1"), &reporting(kind, 2))
            .await
            .expect("observe");
    }
    assert_eq!(
        store
            .lease_due(
                JobKind::Check,
                Timestamp::from_unix_ms(9),
                9,
                Duration::ZERO
            )
            .await
            .expect("lease"),
        []
    );
    assert_eq!(log_length(), before);
    store.health_check().await.expect("healthy");
    assert!(log_length() > before, "a health check writes");
}

#[tokio::test]
async fn it_can_be_read_beside_the_running_store() {
    let directory = tempfile::tempdir().expect("directory");
    let path = directory.path().join("chasqui.db");
    let store = open_file(&path);
    store
        .observe(&id("p1"), &confirming("{\"a\":1}", 77))
        .await
        .expect("observe");
    let shell = shell(&path);
    for (sql, expected) in [
        (
            "SELECT concat_ws('|', id, account, status, status_at, late) FROM payment",
            "p1|shop|1000|77|0",
        ),
        (
            "SELECT concat_ws('|', event, source, status, accepted) FROM record ORDER BY id DESC",
            "observed|notification|1000|1",
        ),
        (
            "SELECT concat_ws('|', verdict, copies, cast(body AS TEXT)) FROM notification",
            "agrees|1|{\"a\":1}",
        ),
        (
            "SELECT concat_ws('|', kind, standing, due_at, attempts) FROM job",
            "delivery|open|77|0",
        ),
    ] {
        let line: String = shell.query_row(sql, [], |row| row.get(0)).expect(sql);
        assert_eq!(line, expected);
    }
}

#[tokio::test]
async fn a_shell_that_holds_a_transaction_is_reported_as_the_reason() {
    let directory = tempfile::tempdir().expect("directory");
    let path = directory.path().join("chasqui.db");
    let limits = SqliteLimits {
        busy_wait: Duration::from_millis(10),
        ..SqliteLimits::default()
    };
    let store = open(&DatabaseLocation::File(path.clone()), &limits);
    let shell = shell(&path);
    shell.execute_batch("BEGIN IMMEDIATE").expect("begin");
    match store.health_check().await {
        Err(StoreError::Unavailable(text)) => {
            assert!(text.contains("locked by another process"), "{text}");
        }
        other => panic!("not unavailable: {other:?}"),
    }
    shell.execute_batch("ROLLBACK").expect("end");
    store.health_check().await.expect("again");
}

#[test]
fn a_second_store_on_the_same_file_is_refused() {
    let directory = tempfile::tempdir().expect("directory");
    let path = directory.path().join("chasqui.db");
    let first = open_file(&path);
    let text = refused(&path);
    assert!(text.contains("another chasqui is using"), "{text}");
    #[cfg(unix)]
    {
        let link = directory.path().join("link.db");
        std::os::unix::fs::symlink(&path, &link).expect("link");
        let text = refused(&link);
        assert!(text.contains("another chasqui is using"), "{text}");
    }
    drop(first);
    open_file(&path);
}

#[cfg(unix)]
#[test]
fn only_its_own_user_can_read_the_file() {
    use std::os::unix::fs::PermissionsExt;

    let directory = tempfile::tempdir().expect("directory");
    let _store = open_file(&directory.path().join("chasqui.db"));
    for name in [
        "chasqui.db",
        "chasqui.db-wal",
        "chasqui.db-shm",
        "chasqui.db.lock",
    ] {
        let metadata = fs::metadata(directory.path().join(name)).expect(name);
        assert_eq!(metadata.permissions().mode() & 0o777, 0o600, "{name}");
    }
}

#[tokio::test]
async fn a_newer_schema_is_refused_and_left_as_it_is() {
    let directory = tempfile::tempdir().expect("directory");
    let path = directory.path().join("chasqui.db");
    open_file(&path)
        .observe(&id("p1"), &scheduling(JobKind::Check, 1))
        .await
        .expect("observe");
    let current = migration::STEPS.len();
    let set = |version: usize| {
        shell(&path)
            .pragma_update(None, "user_version", i64::try_from(version).expect("small"))
            .expect("pragma");
    };
    set(current + 1);
    let text = refused(&path);
    assert!(
        text.contains(&format!("schema version {}", current + 1))
            && text.contains(&format!("up to {current}")),
        "{text}"
    );
    set(current);
    assert_eq!(status(&open_file(&path), "p1").await, Some(Status::Pending));
}

fn state(path: &Path) -> Result<DatabaseState, StoreError> {
    SqliteStore::state(
        &DatabaseLocation::File(path.to_owned()),
        &SqliteLimits::default(),
    )
}

#[test]
fn the_state_tells_a_file_in_use_from_a_free_one() {
    let directory = tempfile::tempdir().expect("directory");
    let path = directory.path().join("chasqui.db");
    assert_eq!(state(&path).expect("absent"), DatabaseState::Ready);
    let store = open_file(&path);
    assert_eq!(state(&path).expect("open"), DatabaseState::InUse);
    drop(store);
    assert_eq!(state(&path).expect("closed"), DatabaseState::Ready);
    open_file(&path);
}

#[test]
fn the_state_of_an_older_file_is_reported_without_changing_it() {
    let directory = tempfile::tempdir().expect("directory");
    let path = directory.path().join("chasqui.db");
    migration::migrate(&mut shell(&path), &migration::STEPS[..1]).expect("old");
    let before = fs::read(&path).expect("read");
    let older = DatabaseState::Older {
        version: 1,
        current: migration::STEPS.len(),
    };
    assert_eq!(state(&path).expect("older"), older);
    assert_eq!(fs::read(&path).expect("read"), before);
    open_file(&path);
    assert_eq!(state(&path).expect("migrated"), DatabaseState::Ready);
}

#[test]
fn the_state_of_an_unusable_file_is_an_error() {
    let directory = tempfile::tempdir().expect("directory");
    let path = directory.path().join("chasqui.db");
    shell(&path)
        .pragma_update(None, "user_version", 99)
        .expect("pragma");
    let newer = state(&path).expect_err("newer").to_string();
    assert!(newer.contains("99"), "{newer}");
    fs::write(&path, "no database, but it looks like a file. ".repeat(100)).expect("write");
    let garbage = state(&path).expect_err("garbage").to_string();
    assert!(garbage.contains("not a database"), "{garbage}");
    assert!(state(&directory.path().join("absent/chasqui.db")).is_err());
}

#[test]
fn a_path_that_cannot_be_a_store_is_refused_with_the_reason() {
    let directory = tempfile::tempdir().expect("directory");
    let garbage = directory.path().join("garbage.db");
    fs::write(
        &garbage,
        "no database, but long enough to look like a file. ".repeat(100),
    )
    .expect("write");
    assert!(refused(&garbage).contains("damaged or not a database"));
    assert!(refused(&directory.path().join("absent/chasqui.db")).contains("check its path"));
    let text = refused(directory.path());
    assert!(text.contains("cannot be opened"), "{text}");
    assert!(refused(Path::new("")).contains("not a file's path"));
}

/// The file belongs to one process: the checks that a killed one had leased need not wait for their leases to run out.
#[tokio::test]
async fn checks_that_a_killed_process_had_leased_are_due_when_the_file_is_opened() {
    let directory = tempfile::tempdir().expect("directory");
    let path = directory.path().join("chasqui.db");
    let hour = Duration::from_secs(3600);
    let store = open_file(&path);
    for name in ["leased", "requested", "over"] {
        let check = scheduling(JobKind::Check, 10);
        store.observe(&id(name), &check).await.expect("observe");
    }
    let leased = store.lease_due(JobKind::Check, at(10), 9, hour).await;
    assert_eq!(leased.expect("lease").len(), 3);
    // Confirmed with a cross-check that follows the lease, and reversed before it ended.
    let cross_check = Observation {
        jobs: vec![NewJob::check(at(30), JobPriority::CrossCheck)],
        ..reporting(StatusKind::Confirmed, 15)
    };
    for observation in [cross_check, reporting(StatusKind::Reversed, 16)] {
        let observed = store.observe(&id("over"), &observation).await;
        observed.expect("observe");
    }
    let again = scheduling(JobKind::Check, 20);
    store
        .observe(&id("requested"), &again)
        .await
        .expect("observe");
    drop(store);

    let store = open_file(&path);
    let leased = store.lease_due(JobKind::Check, at(20), 9, hour).await;
    let mut names: Vec<_> = leased
        .expect("lease")
        .into_iter()
        .map(|leased| (leased.payment_id.to_string(), leased.attempts))
        .collect();
    names.sort();
    let expected = ["leased", "over", "requested"].map(|name| (name.to_owned(), 0));
    assert_eq!(names, expected);
}

#[tokio::test]
async fn an_unreadable_row_is_an_error_that_names_it() {
    let directory = tempfile::tempdir().expect("directory");
    let path = directory.path().join("chasqui.db");
    let store = open_file(&path);
    let reported = reporting(StatusKind::Verifying, 10);
    store.observe(&id("p1"), &reported).await.expect("observe");
    assert_eq!(store.timeline(&id("p1")).await.expect("read").len(), 1);

    for (damage, reason) in [
        ("event = 'forgotten'", "not a TimelineEvent"),
        (
            "event = 'attempted', kind = 'check', number = 1, result = '', duration_ms = -1",
            "-1",
        ),
    ] {
        let update = format!("UPDATE record SET {damage}");
        shell(&path).execute(&update, []).expect("damaged");
        let error = store
            .timeline(&id("p1"))
            .await
            .expect_err(damage)
            .to_string();
        assert!(
            error.contains("record 1 ") && error.contains(reason),
            "{error}"
        );
    }
    let update = "UPDATE payment SET amount = '1000'";
    shell(&path).execute(update, []).expect("damaged");
    let error = store.payment(&id("p1")).await.expect_err("no currency");
    assert!(error.to_string().contains("not a PaymentTerms"), "{error}");
}
