//! A 200 to Khipu means durable: the disk is made to fail, and to be slow, under a running gateway.

use std::process::Command;
use std::time::{Duration, Instant};

use chasqui_tests::deadline::eventually;
use chasqui_tests::gateway_client::{GatewayClient, HttpResponse, TestPayment, order};
use chasqui_tests::gateway_process::GatewayProcess;
use chasqui_tests::gateway_settings::GatewaySettings;
use chasqui_tests::notification::{body, signed};
use chasqui_tests::sandbox::Sandbox;
use chasqui_tests::webhook_receiver::WebhookReceiver;
use chasqui_tests::websocket_watcher::WebSocketWatcher;
use redis_processes::running::Running;
use serde_json::json;
use tempfile::TempDir;

/// strace on a running gateway: replaces the results of its disk's calls until it is dropped.
struct Disk {
    strace: Running,
    directory: TempDir,
}

impl Disk {
    /// `fault` in strace's words: `error=EIO`, `delay_exit=1000000` (microseconds).
    async fn with_fault(gateway: &GatewayProcess, fault: &str) -> Self {
        assert!(
            Command::new("strace").arg("-V").output().is_ok(),
            "strace is needed to make a disk fail: apt-get install strace"
        );
        let directory = tempfile::tempdir().expect("a directory");
        let strace = Running::start(
            Command::new("strace")
                .args(["-f", "-o", "calls", "-e", "trace=fdatasync,fsync", "-e"])
                .arg(format!("inject=fdatasync,fsync:{fault}"))
                .args(["-p", &gateway.id().to_string()]),
            directory.path(),
        );
        let mut disk = Self { strace, directory };
        // From then on the calls of every thread are traced.
        eventually("strace is attached (it needs ptrace)", async || {
            assert!(
                disk.strace.has_ended().is_none(),
                "strace: {}",
                disk.strace.log()
            );
            disk.strace.log().contains("attached").then_some(())
        })
        .await;
        disk
    }

    /// Detaches from the gateway.
    async fn heal(mut self) {
        self.strace.terminate();
        self.strace.ended().await;
    }

    /// How often the gateway asked the disk to make something durable.
    fn syncs(&self) -> usize {
        let calls = std::fs::read_to_string(self.directory.path().join("calls"));
        calls.unwrap_or_default().matches("sync(").count()
    }
}

async fn start() -> (Sandbox, GatewayProcess, GatewayClient) {
    let sandbox = Sandbox::start().await;
    let settings = GatewaySettings::new(&sandbox.url);
    let gateway = GatewayProcess::start(&settings).await;
    let api = GatewayClient::new(&gateway.url, &settings.accounts[0].api_key);
    (sandbox, gateway, api)
}

/// How long the 200 took.
async fn notified(api: &GatewayClient, payment: &TestPayment) -> Duration {
    let notification = body(&payment.id, &json!({}));
    let signature = signed(&notification);
    let sent = Instant::now();
    api.notify(Some(&signature), notification).await.expect(200);
    sent.elapsed()
}

#[tokio::test]
async fn no_notification_is_answered_200_while_the_disk_fails() {
    let (sandbox, gateway, api) = start().await;
    let mut payments = Vec::new();
    for _ in 0..5 {
        payments.push(api.create(json!({})).await);
    }
    let disk = Disk::with_fault(&gateway, "error=EIO").await;
    for payment in &payments {
        let notification = body(&payment.id, &json!({}));
        let answer = api.notify(Some(&signed(&notification)), notification).await;
        let answer = answer.expect_problem(503, "unavailable");
        assert!(!answer.header("retry-after").is_empty());
    }
    assert!(disk.syncs() >= payments.len(), "each was tried");
    // No payment is created either, because it could not be found again.
    let answer = api.post("/v3/payments", order(json!({})).to_string()).await;
    answer.expect_problem(503, "unavailable");
    assert_eq!(sandbox.payments().await.len(), payments.len());
    disk.heal().await;

    for payment in &payments {
        assert_eq!(api.status(payment).await["status"], "pending");
        notified(&api, payment).await;
        assert_eq!(api.status(payment).await["status"], "confirmed");
    }
}

