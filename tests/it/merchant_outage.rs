//! A merchant that is down for a day. Time is simulated in the store: each wait of the schedule is counted and then ended.

use std::path::Path;
use std::time::Duration;

use chasqui_tests::deadline::eventually;
use chasqui_tests::gateway_client::TestPayment;
use chasqui_tests::testbed::Testbed;
use jiff::Timestamp;
use redis_processes::{Options, RedisServer};
use rusqlite::Connection;
use serde_json::{Value, json};

const DAY: Duration = Duration::from_hours(24);

/// The workers look for due jobs every five seconds at the latest.
const NOTICED: Duration = Duration::from_secs(15);

/// Fails attempts until a day has passed by their schedule, then accepts one. `make_due` ends a wait.
async fn is_told_once_after_a_day(mut testbed: Testbed, make_due: impl AsyncFn(&str)) {
    // More than a day has: no attempt of these is accepted.
    testbed.merchant.respond_next(&[503; 10]);
    let payment = testbed.create(json!({ "custom": "of the day" })).await;
    testbed.sandbox.act(&payment.id, "conciliate").await;
    let first = testbed.merchant.next().await;
    let mut down = Duration::ZERO;
    let mut attempts = 1;
    loop {
        down += wait(&testbed, &payment, attempts).await;
        if down >= DAY {
            break;
        }
        make_due(&payment.id).await;
        let again = testbed.merchant.next_within(NOTICED).await;
        assert_eq!(again.header("webhook-id"), first.header("webhook-id"));
        attempts += 1;
    }
    assert!(
        (7..=9).contains(&attempts),
        "{attempts} attempts in {down:?}"
    );

    testbed.merchant.forget_responses();
    make_due(&payment.id).await;
    let told = testbed.merchant.next_within(NOTICED).await;
    assert_eq!(told.header("webhook-id"), first.header("webhook-id"));
    assert_eq!(told.body, first.body);
    let timeline = eventually("the delivery is done", async || {
        let timeline = timeline(&testbed, &payment).await;
        (timeline["delivery"]["state"] == "done").then_some(timeline)
    })
    .await;
    let entries = timeline["entries"].as_array().expect("entries").iter();
    let results: Vec<_> = entries
        .filter(|entry| entry["event"] == "attempted")
        .map(|entry| entry["result"].as_str().expect("a result"))
        .collect();
    assert_eq!(results.len(), attempts + 1);
    assert_eq!(results.iter().filter(|result| **result == "200").count(), 1);
    assert_eq!(results.last(), Some(&"200"));
    assert!(testbed.deliveries_so_far().await.is_empty(), "told once");
}

async fn timeline(testbed: &Testbed, payment: &TestPayment) -> Value {
    let path = format!("/v1/payments/{}/timeline", payment.id);
    testbed.api.get(&path).await.expect(200).json()
}

/// How long the schedule waits after so many attempts.
async fn wait(testbed: &Testbed, payment: &TestPayment, attempts: usize) -> Duration {
    let delivery = eventually("the attempt is recorded", async || {
        let delivery = timeline(testbed, payment).await["delivery"].take();
        (delivery["attempts"] == attempts).then_some(delivery)
    })
    .await;
    let next_at = delivery["next_at"].as_str().expect("a time");
    let next_at: Timestamp = next_at.parse().expect("a time");
    let wait = next_at.duration_since(Timestamp::now());
    wait.unsigned_abs()
}

#[tokio::test]
async fn a_merchant_that_was_down_for_a_day_is_told_once_on_sqlite() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("chasqui.db");
    let storage = format!("sqlite:{}", file.display());
    let testbed = Testbed::start_with(|settings| settings.storage = storage).await;
    is_told_once_after_a_day(testbed, async |id| due_in_file(&file, id)).await;
}

fn due_in_file(file: &Path, id: &str) {
    let shell = Connection::open(file).expect("a shell");
    let sql = "UPDATE job SET due_at = ?2 WHERE payment_id = ?1 AND kind = 'delivery'";
    let now = Timestamp::now().as_millisecond();
    assert_eq!(shell.execute(sql, (id, now)).expect("written"), 1);
}

#[tokio::test]
async fn a_merchant_that_was_down_for_a_day_is_told_once_on_redis() {
    let redis = RedisServer::start(&Options::default()).await;
    let storage = redis.url();
    let testbed = Testbed::start_with(|settings| settings.storage = storage).await;
    is_told_once_after_a_day(testbed, async |id| due_in_redis(&redis, id).await).await;
}

async fn due_in_redis(redis: &RedisServer, id: &str) {
    let keys: Vec<String> = redis
        .ask(&["KEYS", &format!("chasqui:*:payment:{id}")])
        .await;
    let [payment] = &keys[..] else {
        panic!("{keys:?}");
    };
    let (prefix, _) = payment.split_once(":payment:").expect("a prefix");
    let queue = format!("{prefix}:agenda:delivery");
    let now = Timestamp::now().as_millisecond().to_string();
    redis
        .command(&["HSET", payment, "delivery_due", &now])
        .await;
    let moved: i64 = redis.ask(&["ZADD", &queue, "XX", "CH", &now, id]).await;
    assert_eq!(moved, 1);
}
