//! Sandbox, merchant and gateway, started and connected.

use serde_json::{Value, json};

use crate::gateway_client::{Api, Created};
use crate::gateway_settings::Settings;
use crate::in_process_gateway::Gateway;
use crate::khipu_proxy::Front;
use crate::sandbox::Sandbox;
use crate::webhook_receiver::{Delivery, Merchant};
use crate::websocket_watcher::Watcher;

#[derive(Debug)]
pub struct Stage {
    pub sandbox: Sandbox,
    pub merchant: Merchant,
    pub gateway: Gateway,
    pub api: Api,
    pub settings: Settings,
}

impl Stage {
    pub async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    /// With settings that differ from the usual ones.
    pub async fn start_with(change: impl FnOnce(&mut Settings)) -> Self {
        let sandbox = Sandbox::start().await;
        let mut settings = Settings::new(&sandbox.url);
        change(&mut settings);
        Self::around(sandbox, settings).await
    }

    /// With a front between the gateway and Khipu.
    pub async fn start_behind_front(change: impl FnOnce(&mut Settings)) -> (Self, Front) {
        let sandbox = Sandbox::start().await;
        let front = Front::start(&sandbox.url).await;
        let mut settings = Settings::new(&front.url);
        change(&mut settings);
        (Self::around(sandbox, settings).await, front)
    }

    async fn around(sandbox: Sandbox, settings: Settings) -> Self {
        let merchant = Merchant::start().await;
        let gateway = Gateway::start(&settings).await;
        let api = Api::new(&gateway.url, &settings.accounts[0].api_key);
        Self {
            sandbox,
            merchant,
            gateway,
            api,
            settings,
        }
    }

    /// Creates a payment whose merchant is the stage's, with `more` fields.
    pub async fn create(&self, more: Value) -> Created {
        let mut fields = json!({ "notify_url": self.merchant.url });
        if let (Some(fields), Value::Object(more)) = (fields.as_object_mut(), more) {
            fields.extend(more);
        }
        self.api.create(fields).await
    }

    pub async fn watch(&self, payment: &Created) -> Watcher {
        Watcher::open(&self.gateway.url, payment).await
    }

    /// Everything that was to be delivered before now has been, and nothing more: another payment is confirmed, and its
    /// delivery, which is due later than all of them, has arrived. Answers what came before it.
    pub async fn deliveries_so_far(&mut self) -> Vec<Delivery> {
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