#[tokio::test]
async fn a_200_waits_for_the_disk() {
    const DELAY: Duration = Duration::from_secs(2);
    let (_sandbox, gateway, api) = start().await;
    let (quick, slow) = (api.create(json!({})).await, api.create(json!({})).await);
    let usual = notified(&api, &quick).await;
    assert!(usual < DELAY, "even a healthy disk took {usual:?}");

    let fault = format!("delay_exit={}", DELAY.as_micros());
    let disk = Disk::with_fault(&gateway, &fault).await;
    let waited = notified(&api, &slow).await;
    assert!(
        waited >= DELAY,
        "it was answered 200 after {waited:?}, before the disk had the commit"
    );
    assert!(disk.syncs() > 0);
    disk.heal().await;
}

#[tokio::test]
async fn a_commit_whose_caller_timed_out_is_still_published() {
    /// The store's callers wait 10 s.
    const DELAY: Duration = Duration::from_secs(12);
    let (_sandbox, gateway, api) = start().await;
    let mut merchant = WebhookReceiver::start().await;
    let payment = api.create(json!({ "notify_url": merchant.url })).await;
    let mut watcher = WebSocketWatcher::open(&gateway.url, &payment).await;
    assert_eq!(watcher.status().await["status"], "pending");

    let fault = format!("delay_enter={}:when=1", DELAY.as_micros());
    let disk = Disk::with_fault(&gateway, &fault).await;
    // Khipu itself answers pending: the watcher can only get what was committed.
    let notification = body(&payment.id, &json!({}));
    let answer = api.notify(Some(&signed(&notification)), notification).await;
    answer.expect_problem(503, "unavailable");
    watcher.until("confirmed").await;
    assert_eq!(merchant.next().await.payment_id(), payment.id);
    disk.heal().await;
}

#[tokio::test]
async fn healthz_names_the_failing_part_and_the_admin_listener_its_error() {
    let (_sandbox, gateway, api) = start().await;
    let healthz = async || api.try_get("/healthz").await.expect("an answer");
    let well = healthz().await.expect(200);
    assert_eq!(well.header("cache-control"), "no-store");
    let well = well.json();
    assert_eq!(well["status"], "ok");
    assert_eq!(
        well["parts"],
        json!({ "instance": "ok", "store": "ok", "relay": "ok" })
    );
    assert!(well["version"].is_string(), "{well}");

    let disk = Disk::with_fault(&gateway, "error=EIO").await;
    let ill = eventually("/healthz notices the disk", async || {
        Some(healthz().await).filter(|answer| answer.status == 503)
    })
    .await;
    let text = ill.text().to_lowercase();
    for detail in ["i/o", "eio", "disk", "sql", "/tmp"] {
        assert!(!text.contains(detail), "{text}");
    }
    let ill = ill.json();
    assert_eq!(ill["status"], "degraded");
    let parts = json!({ "instance": "ok", "store": "not available: failing", "relay": "ok" });
    assert_eq!(ill["parts"], parts);
    let admin = GatewayClient::new(&gateway.admin_url().await, "");
    let ill = admin.try_get("/healthz").await.expect("an answer");
    let store = ill.expect(503).json()["parts"]["store"].clone();
    let words = store.as_str().expect("text").to_lowercase();
    assert!(words.starts_with("not available: "), "{words}");
    assert!(words.contains("i/o"), "{words}");
    api.try_get("/readyz").await.expect("an answer").expect(200);
    disk.heal().await;
    eventually("/healthz notices that it works again", async || {
        (healthz().await.status == 200).then_some(())
    })
    .await;
}

#[tokio::test]
async fn what_was_refused_with_503_comes_again_and_is_accepted_once_the_disk_works() {
    let (sandbox, gateway, api) = start().await;
    let payment = api.create(json!({})).await;
    let mut watcher = WebSocketWatcher::open(&gateway.url, &payment).await;
    watcher.status().await;
    let disk = Disk::with_fault(&gateway, "error=EIO").await;
    sandbox.act(&payment.id, "conciliate").await;
    sandbox.notified(&payment.id, 503).await;
    // Nothing can be stored, but a watcher does not wait for that: Khipu is polled, and its answer pushed.
    watcher.until("confirmed").await;
    disk.heal().await;
    sandbox.notified(&payment.id, 200).await;
    assert_eq!(api.status(&payment).await["status"], "confirmed");
}

