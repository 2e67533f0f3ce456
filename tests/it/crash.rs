//! SIGKILL at the worst moments: what was answered 200 is kept, and what was begun is resumed.

use chasqui_tests::chaos_proxy::ChaosProxy;
use chasqui_tests::gateway_client::{GatewayClient, TestPayment, order, try_send};
use chasqui_tests::gateway_process::GatewayProcess;
use chasqui_tests::gateway_settings::{GatewaySettings, KHIPU_SECRET};
use chasqui_tests::in_process_gateway::InProcessGateway;
use chasqui_tests::khipu_proxy::KhipuProxy;
use chasqui_tests::notification::{body, is_signed, signed};
use chasqui_tests::sandbox::Sandbox;
use chasqui_tests::webhook_receiver::WebhookReceiver;
use chasqui_tests::websocket_watcher::{WatcherEvent, WebSocketWatcher};
use futures_util::{StreamExt, stream};
use reqwest::Method;
use serde_json::json;
use tokio::sync::watch;

/// Connections that notify at once.
const AT_ONCE: usize = 64;

#[tokio::test]
async fn a_change_that_was_answered_200_reaches_the_watcher_after_a_crash_before_the_push() {
    let sandbox = Sandbox::start().await;
    let settings = GatewaySettings::new(&sandbox.url);
    let mut gateway = GatewayProcess::start(&settings).await;
    let api = GatewayClient::new(&gateway.url, &settings.accounts[0].api_key);
    let network = ChaosProxy::start(&gateway.url).await;
    let payment = api.create(json!({})).await;
    let mut watcher = WebSocketWatcher::open(&network.url, &payment).await;
    assert_eq!(watcher.status().await["status"], "pending");

    network.stall();
    // Khipu itself answers pending, so a confirmation below was stored here.
    let notification = body(&payment.id, &json!({}));
    api.notify(Some(&signed(&notification)), notification)
        .await
        .expect(200);
    gateway.kill();
    network.restore();
    assert_eq!(watcher.next().await, WatcherEvent::Lost);

    gateway.restart().await;
    let mut watcher = WebSocketWatcher::open(&network.url, &payment).await;
    assert_eq!(watcher.status().await["status"], "confirmed");
    assert_eq!(watcher.closed().await.0, 1000);
}

