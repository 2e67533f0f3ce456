//! `/metrics`: what an operator must notice is counted, on the admin listener alone.

use std::time::Instant;

use chasqui_tests::deadline::eventually;
use chasqui_tests::gateway_client::{GatewayClient, send};
use chasqui_tests::gateway_process::GatewayProcess;
use chasqui_tests::gateway_settings::GatewaySettings;
use chasqui_tests::khipu_proxy::KhipuProxy;
use chasqui_tests::notification::{body, signed};
use chasqui_tests::sandbox::Sandbox;
use chasqui_tests::websocket_watcher::WebSocketWatcher;
use reqwest::Method;
use serde_json::json;

/// A program of its own, because metrics are one set for all gateways in a process.
async fn start() -> (Sandbox, GatewayProcess, GatewayClient) {
    let sandbox = Sandbox::start().await;
    let settings = GatewaySettings::new(&sandbox.url);
    let gateway = GatewayProcess::start(&settings).await;
    let api = GatewayClient::new(&gateway.url, &settings.accounts[0].api_key);
    (sandbox, gateway, api)
}

async fn count(admin: &GatewayClient, name: &str) -> Option<u64> {
    let metrics = admin.try_get("/metrics").await?.expect(200).text();
    let line = metrics
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))?;
    Some(line.parse().expect("a count"))
}

async fn counted(admin: &GatewayClient, name: &str) -> u64 {
    eventually(name, async || count(admin, name).await).await
}

#[tokio::test]
async fn a_payment_that_is_paid_after_it_was_cancelled_is_counted() {
    const NAME: &str = "chasqui_paid_after_cancel_total";
    let (sandbox, gateway, api) = start().await;
    let admin = GatewayClient::new(&gateway.admin_url().await, "");
    let paid = api.create(json!({})).await;
    sandbox.act(&paid.id, "conciliate").await;
    api.until_status(&paid, "confirmed").await;
    assert_eq!(count(&admin, NAME).await, None, "nothing is wrong with it");

    let cancelled = api.create(json!({})).await;
    let path = format!("/v3/payments/{}", cancelled.id);
    send(api.call(Method::DELETE, &path)).await.expect(200);
    api.until_status(&cancelled, "cancelled").await;
    sandbox.act(&cancelled.id, "conciliate").await;
    api.until_status(&cancelled, "confirmed").await;
    assert_eq!(counted(&admin, NAME).await, 1);
}

#[tokio::test]
async fn a_receipt_for_what_was_never_sent_is_ignored() {
    let (_sandbox, gateway, api) = start().await;
    let admin = GatewayClient::new(&gateway.admin_url().await, "");
    let payment = api.create(json!({})).await;
    let mut watcher = WebSocketWatcher::open(&gateway.url, &payment).await;
    watcher.status().await;
    for seen in [1000, 12, 11] {
        watcher.acknowledge(seen).await;
    }
    let receipts = |status: &str| format!("chasqui_receipts_total{{status=\"{status}\"}}");
    assert_eq!(counted(&admin, &receipts("pending")).await, 1);
    for status in ["confirmed", "verifying"] {
        assert_eq!(count(&admin, &receipts(status)).await, None);
    }
}

#[tokio::test]
async fn a_confirmation_that_khipu_itself_denies_is_counted_and_stands() {
    let (_sandbox, gateway, api) = start().await;
    let admin = GatewayClient::new(&gateway.admin_url().await, "");
    let payment = api.create(json!({})).await;
    // Signed with the right secret, while Khipu answers pending.
    let forged = body(&payment.id, &json!({}));
    api.notify(Some(&signed(&forged)), forged).await.expect(200);
    assert!(counted(&admin, "chasqui_confirmation_disputed_total").await >= 1);
    assert_eq!(api.status(&payment).await["status"], "confirmed");
    assert!(gateway.log().contains("confirmation_disputed"));
}

#[tokio::test]
async fn a_flood_of_bad_notifications_is_counted_and_does_not_flood_the_log() {
    const FLOOD: usize = 50;
    let (_sandbox, gateway, api) = start().await;
    let admin = GatewayClient::new(&gateway.admin_url().await, "");
    let began = Instant::now();
    for _ in 0..FLOOD {
        api.notify(Some("t=1,s=bm8="), "{}").await.expect(401);
    }
    api.notify_account("unknown", None, "{}").await.expect(404);
    let refused = |code| format!("chasqui_notifications_refused_total{{code=\"{code}\"}}");
    assert_eq!(counted(&admin, &refused("invalid_signature")).await, 50);
    assert_eq!(counted(&admin, &refused("unknown_account")).await, 1);
    let log = gateway.log();
    let warnings = |code: &str| {
        log.lines()
            .filter(|line| line.contains("notification refused") && line.contains(code))
            .count()
    };
    let most = 1 + usize::try_from(began.elapsed().as_secs() / 10).expect("few");
    assert!((1..=most).contains(&warnings("invalid_signature")), "{log}");
    assert_eq!(warnings("unknown_account"), 1, "{log}");
    assert!(log.contains("suppressed=0"), "{log}");
}

#[tokio::test]
async fn an_undocumented_word_is_counted_once_per_response() {
    const NAME: &str = "chasqui_khipu_unknown_values_total{field=\"status_detail\"}";
    let sandbox = Sandbox::start().await;
    let khipu_proxy = KhipuProxy::start(&sandbox.url).await;
    let settings = GatewaySettings::new(&khipu_proxy.url);
    let gateway = GatewayProcess::start(&settings).await;
    let admin = GatewayClient::new(&gateway.admin_url().await, "");
    let api = GatewayClient::new(&gateway.url, &settings.accounts[0].api_key);
    let answer = json!({
        "payment_id": "zfxnocsow6mz",
        "receiver_id": settings.accounts[0].receiver_id,
        "amount": "1000.0000",
        "currency": "CLP",
        "status": "done",
        "status_detail": "a-word-of-tomorrow",
    });
    khipu_proxy.respond_with(200, &[], &answer.to_string());
    api.get("/v3/payments/zfxnocsow6mz").await.expect(200);
    assert_eq!(
        counted(&admin, NAME).await,
        u64::try_from(khipu_proxy.request_count("zfxnocsow6mz")).expect("few")
    );
}

#[tokio::test]
async fn the_public_listener_has_no_metrics() {
    let (_sandbox, _gateway, api) = start().await;
    api.get("/metrics").await.expect_problem(404, "unknown_url");
}
