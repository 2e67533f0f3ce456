//! Khipu fails, hangs, sends garbage, changes a text or adds fields: each client gets a clear answer, and no payment is lost
//! or made twice.

use chasqui_tests::deadline::within;
use chasqui_tests::khipu_proxy::KhipuProxy;
use chasqui_tests::testbed::Testbed;
use serde_json::{Value, json};

use super::client::Client;
use crate::both_stores::on_both_stores;

on_both_stores! {
    a_khipu_that_answers_500_though_the_payment_was_made
    a_khipu_that_fails_before_it_makes_the_payment
    a_khipu_that_hangs_after_it_made_the_payment
    a_khipu_that_answers_garbage_after_it_made_the_payment
    a_khipu_that_changes_the_text_of_a_refusal
    a_khipu_that_adds_fields
}

const GARBAGE: &str = "<html><body>Mantenimiento</body></html>";

struct Shop {
    testbed: Testbed,
    khipu_proxy: KhipuProxy,
}

async fn start(storage: Option<String>) -> Shop {
    let (testbed, khipu_proxy) = Testbed::start_with_khipu_proxy(|settings| {
        settings.khipu.push("timeout = \"3s\"".into());
        if let Some(storage) = storage {
            settings.storage = storage;
        }
    })
    .await;
    Shop {
        testbed,
        khipu_proxy,
    }
}

impl Shop {
    async fn clients(&self) -> [Client; 3] {
        let all = Client::all().await;
        all.map(|client| client.with("NOTIFY_URL", &*self.testbed.merchant.url))
    }

    async fn run(&self, client: &Client, command: &[&str]) -> Value {
        let (gateway, api) = (&self.testbed.gateway, &self.testbed.api);
        let run = client.run(&gateway.url, &api.key, &self.testbed.sandbox, command);
        run.await
    }

    /// Creates a payment whose transaction id is the client's name.
    async fn create(&self, client: &Client, key: &str) -> Value {
        self.run(client, &["create", client.name, key]).await
    }

    /// The ids of the client's payments at Khipu.
    async fn made(&self, client: &Client) -> Vec<String> {
        let payments = self.testbed.sandbox.payments().await;
        let own = payments
            .iter()
            .filter(|payment| payment["transaction_id"] == client.name);
        own.map(|payment| payment["payment_id"].as_str().expect("an id").to_owned())
            .collect()
    }

    /// After an unknown outcome: the same request is not done again. Returns the one payment.
    async fn expect_made_once(&self, client: &Client, key: &str) -> String {
        let again = self.create(client, key).await;
        expect_error(client, &again, 409, "may have been carried out");
        let mut made = self.made(client).await;
        assert_eq!(made.len(), 1, "{}", client.name);
        made.remove(0)
    }

    /// Payments that no client knows: their payers pay them, and the merchant is told.
    async fn expect_none_is_lost(&mut self, mut payments: Vec<String>) {
        for id in &payments {
            self.testbed.sandbox.act(id, "conciliate").await;
        }
        let mut delivered = Vec::new();
        while delivered.len() < payments.len() {
            delivered.push(self.testbed.merchant.next().await.payment_id());
        }
        payments.sort();
        delivered.sort();
        assert_eq!(delivered, payments);
        for client in self.clients().await {
            let read = self.run(&client, &["read", &payments[0]]).await;
            assert_eq!(read["status"], "done", "{}: {read}", client.name);
        }
    }
}

/// Whether the client got an error of its own kind, with a text that says why.
#[track_caller]
fn expect_error(client: &Client, printed: &Value, status: u16, text: &str) {
    let name = client.name;
    assert!(printed["error"].is_string(), "{name}: {printed}");
    assert_eq!(printed["status"], status, "{name}: {printed}");
    let message = printed["message"].as_str().expect("a message");
    assert!(message.contains(text), "{name}: {message}");
}

async fn a_khipu_that_answers_500_though_the_payment_was_made(mut shop: Shop) {
    let mut made = Vec::new();
    for client in shop.clients().await {
        shop.khipu_proxy.lose_next_post_response();
        let failed = shop.create(&client, client.name).await;
        expect_error(&client, &failed, 502, "khipu failed with 500");
        made.push(shop.expect_made_once(&client, client.name).await);
    }
    shop.expect_none_is_lost(made).await;
}