#[tokio::test]
async fn a_watcher_whose_connection_is_cut_gets_the_newest_status_when_it_reconnects() {
    let sandbox = Sandbox::start().await;
    let settings = GatewaySettings::new(&sandbox.url);
    let gateway = InProcessGateway::start(&settings).await;
    let api = GatewayClient::new(&gateway.url, &settings.accounts[0].api_key);
    let network = ChaosProxy::start(&gateway.url).await;
    let payment = api.create(json!({})).await;
    let mut watcher = WebSocketWatcher::open(&network.url, &payment).await;
    watcher.status().await;
    network.cut();
    assert_eq!(watcher.next().await, WatcherEvent::Lost);
    sandbox.act(&payment.id, "conciliate").await;
    sandbox.notified(&payment.id, 200).await;
    let mut watcher = WebSocketWatcher::open(&network.url, &payment).await;
    assert_eq!(watcher.status().await["status"], "confirmed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_ten_thousand_notifications_none_that_was_answered_200_is_lost_by_kills() {
    const PAYMENTS: usize = 10_000;
    const KILL_EVERY: usize = 2_500;
    let sandbox = Sandbox::start().await;
    let mut settings = GatewaySettings::new(&sandbox.url);
    settings.log = vec!["filter = \"off\"".into()];
    // The test creates payments faster than one merchant's back end may.
    settings.limits.push("requests_per_second = 100000".into());
    let mut gateway = GatewayProcess::start(&settings).await;
    let api = GatewayClient::new(&gateway.url, &settings.accounts[0].api_key);
    let payments: Vec<TestPayment> = stream::iter(0..PAYMENTS)
        .map(|_| api.create(json!({})))
        .buffer_unordered(AT_ONCE)
        .collect()
        .await;

    // Khipu's behaviour: each is sent until it is answered 200, and never again.
    let accepted = watch::Sender::new(0);
    let sending = stream::iter(&payments).for_each_concurrent(AT_ONCE, |payment| {
        let (api, accepted) = (&api, &accepted);
        async move {
            api.notify_until_accepted(&payment.id).await;
            accepted.send_modify(|count| *count += 1);
        }
    });
    let killing = async {
        for kill in 1..=PAYMENTS / KILL_EVERY {
            // The last kill comes right after the last 200.
            let mut count = accepted.subscribe();
            let enough = count.wait_for(|&count| count >= kill * KILL_EVERY).await;
            drop(enough.expect("the counter lives"));
            assert!(!gateway.has_ended(), "the gateway died by itself");
            gateway.kill();
            gateway.restart().await;
        }
    };
    tokio::join!(sending, killing);

    let lost: Vec<String> = stream::iter(&payments)
        .map(async |payment| {
            let status = api.status(payment).await;
            (status["status"] != "confirmed").then(|| status.to_string())
        })
        .buffer_unordered(AT_ONCE)
        .filter_map(async |lost| lost)
        .collect()
        .await;
    assert!(
        lost.is_empty(),
        "{} were answered 200 and forgotten: {:?}",
        lost.len(),
        &lost[..lost.len().min(5)]
    );
}

#[tokio::test]
async fn a_payment_that_khipu_made_just_before_a_crash_is_adopted_and_delivered() {
    let sandbox = Sandbox::start().await;
    let khipu_proxy = KhipuProxy::start(&sandbox.url).await;
    let mut merchant = WebhookReceiver::start().await;
    let settings = GatewaySettings::new(&khipu_proxy.url);
    let mut gateway = GatewayProcess::start(&settings).await;
    let api = GatewayClient::new(&gateway.url, &settings.accounts[0].api_key);

    khipu_proxy.hold_responses();
    let urls = json!({
        "notify_url": merchant.url,
        "return_url": "https://shop.example/thanks",
        "cancel_url": "https://shop.example/cart",
    });
    let request = api
        .call(Method::POST, "/v3/payments")
        .body(order(urls.clone()).to_string());
    let creating = tokio::spawn(try_send(request));
    khipu_proxy.until_held(1).await;
    gateway.kill();
    assert!(
        creating.await.expect("no panic").is_none(),
        "the merchant has no delivery"
    );
    khipu_proxy.release_responses();
    gateway.restart().await;

    let made = sandbox.payments().await;
    assert_eq!(made.len(), 1, "{made:?}");
    let id = made[0]["payment_id"].as_str().expect("an id");
    sandbox.act(id, "conciliate").await;
    sandbox.notified(id, 200).await;
    let delivery = merchant.next().await;
    assert_eq!(delivery.payment_id(), id);
    let signature = delivery.header("x-khipu-signature");
    assert!(is_signed(signature, KHIPU_SECRET, &delivery.body));
    let status = api.get(&format!("/v1/payments/{id}/status")).await;
    assert_eq!(status.expect(200).json()["status"], "confirmed");
    let shown = api
        .get(&format!("/v3/payments/{id}"))
        .await
        .expect(200)
        .json();
    for (name, url) in urls.as_object().expect("urls") {
        assert_eq!(&shown[name], url, "{name}");
    }
}

#[tokio::test]
async fn a_gateway_that_lost_everything_adopts_what_tokens_still_ask_for() {
    let sandbox = Sandbox::start().await;
    let settings = GatewaySettings::new(&sandbox.url);
    let mut gateway = GatewayProcess::start(&settings).await;
    let api = GatewayClient::new(&gateway.url, &settings.accounts[0].api_key);
    let (known, forgotten) = (api.create(json!({})).await, api.create(json!({})).await);
    gateway.kill();
    gateway.lose_database();
    gateway.restart().await;

    sandbox.act(&known.id, "authorize").await;
    let mut watcher = WebSocketWatcher::open(&gateway.url, &known).await;
    assert_eq!(watcher.status().await["status"], "verifying");
    sandbox.act(&known.id, "conciliate").await;
    watcher.until("confirmed").await;

    sandbox.reset().await;
    let mut watcher = WebSocketWatcher::open(&gateway.url, &forgotten).await;
    assert_eq!(watcher.closed().await.0, 4404, "khipu knows it no longer");
}
