use std::time::SystemTime;

use chasqui_store::StoreError;

use super::*;

fn version(connection: &Connection) -> i64 {
    connection
        .pragma_query_value(None, "user_version", |row| row.get(0))
        .expect("pragma")
}

fn now_ms() -> i64 {
    let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    i64::try_from(since_epoch.expect("after 1970").as_millis()).expect("in range")
}

fn checks(connection: &Connection) -> i64 {
    connection
        .query_row("SELECT count FROM health_check", [], |row| row.get(0))
        .expect("health_check")
}

#[test]
fn a_fresh_file_reaches_the_current_version_and_migrating_again_changes_nothing() {
    let mut connection = Connection::open_in_memory().expect("memory");
    migrate(&mut connection, STEPS).expect("first");
    connection
        .execute("UPDATE health_check SET count = 7", [])
        .expect("write");
    migrate(&mut connection, STEPS).expect("second");
    assert_eq!(
        version(&connection),
        i64::try_from(STEPS.len()).expect("small")
    );
    assert_eq!(checks(&connection), 7);
}

#[test]
fn an_older_file_is_taken_through_the_steps_that_it_lacks() {
    let mut connection = Connection::open_in_memory().expect("memory");
    migrate(&mut connection, STEPS).expect("old");
    connection
        .execute("UPDATE health_check SET count = 7", [])
        .expect("write");
    let mut steps = STEPS.to_vec();
    steps.push("ALTER TABLE health_check ADD COLUMN colour TEXT NOT NULL DEFAULT 'yellow'");
    migrate(&mut connection, &steps).expect("new");
    assert_eq!(
        version(&connection),
        i64::try_from(steps.len()).expect("small")
    );
    let colour: String = connection
        .query_row("SELECT colour FROM health_check", [], |row| row.get(0))
        .expect("new column");
    assert_eq!((checks(&connection), colour.as_str()), (7, "yellow"));
}

#[test]
fn a_file_from_before_idempotency_keys_gets_a_place_for_them() {
    let mut connection = Connection::open_in_memory().expect("memory");
    migrate(&mut connection, &STEPS[..1]).expect("old");
    assert!(connection.prepare("SELECT * FROM idempotency").is_err());
    migrate(&mut connection, STEPS).expect("new");
    assert!(connection.prepare("SELECT * FROM idempotency").is_ok());
}

#[test]
fn a_file_from_before_transactions_were_looked_up_gets_their_index_and_uses_it() {
    let mut connection = Connection::open_in_memory().expect("memory");
    migrate(&mut connection, &STEPS[..2]).expect("old");
    let plan = |connection: &Connection| -> String {
        connection
            .query_row(
                "EXPLAIN QUERY PLAN SELECT id FROM payment WHERE account = 'a' AND transaction_id = 't'",
                [],
                |row| row.get("detail"),
            )
            .expect("plan")
    };
    assert!(!plan(&connection).contains("payment_by_transaction"));
    migrate(&mut connection, STEPS).expect("new");
    assert!(plan(&connection).contains("payment_by_transaction"));
}

#[test]
fn unconfirmed_payments_of_an_older_file_get_a_check_within_the_next_hour() {
    let mut connection = Connection::open_in_memory().expect("memory");
    migrate(&mut connection, &STEPS[..3]).expect("old");
    let now = now_ms();
    for (id, status) in [("none", 1), ("open", 2), ("dead", 3), ("paid", 6)] {
        connection
            .execute(
                "INSERT INTO payment (id, account, created_at, status, status_at, late) VALUES (?1, 'a', 1, ?2, 1, 0)",
                (id, status),
            )
            .expect("payment");
    }
    for (id, standing) in [("open", "open"), ("dead", "dead"), ("paid", "open")] {
        connection
            .execute(
                "INSERT INTO errand (payment_id, kind, standing, due_at, attempts) VALUES (?1, 'check', ?2, 7, 3)",
                (id, standing),
            )
            .expect("job");
    }
    migrate(&mut connection, STEPS).expect("new");
    let check = |id: &str| -> (i64, u32, u8) {
        connection
            .query_row(
                "SELECT due_at, attempts, priority FROM job WHERE payment_id = ?1 AND standing = 'open'",
                [id],
                |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)),
            )
            .expect("an open check")
    };
    for id in ["none", "dead"] {
        let (due_at, attempts, priority) = check(id);
        assert!((-1000..=3_601_000).contains(&(due_at - now)), "{id}");
        assert_eq!((attempts, priority), (0, 1), "{id}");
    }
    assert_eq!(check("open"), (7, 3, 1), "it had one");
    assert_eq!(check("paid"), (7, 3, 2), "its cross-check");
}

