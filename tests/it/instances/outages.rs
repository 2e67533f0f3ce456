//! Redis is restarted, frozen, unreachable or gone, and comes back: watchers stay connected, and nothing is lost.

use std::time::{Duration, Instant};

use chasqui_tests::background_watcher::BackgroundWatcher;
use chasqui_tests::chaos_proxy::ChaosProxy;
use chasqui_tests::deadline::eventually;
use chasqui_tests::fleet::Fleet;
use chasqui_tests::gateway_client::{GatewayClient, HttpResponse, TestPayment};
use chasqui_tests::notification::{body, signed};
use chasqui_tests::websocket_watcher::WebSocketWatcher;
use redis_processes::{AppendOnly, Options, RedisServer};
use serde_json::json;
use tokio::time::sleep_until;

use super::redis_for;

/// Longer than any client's patience, and than any buffer's.
const OUTAGE: Duration = Duration::from_secs(60);

/// The only gateway whose connection to Redis fails in the half-open scenario; in the others Redis fails for all.
const CUT_OFF: usize = 2;
/// A gateway whose Redis answers, or answers again.
const OTHER: usize = 0;

/// A fleet of three with five payments, each watched on two of them.
struct OutageTestbed {
    fleet: Fleet,
    /// Khipu confirms it in the outage, without a notification.
    asked: TestPayment,
    /// Khipu confirms it in the outage and notifies, in vain.
    hinted: TestPayment,
    /// Nothing happens to it before the end of the outage.
    later: TestPayment,
    /// Its payer comes back in the outage.
    returned: TestPayment,
    return_path: String,
    on_cut_off: [BackgroundWatcher; 3],
    on_other: [BackgroundWatcher; 3],
}

impl OutageTestbed {
    async fn start(storage: &[String]) -> Self {
        let fleet = Fleet::start(storage).await;
        // What arrives is what the test sends.
        fleet
            .sandbox
            .set_behaviour(json!({ "notify": { "drop": 1 } }))
            .await;
        let mut payments = fleet.create(4).await;
        let mut next = || payments.pop().expect("four were made");
        let (asked, hinted, later, returned) = (next(), next(), next(), next());
        let return_path = fleet.return_paths().await[&returned.id].clone();
        let follow = async |gateway| {
            [
                fleet.watch(gateway, &asked).await,
                fleet.watch(gateway, &hinted).await,
                fleet.watch(gateway, &later).await,
            ]
        };
        let (on_cut_off, on_other) = (follow(CUT_OFF).await, follow(OTHER).await);
        Self {
            fleet,
            asked,
            hinted,
            later,
            returned,
            return_path,
            on_cut_off,
            on_other,
        }
    }

    fn cut_off(&self) -> &GatewayClient {
        &self.fleet.apis[CUT_OFF]
    }

    /// While it lasts: no watcher is closed or gets a wrong status, and Khipu's answers still arrive.
    async fn expect_degraded(&mut self) {
        eventually("/healthz notices", async || {
            (healthz(self.cut_off()).await.status == 503).then_some(())
        })
        .await;
        self.expect_refusals().await;

        self.fleet.sandbox.act(&self.asked.id, "conciliate").await;
        self.fleet.sandbox.act(&self.hinted.id, "conciliate").await;
        let [asked, hinted, later] = &mut self.on_cut_off;
        asked.until("confirmed").await;
        notify(&self.fleet.apis[CUT_OFF], &self.hinted)
            .await
            .expect(503);
        hinted.until("confirmed").await;
        later.expect_open();

        let page = self.cut_off().try_get(&self.return_path).await;
        let page = page.expect("an answer").expect(200).text();
        assert!(page.contains("Estamos verificando tu pago"), "{page}");
        let refresh = "http-equiv=\"refresh\" content=\"10\"";
        assert!(page.contains(refresh), "{page}");
    }

    /// What new watchers, Khipu, monitors and load balancers get.
    async fn expect_refusals(&self) {
        let api = self.cut_off();
        let health = healthz(api).await.expect(503).json();
        assert_eq!(health["status"], "degraded", "{health}");
        assert_eq!(health["parts"]["instance"], "ok", "{health}");
        let parts = health["parts"].as_object().expect("parts");
        assert!(parts.values().any(|part| part != "ok"), "{health}");
        let ready = api.try_get("/readyz").await.expect("an answer");
        ready.expect(200);

        let mut newcomer = WebSocketWatcher::open(&api.url, &self.later).await;
        assert_eq!(newcomer.closed().await.0, 4503);
        let refused = notify(api, &self.later).await.expect(503);
        assert!(!refused.header("retry-after").is_empty());
    }

    /// Afterwards every gateway works without intervention.
    async fn expect_recovery(mut self) {
        for api in &self.fleet.apis {
            eventually("/healthz reports ok", async || {
                (healthz(api).await.status == 200).then_some(())
            })
            .await;
        }
        // The watchers that stayed get the next change. It cannot come from Khipu, which answers pending.
        self.fleet.apis[OTHER]
            .notify_until_accepted(&self.later.id)
            .await;
        for watcher in [&mut self.on_cut_off[2], &mut self.on_other[2]] {
            watcher.until("confirmed").await;
        }
        // Khipu repeats what was refused, until it is accepted.
        for payment in [&self.asked, &self.hinted] {
            self.fleet.apis[OTHER]
                .notify_until_accepted(&payment.id)
                .await;
        }
        for watcher in &mut self.on_other {
            watcher.until("confirmed").await;
        }
        let payments = [self.asked, self.hinted, self.later];
        self.fleet.expect_delivered(&payments, Duration::ZERO).await;
        for gateway in 0..self.fleet.gateways.len() {
            self.fleet.expect_confirmed(gateway, &payments).await;
            let mut newcomer = self.fleet.watch(gateway, &payments[0]).await;
            newcomer.until("confirmed").await;
        }
        let onward = self.fleet.apis[CUT_OFF].try_get(&self.return_path).await;
        onward.expect("an answer").expect(200);
        let status = self.fleet.apis[OTHER].status(&self.returned).await;
        assert_eq!(status["status"], "verifying");
    }
}

