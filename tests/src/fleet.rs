//! Several gateway processes that share a storage, with one sandbox and one merchant.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use futures_util::{StreamExt, stream};
use serde_json::json;

use crate::background_watcher::BackgroundWatcher;
use crate::gateway_client::{GatewayClient, TestPayment};
use crate::gateway_process::GatewayProcess;
use crate::gateway_settings::GatewaySettings;
use crate::khipu_proxy::KhipuProxy;
use crate::sandbox::Sandbox;
use crate::webhook_receiver::WebhookReceiver;
use crate::websocket_watcher::WebSocketWatcher;

/// Requests that a test makes at once.
pub const AT_ONCE: usize = 64;

#[derive(Debug)]
pub struct Fleet {
    pub gateways: Vec<GatewayProcess>,
    /// The merchant's way to each.
    pub apis: Vec<GatewayClient>,
    pub merchant: WebhookReceiver,
    pub sandbox: Sandbox,
    pub settings: GatewaySettings,
}

impl Fleet {
    /// One gateway for each storage URL; they are different ways to one storage. Khipu notifies the first gateway.
    pub async fn start(storage: &[String]) -> Self {
        Self::start_with(storage, |_| {}).await
    }

    /// With settings that differ from the usual ones.
    pub async fn start_with(storage: &[String], change: impl FnOnce(&mut GatewaySettings)) -> Self {
        let sandbox = Sandbox::start().await;
        let settings = settings(&sandbox.url, change);
        Self::around(sandbox, settings, storage).await
    }

    /// With a recording proxy between all gateways and Khipu.
    pub async fn start_with_khipu_proxy(
        storage: &[String],
        change: impl FnOnce(&mut GatewaySettings),
    ) -> (Self, KhipuProxy) {
        let sandbox = Sandbox::start().await;
        let khipu_proxy = KhipuProxy::start(&sandbox.url).await;
        let settings = settings(&khipu_proxy.url, change);
        (Self::around(sandbox, settings, storage).await, khipu_proxy)
    }

    async fn around(sandbox: Sandbox, mut settings: GatewaySettings, storage: &[String]) -> Self {
        let merchant = WebhookReceiver::start().await;
        let (first, others) = storage.split_first().expect("at least one gateway");
        settings.storage.clone_from(first);
        let first = GatewayProcess::start(&settings).await;
        settings.public_url.get_or_insert_with(|| first.url.clone());
        let others = others.iter().map(async |url| {
            let settings = GatewaySettings {
                storage: url.clone(),
                ..settings.clone()
            };
            GatewayProcess::start(&settings).await
        });
        let mut gateways = vec![first];
        gateways.extend(join_all(others).await);
        let key = settings.accounts[0].api_key.clone();
        let apis = gateways
            .iter()
            .map(|gateway| GatewayClient::new(&gateway.url, &key));
        Self {
            apis: apis.collect(),
            gateways,
            merchant,
            sandbox,
            settings,
        }
    }

    pub fn urls(&self) -> Arc<[String]> {
        self.gateways
            .iter()
            .map(|gateway| gateway.url.clone())
            .collect()
    }

    /// Payments of the fleet's merchant, made through all gateways.
    pub async fn create(&self, count: usize) -> Vec<TestPayment> {
        self.create_for(&self.merchant.url, count).await
    }

    /// Payments without deliveries.
    pub async fn create_without_notify_url(&self, count: usize) -> Vec<TestPayment> {
        self.create_for("", count).await
    }

    async fn create_for(&self, notify_url: &str, count: usize) -> Vec<TestPayment> {
        stream::iter(0..count)
            .map(|number| {
                let api = &self.apis[number % self.apis.len()];
                api.create(json!({ "notify_url": notify_url }))
            })
            .buffer_unordered(AT_ONCE)
            .collect()
            .await
    }

    /// A watcher on one gateway, which has its first status.
    pub async fn watch(&self, gateway: usize, payment: &TestPayment) -> BackgroundWatcher {
        let mut watcher = self.open_watcher(gateway, payment).await;
        watcher.first_status().await;
        watcher
    }

    /// A watcher that may not have its first status yet.
    pub async fn open_watcher(&self, gateway: usize, payment: &TestPayment) -> BackgroundWatcher {
        BackgroundWatcher::spawn(WebSocketWatcher::open(&self.gateways[gateway].url, payment).await)
    }

    /// The path of each payment's return hop, by payment id.
    pub async fn return_paths(&self) -> HashMap<String, String> {
        let public_url = self.settings.public_url.as_deref().unwrap_or_default();
        let text = |payment: &serde_json::Value, field: &str| {
            payment[field].as_str().unwrap_or_default().to_owned()
        };
        let payments = self.sandbox.payments().await;
        payments
            .iter()
            .map(|payment| {
                let url = text(payment, "return_url");
                let path = url
                    .strip_prefix(public_url)
                    .unwrap_or_else(|| panic!("khipu sends the payer to {url}"));
                (text(payment, "payment_id"), path.to_owned())
            })
            .collect()
    }

    /// Notifies one gateway of each payment until it is answered 200.
    pub async fn notify_all(&self, gateway: usize, payments: &[TestPayment]) {
        let api = &self.apis[gateway];
        stream::iter(payments)
            .for_each_concurrent(AT_ONCE, |payment| async move {
                api.notify_until_accepted(&payment.id).await;
            })
            .await;
    }

    /// Fails unless one gateway shows all of them as confirmed.
    pub async fn expect_confirmed(&self, gateway: usize, payments: &[TestPayment]) {
        let lost = self.not_confirmed(gateway, payments).await;
        assert!(
            lost.is_empty(),
            "{} of {} are not confirmed: {:?}",
            lost.len(),
            payments.len(),
            &lost[..lost.len().min(5)]
        );
    }

    /// The statuses on one gateway that are not confirmed.
    pub async fn not_confirmed(&self, gateway: usize, payments: &[TestPayment]) -> Vec<String> {
        let api = &self.apis[gateway];
        stream::iter(payments)
            .map(|payment| async move {
                let status = api.status(payment).await;
                (status["status"] != "confirmed").then(|| status.to_string())
            })
            .buffer_unordered(AT_ONCE)
            .filter_map(async |lost| lost)
            .collect()
            .await
    }

    /// Waits until each of these payments was delivered at least once; the next delivery is due within `wait`.
    pub async fn expect_delivered(&mut self, payments: &[TestPayment], wait: Duration) {
        let mut missing: HashSet<&str> =
            payments.iter().map(|payment| payment.id.as_str()).collect();
        for delivery in self.merchant.drain() {
            missing.remove(delivery.payment_id().as_str());
        }
        while !missing.is_empty() {
            let delivery = self.merchant.next_within(wait).await;
            missing.remove(delivery.payment_id().as_str());
        }
    }
}

/// All watchers come from one address here. Thousands of payments would fill the debug log.
fn settings(khipu_url: &str, change: impl FnOnce(&mut GatewaySettings)) -> GatewaySettings {
    let mut settings = GatewaySettings::new(khipu_url);
    settings.limits = vec![
        "watchers_per_address = 20000".into(),
        "connections_per_address = 10000".into(),
        "requests_per_second = 100000".into(),
    ];
    settings.log = vec!["filter = \"chasqui=info\"".into()];
    change(&mut settings);
    settings
}
