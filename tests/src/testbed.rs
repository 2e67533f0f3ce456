//! Sandbox, merchant and gateway, started and connected.

use serde_json::{Value, json};

use crate::gateway_client::{GatewayClient, TestPayment};
use crate::gateway_settings::{AccountSettings, GatewaySettings};
use crate::in_process_gateway::InProcessGateway;
use crate::khipu_proxy::KhipuProxy;
use crate::sandbox::Sandbox;
use crate::webhook_receiver::{ReceivedDelivery, WebhookReceiver};
use crate::websocket_watcher::WebSocketWatcher;

#[derive(Debug)]
pub struct Testbed {
    pub sandbox: Sandbox,
    pub merchant: WebhookReceiver,
    pub gateway: InProcessGateway,
    pub api: GatewayClient,
    pub settings: GatewaySettings,
}

impl Testbed {
    pub async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    /// With settings that differ from the usual ones.
    pub async fn start_with(change: impl FnOnce(&mut GatewaySettings)) -> Self {
        let sandbox = Sandbox::start().await;
        let mut settings = GatewaySettings::new(&sandbox.url);
        change(&mut settings);
        Self::around(sandbox, settings).await
    }

    /// On a storage (`None`: SQLite in memory), with a second account, and the client of that account.
    pub async fn start_with_stranger(storage: Option<String>) -> (Self, GatewayClient) {
        let other = AccountSettings::other();
        let key = other.api_key.clone();
        let testbed = Self::start_with(|settings| {
            settings.accounts.push(other);
            if let Some(storage) = storage {
                settings.storage = storage;
            }
        })
        .await;
        let stranger = testbed.api.with_key(&key);
        (testbed, stranger)
    }

    /// With a recording proxy between the gateway and Khipu.
    pub async fn start_with_khipu_proxy(
        change: impl FnOnce(&mut GatewaySettings),
    ) -> (Self, KhipuProxy) {
        let sandbox = Sandbox::start().await;
        let khipu_proxy = KhipuProxy::start(&sandbox.url).await;
        let mut settings = GatewaySettings::new(&khipu_proxy.url);
        change(&mut settings);
        (Self::around(sandbox, settings).await, khipu_proxy)
    }

    async fn around(sandbox: Sandbox, settings: GatewaySettings) -> Self {
        let merchant = WebhookReceiver::start().await;
        let gateway = InProcessGateway::start(&settings).await;
        let api = GatewayClient::new(&gateway.url, &settings.accounts[0].api_key);
        Self {
            sandbox,
            merchant,
            gateway,
            api,
            settings,
        }
    }

    /// Creates a payment for the testbed's merchant, with `more` fields.
    pub async fn create(&self, more: Value) -> TestPayment {
        let mut fields = json!({ "notify_url": self.merchant.url });
        if let (Some(fields), Value::Object(more)) = (fields.as_object_mut(), more) {
            fields.extend(more);
        }
        self.api.create(fields).await
    }

    pub async fn watch(&self, payment: &TestPayment) -> WebSocketWatcher {
        WebSocketWatcher::open(&self.gateway.url, payment).await
    }

    /// Waits until every delivery that was due before now has arrived, and returns them. It confirms one more payment, whose
    /// delivery is due last, and waits for that.
    pub async fn deliveries_so_far(&mut self) -> Vec<ReceivedDelivery> {
        let last = self.create(json!({})).await;
        self.sandbox.act(&last.id, "conciliate").await;
        let mut deliveries = Vec::new();
        loop {
            let delivery = self.merchant.next().await;
            if delivery.payment_id() == last.id {
                return deliveries;
            }
            deliveries.push(delivery);
        }
    }
}