async fn healthz(api: &GatewayClient) -> HttpResponse {
    api.try_get("/healthz").await.expect("an answer")
}

async fn notify(api: &GatewayClient, payment: &TestPayment) -> HttpResponse {
    let notification = body(&payment.id, &json!({}));
    api.notify(Some(&signed(&notification)), notification).await
}

#[tokio::test]
async fn redis_frozen_for_a_minute_loses_nothing() {
    let (redis, storage) = redis_for(3).await;
    let mut testbed = OutageTestbed::start(&storage).await;
    let began = Instant::now();
    redis.freeze();
    testbed.expect_degraded().await;
    sleep_until((began + OUTAGE).into()).await;
    testbed.expect_refusals().await;
    redis.thaw();
    testbed.expect_recovery().await;
}

#[tokio::test]
async fn redis_gone_for_a_minute_loses_nothing() {
    let (mut redis, storage) = redis_for(3).await;
    let mut testbed = OutageTestbed::start(&storage).await;
    let began = Instant::now();
    redis.kill();
    testbed.expect_degraded().await;
    sleep_until((began + OUTAGE).into()).await;
    testbed.expect_refusals().await;
    redis.restart().await;
    testbed.expect_recovery().await;
}

#[tokio::test]
async fn a_network_that_drops_everything_for_a_minute_loses_nothing() {
    let (redis, mut storage) = redis_for(3).await;
    let network = ChaosProxy::start(&redis.url()).await;
    storage[CUT_OFF].clone_from(&network.url);
    let mut testbed = OutageTestbed::start(&storage).await;
    let began = Instant::now();
    network.stall();
    testbed.expect_degraded().await;
    for other in [0, 1] {
        healthz(&testbed.fleet.apis[other]).await.expect(200);
    }
    sleep_until((began + OUTAGE).into()).await;
    testbed.expect_refusals().await;
    // Without a reset, so that an old connection waits forever.
    network.restore_for_newcomers();
    testbed.expect_recovery().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_restarted_under_load_loses_nothing() {
    const PAYMENTS: usize = 300;
    let mut redis = RedisServer::start(&Options::append_only(AppendOnly::Always)).await;
    let mut fleet = Fleet::start(&[redis.url(), redis.url(), redis.url()]).await;
    let payments = fleet.create(PAYMENTS).await;
    let mut watchers = Vec::new();
    for (number, payment) in payments.iter().enumerate() {
        watchers.push(fleet.watch(number % 3, payment).await);
    }
    let notifying = async {
        // Half before and half after, on a machine of the usual speed; what matters is that some are in progress.
        fleet.notify_all(OTHER, &payments).await;
    };
    let restarting = async {
        redis.terminate().await;
        redis.restart().await;
    };
    tokio::join!(notifying, restarting);
    for watcher in &mut watchers {
        watcher.until("confirmed").await;
    }
    fleet.expect_confirmed(CUT_OFF, &payments).await;
    let wait = Duration::from_secs(60);
    fleet.expect_delivered(&payments, wait).await;
}

/// Khipu's answer is compared with what was agreed also while that cannot be read.
#[tokio::test]
async fn an_answer_that_disagrees_with_the_payment_is_not_shown_in_an_outage() {
    let mut redis = RedisServer::start(&Options::default()).await;
    let (testbed, khipu_proxy) =
        chasqui_tests::testbed::Testbed::start_with_khipu_proxy(|settings| {
            settings.storage = redis.url()
        })
        .await;
    let lost = json!({ "notify": { "drop": 1 } });
    testbed.sandbox.set_behaviour(lost).await;
    let payment = testbed.create(json!({})).await;
    let mut watcher = BackgroundWatcher::spawn(testbed.watch(&payment).await);
    watcher.first_status().await;
    redis.kill();
    testbed.sandbox.act(&payment.id, "conciliate").await;
    let paid = testbed.sandbox.payment(&payment.id).await;
    let mismatches = GatewayClient::new(&testbed.gateway.admin_url, "");
    for (field, wrong) in [
        ("amount", json!("1.0000")),
        ("currency", json!("USD")),
        ("receiver_id", json!(1)),
    ] {
        let mut answer = paid.clone();
        answer[field] = wrong;
        khipu_proxy.respond_with(200, &[], &answer.to_string());
        eventually("the mismatch is counted", async || {
            let metrics = mismatches.try_get("/metrics").await?.text();
            let name = format!("chasqui_mismatches_total{{source=\"khipu\",field=\"{field}\"}}");
            metrics.contains(&name).then_some(())
        })
        .await;
        assert_eq!(watcher.status(), "pending", "{field}");
    }
    khipu_proxy.forward_again();
    watcher.until("confirmed").await;
}