#[test]
fn the_statuses_of_0_1_become_versions() {
    let mut connection = Connection::open_in_memory().expect("memory");
    migrate(&mut connection, &STEPS[..3]).expect("old");
    for status in 1..=7 {
        connection
            .execute(
                "INSERT INTO payment (id, account, created_at, status, status_at, late)
                 VALUES ('p' || ?1, 'shop', 1, ?1, 1, 0)",
                [status],
            )
            .expect("a payment");
        connection
            .execute(
                "INSERT INTO record (payment_id, at, event, source, status, accepted)
                 VALUES ('p' || ?1, 1, 'observed', 'khipu', ?1, 1)",
                [status],
            )
            .expect("a record");
    }
    migrate(&mut connection, STEPS).expect("new");
    for table in ["payment", "record"] {
        let mut statement = connection
            .prepare(&format!("SELECT status FROM {table} ORDER BY status"))
            .expect("statement");
        let versions: Vec<u16> = statement
            .query_map([], |row| row.get(0))
            .expect("query")
            .collect::<Result<_, _>>()
            .expect("rows");
        assert_eq!(versions, [11, 12, 15, 16, 17, 1000, 1001], "{table}");
    }
}

#[test]
fn payments_of_an_older_file_are_listed_by_the_time_of_their_status() {
    let mut connection = Connection::open_in_memory().expect("memory");
    migrate(&mut connection, &STEPS[..6]).expect("old");
    connection
        .execute(
            "INSERT INTO payment (id, account, created_at, status, status_at, late)
             VALUES ('p1', 'shop', 1, 1000, 77, 0)",
            [],
        )
        .expect("a payment");
    migrate(&mut connection, STEPS).expect("new");
    let plan: String = connection
        .query_row(
            "EXPLAIN QUERY PLAN SELECT id FROM payment
             WHERE account = 'shop' AND (updated_at, id) > (1, '') ORDER BY updated_at, id",
            [],
            |row| row.get("detail"),
        )
        .expect("plan");
    assert!(plan.contains("payment_by_change"), "{plan}");
    let updated_at: i64 = connection
        .query_row("SELECT updated_at FROM payment", [], |row| row.get(0))
        .expect("a payment");
    assert_eq!(updated_at, 77);
}

#[test]
fn deliveries_of_an_older_file_are_listed_by_their_account_and_state() {
    let mut connection = Connection::open_in_memory().expect("memory");
    migrate(&mut connection, &STEPS[..6]).expect("old");
    connection
        .execute_batch(
            "INSERT INTO payment (id, account, created_at, status, status_at, late)
             VALUES ('p1', 'shop', 1, 1000, 77, 0);
             INSERT INTO job (payment_id, kind, standing, due_at, attempts)
             VALUES ('p1', 'delivery', 'dead', 7, 3), ('p1', 'check', 'open', 7, 3);",
        )
        .expect("a payment");
    migrate(&mut connection, STEPS).expect("new");
    const LISTED: &str = "SELECT scheduled_at FROM job WHERE kind = 'delivery' AND account = 'shop'
        AND standing = 'dead' AND (scheduled_at, payment_id) > (0, '') ORDER BY scheduled_at, payment_id";
    let plan: String = connection
        .query_row(&format!("EXPLAIN QUERY PLAN {LISTED}"), [], |row| {
            row.get("detail")
        })
        .expect("plan");
    assert!(plan.contains("delivery_by_account"), "{plan}");
    let scheduled_at: i64 = connection
        .query_row(LISTED, [], |row| row.get(0))
        .expect("a delivery");
    assert_eq!(scheduled_at, 77);
}

#[test]
fn a_step_that_fails_leaves_the_file_at_the_version_before() {
    let mut connection = Connection::open_in_memory().expect("memory");
    let mut steps = STEPS.to_vec();
    steps.push("CREATE TABLE half (x); SELECT * FROM nowhere");
    assert!(migrate(&mut connection, &steps).is_err());
    assert_eq!(
        version(&connection),
        i64::try_from(STEPS.len()).expect("small")
    );
    assert!(connection.prepare("SELECT * FROM half").is_err());
}

#[test]
fn a_newer_file_is_refused_naming_both_versions() {
    let mut connection = Connection::open_in_memory().expect("memory");
    connection
        .pragma_update(None, "user_version", 99)
        .expect("pragma");
    let error = migrate(&mut connection, &["SELECT 1"]).expect_err("newer");
    let text = StoreError::from(error).to_string();
    assert!(text.contains("99") && text.contains("up to 1"), "{text}");
}
