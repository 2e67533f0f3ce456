//! Scheduled checks: payments without a watcher are confirmed and delivered too.

use std::time::{Duration, Instant};

use chasqui_tests::deadline::eventually;
use chasqui_tests::gateway_client::TestPayment;
use chasqui_tests::gateway_settings::KHIPU_SECRET;
use chasqui_tests::khipu_proxy::KhipuProxy;
use chasqui_tests::notification::{body, now_ms, signature};
use chasqui_tests::testbed::Testbed;
use redis_processes::{Options, RedisServer};
use serde_json::json;

use crate::return_hop::{hop, visit};

/// From a confirmation that a poll found to its delivery.
const DELIVERED_AFTER: Duration = Duration::from_secs(10);

/// An idle worker finds a due job within this.
const IDLE: Duration = Duration::from_secs(5);

#[tokio::test]
async fn a_payer_who_came_back_and_left_with_the_notification_lost_still_pays_the_merchant() {
    /// From the return to the check that it schedules.
    const CHECKED_AFTER: Duration = Duration::from_secs(30);
    let (mut testbed, khipu_proxy) = Testbed::start_with_khipu_proxy(|_| {}).await;
    let lost = json!({ "notify": { "drop": 1 } });
    testbed.sandbox.set_behaviour(lost).await;
    let payment = testbed.create(json!({})).await;
    let path = hop(&testbed, &payment, "return_url").await;
    khipu_proxy.hold_responses();
    let returned = Instant::now();
    visit(&testbed, &path, "es").await.expect(200);
    // The return polled Khipu, which answered pending.
    khipu_proxy.until_held(1).await;
    testbed.sandbox.act(&payment.id, "conciliate").await;
    khipu_proxy.release_responses();

    let due = CHECKED_AFTER + DELIVERED_AFTER;
    let delivery = testbed.merchant.next_within(due).await;
    assert_eq!(delivery.payment_id(), payment.id);
    assert_eq!(delivery.header("chasqui-source"), "reconciliation");
    assert!(returned.elapsed() >= due, "{:?}", returned.elapsed());
    assert_eq!(
        khipu_proxy.request_count(&payment.id),
        3,
        "then, at the check, and for the body"
    );
}

/// Its check was attempted before and waits half a minute for the next attempt; the notification does not.
#[tokio::test]
async fn a_stale_notification_after_earlier_attempts_is_confirmed_within_three_seconds() {
    let (testbed, khipu_proxy) = Testbed::start_with_khipu_proxy(|_| {}).await;
    let payment = testbed.create(json!({})).await;
    let signed_long_ago = (now_ms() - 11 * 60 * 1000).to_string();
    let notify = async || {
        let stale = body(&payment.id, &json!({}));
        let header = signature(KHIPU_SECRET, &signed_long_ago, &stale);
        testbed.api.notify(Some(&header), stale).await.expect(200);
    };
    notify().await;
    asked(&khipu_proxy, &payment, 2).await;

    let lost = json!({ "notify": { "drop": 1 } });
    testbed.sandbox.set_behaviour(lost).await;
    testbed.sandbox.act(&payment.id, "conciliate").await;
    let notified = Instant::now();
    notify().await;
    asked(&khipu_proxy, &payment, 3).await;
    // Read once at the end, because a read polls Khipu too.
    tokio::time::sleep_until((notified + Duration::from_secs(3)).into()).await;
    assert_eq!(testbed.api.status(&payment).await["status"], "confirmed");
}

async fn asked(khipu_proxy: &KhipuProxy, payment: &TestPayment, times: usize) {
    eventually(&format!("khipu is asked {times} times"), async || {
        (khipu_proxy.request_count(&payment.id) >= times).then_some(())
    })
    .await;
}

/// Khipu confirms, its notification is lost, and there is no watcher. `make_due` makes the first check, which is a quarter of
/// an hour away, due now.
async fn without_watchers(storage: String, make_due: impl AsyncFnOnce(&str)) {
    let mut testbed = Testbed::start_with(|settings| settings.storage = storage).await;
    let lost = json!({ "notify": { "drop": 1 } });
    testbed.sandbox.set_behaviour(lost).await;
    let payment = testbed.create(json!({})).await;
    testbed.sandbox.act(&payment.id, "conciliate").await;
    make_due(&payment.id).await;
    let delivery = testbed.merchant.next_within(IDLE + DELIVERED_AFTER).await;
    assert_eq!(delivery.payment_id(), payment.id);
    assert_eq!(delivery.header("chasqui-source"), "reconciliation");
    assert_eq!(testbed.api.status(&payment).await["status"], "confirmed");
}

#[tokio::test]
async fn an_unwatched_payment_is_confirmed_and_delivered() {
    let directory = tempfile::tempdir().expect("a directory");
    let database = directory.path().join("chasqui.db");
    without_watchers(
        format!("sqlite:{}", database.display()),
        async |payment_id| {
            let shell = rusqlite::Connection::open(&database).expect("a shell");
            let moved = shell
                .execute(
                    "UPDATE job SET due_at = 1 WHERE payment_id = ?1 AND kind = 'check'",
                    [payment_id],
                )
                .expect("moved");
            assert_eq!(moved, 1, "its creation scheduled a check");
        },
    )
    .await;
}

#[tokio::test]
async fn an_unwatched_payment_is_confirmed_and_delivered_on_redis() {
    let redis = RedisServer::start(&Options::default()).await;
    without_watchers(redis.url(), async |payment_id| {
        let pattern = format!("chasqui:*:payment:{payment_id}");
        let keys: Vec<String> = redis.ask(&["KEYS", &pattern]).await;
        let index = keys[0].replace(&format!("payment:{payment_id}"), "agenda:check");
        redis.command(&["HSET", &keys[0], "check_due", "1"]).await;
        let added: i64 = redis.ask(&["ZADD", &index, "1", payment_id]).await;
        assert_eq!(added, 0, "its creation scheduled a check");
    })
    .await;
}