#[tokio::test]
async fn a_status_shown_while_the_disk_failed_reaches_the_merchant_without_watchers() {
    let (sandbox, gateway, api) = start().await;
    let mut merchant = WebhookReceiver::start().await;
    let payment = api
        .create(json!({ "notify_url": merchant.url.as_str() }))
        .await;
    let mut watcher = WebSocketWatcher::open(&gateway.url, &payment).await;
    watcher.status().await;
    // Khipu's notification is lost, and no job is due: only the watcher makes the gateway poll Khipu.
    sandbox
        .set_behaviour(json!({ "notify": { "drop": 1.0 } }))
        .await;
    let disk = Disk::with_fault(&gateway, "error=EIO").await;
    sandbox.act(&payment.id, "conciliate").await;
    watcher.until("confirmed").await;
    watcher.closed().await;
    disk.heal().await;
    // Khipu's own notification is waited for, ten seconds, before one is made.
    let delivery = merchant.next_within(Duration::from_secs(10)).await;
    assert_eq!(delivery.payment_id(), payment.id);
    assert_eq!(delivery.header("chasqui-source"), "reconciliation");
    assert_eq!(api.status(&payment).await["status"], "confirmed");
}

/// Where the bank sends the payer of a new payment.
async fn way_back(
    sandbox: &Sandbox,
    gateway: &GatewayProcess,
    api: &GatewayClient,
    return_url: &str,
) -> String {
    let payment = api.create(json!({ "return_url": return_url })).await;
    let at_khipu = sandbox.payment(&payment.id).await;
    let hop = at_khipu["return_url"].as_str().expect("a URL");
    let path = hop.strip_prefix(&gateway.url).expect("ours");
    path.to_owned()
}

const SHOP: &str = "https://shop.example/thanks";

#[track_caller]
fn assert_goes_on(answer: &HttpResponse) {
    let location = answer.header("location");
    let expected = format!("{SHOP}#chasqui=");
    assert!(location.starts_with(&expected), "{location}");
}

#[track_caller]
fn assert_is_calm(page: &HttpResponse) {
    let html = page.text();
    assert!(html.contains("Estamos verificando tu pago"), "{html}");
    assert!(
        html.contains("http-equiv=\"refresh\" content=\"10\""),
        "{html}"
    );
}

#[tokio::test]
async fn a_payer_who_comes_back_while_the_disk_does_not_answer_goes_on_to_the_shop_soon() {
    let (sandbox, gateway, api) = start().await;
    let path = way_back(&sandbox, &gateway, &api, SHOP).await;
    let disk = Disk::with_fault(&gateway, "delay_enter=8000000").await;
    let asked = Instant::now();
    let onward = api.try_get(&path).await.expect("an answer").expect(303);
    let waited = asked.elapsed();
    assert!(waited < Duration::from_secs(6), "{waited:?}");
    assert_goes_on(&onward);
    disk.heal().await;
}

#[tokio::test]
async fn a_payer_who_comes_back_while_the_disk_fails_goes_on_or_meets_a_calm_page() {
    let (sandbox, gateway, api) = start().await;
    let to_the_shop = way_back(&sandbox, &gateway, &api, SHOP).await;
    let to_no_shop = way_back(&sandbox, &gateway, &api, "").await;
    let disk = Disk::with_fault(&gateway, "error=EIO").await;
    let onward = api.try_get(&to_the_shop).await.expect("an answer");
    assert_goes_on(&onward.expect(303));
    let page = api.try_get(&to_no_shop).await.expect("an answer");
    assert_is_calm(&page.expect(200));
    disk.heal().await;
    let onward = api.try_get(&to_the_shop).await.expect("an answer");
    assert_goes_on(&onward.expect(303));
}