async fn a_khipu_that_fails_before_it_makes_the_payment(shop: Shop) {
    for client in shop.clients().await {
        shop.khipu_proxy.respond_to_post_once(500, "{}");
        let key = format!("{}-failed", client.name);
        let failed = shop.create(&client, &key).await;
        expect_error(&client, &failed, 502, "khipu failed with 500");
        let again = shop.create(&client, &key).await;
        expect_error(&client, &again, 409, "may have been carried out");
        assert!(shop.made(&client).await.is_empty(), "{}", client.name);
        let created = shop.create(&client, client.name).await;
        let made = shop.made(&client).await;
        assert_eq!(made, [created["payment_id"].as_str().expect("an id")]);
    }
}

async fn a_khipu_that_hangs_after_it_made_the_payment(mut shop: Shop) {
    let mut made = Vec::new();
    for client in shop.clients().await {
        shop.khipu_proxy.hold_post_responses();
        let hung = within(
            "the client gets an answer",
            shop.create(&client, client.name),
        )
        .await;
        shop.khipu_proxy.release_responses();
        expect_error(&client, &hung, 504, "did not answer in time");
        made.push(shop.expect_made_once(&client, client.name).await);
    }
    shop.expect_none_is_lost(made).await;
}

async fn a_khipu_that_answers_garbage_after_it_made_the_payment(mut shop: Shop) {
    let mut made = Vec::new();
    for client in shop.clients().await {
        shop.khipu_proxy.replace_next_post_response(200, GARBAGE);
        let garbage = shop.create(&client, client.name).await;
        expect_error(&client, &garbage, 502, "khipu's answer is malformed");
        let id = shop.made(&client).await.remove(0);
        shop.khipu_proxy.respond_with(200, &[], GARBAGE);
        let garbage = shop.run(&client, &["read", &id]).await;
        shop.khipu_proxy.forward_again();
        expect_error(&client, &garbage, 502, "khipu's answer is malformed");
        made.push(shop.expect_made_once(&client, client.name).await);
    }
    shop.expect_none_is_lost(made).await;
}

async fn a_khipu_that_changes_the_text_of_a_refusal(shop: Shop) {
    let refusal = json!({
        "status": 400,
        "message": "Otra redacción de mañana",
        "errors": [{ "field": "subject", "message": "otra" }],
    });
    for client in shop.clients().await {
        shop.khipu_proxy
            .respond_to_post_once(400, &refusal.to_string());
        for _ in 0..2 {
            let refused = shop.create(&client, client.name).await;
            expect_error(&client, &refused, 400, "Otra redacción de mañana");
            assert_eq!(refused["fields"], json!(["subject"]), "{}", client.name);
        }
        let key = format!("{}-corrected", client.name);
        let created = shop.create(&client, &key).await;
        let made = shop.made(&client).await;
        assert_eq!(made, [created["payment_id"].as_str().expect("an id")]);

        let mut payment = shop.testbed.sandbox.known(&made[0]).await;
        payment["status"] = "en_revision".into();
        payment["status_detail"] = "en_revision".into();
        shop.khipu_proxy
            .respond_with(200, &[], &payment.to_string());
        let read = shop.run(&client, &["read", &made[0]]).await;
        shop.khipu_proxy.forward_again();
        assert_eq!(read["status"], "en_revision", "{}: {read}", client.name);
    }
}

async fn a_khipu_that_adds_fields(shop: Shop) {
    let new_fields = [
        ("loyalty", json!({ "points": [1, 2.5, null] })),
        ("status_v4", json!("captured")),
    ];
    let with_new_fields = |mut answer: Value| {
        for (name, value) in &new_fields {
            answer[*name] = value.clone();
        }
        answer.to_string()
    };
    for client in shop.clients().await {
        let client = client.with("ACCEPT_UNKNOWN_FIELDS", "1");
        let order = json!({ "amount": 24990, "currency": "CLP", "subject": "Zapatillas", "transaction_id": client.name });
        let id = shop.testbed.sandbox.create(order).await;
        let payment = shop.testbed.sandbox.known(&id).await;
        let created = [
            "payment_id",
            "payment_url",
            "simplified_transfer_url",
            "transfer_url",
            "app_url",
            "ready_for_terminal",
        ]
        .map(|name| (name.to_owned(), payment[name].clone()));
        let created = Value::Object(created.into_iter().collect());
        shop.khipu_proxy
            .respond_to_post_once(200, &with_new_fields(created));
        for _ in 0..2 {
            let created = shop.create(&client, client.name).await;
            assert_eq!(created["payment_id"], *id, "{}: {created}", client.name);
        }
        assert_eq!(shop.made(&client).await, [&*id], "{}", client.name);

        shop.khipu_proxy
            .respond_with(200, &[], &with_new_fields(payment));
        let read = shop.run(&client, &["read", &id]).await;
        shop.khipu_proxy.forward_again();
        assert_eq!(read["status"], "pending", "{}: {read}", client.name);
    }
}
