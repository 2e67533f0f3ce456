//! Khipu's plugin for WooCommerce behind the gateway, on a stand-in for WordPress.

use std::fs;

use chasqui_tests::deadline::eventually;
use chasqui_tests::gateway_client::{client, send};
use chasqui_tests::gateway_settings::RECEIVER_ID;
use chasqui_tests::notification::body;
use serde_json::{Value, json};

use super::shop::{Shop, php};

#[tokio::test]
async fn khipus_plugin_for_woocommerce_sells_through_the_gateway() {
    let shop = php("woocommerce/tests/site.php").await;
    let order = shop.order("/orders").await;
    let payment = shop.testbed.sandbox.payment(&order.payment_id).await;
    assert_eq!(payment["simplified_transfer_url"], order.location);
    let request = &shop.requests()[0];
    assert_eq!(
        request["url"],
        format!("{}/v3/payments", shop.testbed.gateway.url)
    );
    assert_eq!(request["timeout"], 15);
    assert_eq!(
        request["headers"],
        json!({ "x-api-key": shop.testbed.api.key, "content-type": "application/json" })
    );

    // The payer returns to the thank-you page, with the token in its address.
    let hop = payment["return_url"].as_str().expect("a return_url");
    let returned = send(client().get(hop)).await.expect(303);
    let location = returned.header("location");
    let expected = format!("{}/orders/{}#chasqui=", shop.url, order.id);
    assert!(location.starts_with(&expected), "{location}");
    let page = format!("/orders/{}", order.id);
    let waiting = shop.get(&page).await.expect(200).text();
    let element = format!(
        "<script type=\"module\" src=\"{}/js/chasqui.js\"></script><chasqui-status>Pendiente de pago</chasqui-status>",
        shop.testbed.gateway.url
    );
    assert_eq!(waiting, element);

    let forged = body(&order.payment_id, &json!({ "transaction_id": order.id }));
    let path = "/?wc-api=WC_Gateway_khipusimplifiedtransfer";
    let unsigned = shop.webhook(path, &forged);
    send(unsigned).await.expect(401);
    shop.testbed
        .sandbox
        .act(&order.payment_id, "conciliate")
        .await;
    eventually("the order is paid", async || {
        let page = shop.get(&page).await.text();
        page.contains("Procesando").then_some(())
    })
    .await;
}

#[tokio::test]
async fn the_thank_you_page_of_an_order_that_khipu_does_not_pay_is_unchanged() {
    let shop = php("woocommerce/tests/site.php").await;
    let order = shop.order("/orders?method=cod").await;
    let page = shop.get(&format!("/orders/{}", order.id)).await.expect(200);
    assert_eq!(page.text(), "");
}

#[tokio::test]
async fn the_payment_methods_of_woocommerce_are_cached_and_survive_a_gateway_that_is_down() {
    let mut shop = php("woocommerce/tests/site.php").await;
    let methods = shop.get("/checkout").await.expect(200).text();
    assert!(
        methods.to_lowercase().contains("simplified_transfer"),
        "{methods}"
    );
    assert_eq!(shop.get("/checkout").await.text(), methods);
    let requests = shop.requests();
    assert_eq!(requests.len(), 1, "{requests:?}");
    let path = format!("/v3/merchants/{RECEIVER_ID}/paymentMethods");
    assert_eq!(
        requests[0]["url"],
        format!("{}{path}", shop.testbed.gateway.url)
    );
    assert_eq!(requests[0]["headers"]["x-api-key"], shop.testbed.api.key);

    shop.testbed.gateway.request_stop();
    eventually("the gateway has stopped", async || {
        let answer = shop.testbed.api.try_get("/livez").await;
        answer.is_none().then_some(())
    })
    .await;
    shop.let_methods_become_due();
    for _ in 0..2 {
        assert_eq!(shop.get("/checkout").await.expect(200).text(), methods);
    }
    assert_eq!(shop.requests().len(), 2, "one more was tried");

    // An error of Khipu's form, not the end of the page.
    let answer = send(client().post(format!("{}/orders", shop.url))).await;
    assert_eq!(answer.expect(200).json()["status"], 502);
}

/// What the stand-in for WordPress keeps in files.
impl Shop {
    fn kept(&self, name: &str) -> Value {
        let text = fs::read(self.directory.path().join(name)).expect("a file of the stand-in");
        serde_json::from_slice(&text).expect("JSON")
    }

    /// What went out over HTTP.
    fn requests(&self) -> Vec<Value> {
        let requests = self.kept("requests.json");
        requests.as_array().expect("a list").clone()
    }

    fn let_methods_become_due(&self) {
        let mut transients = self.kept("transients.json");
        for transient in transients.as_object_mut().expect("an object").values_mut() {
            transient["value"]["due_at"] = json!(0);
        }
        let file = self.directory.path().join("transients.json");
        fs::write(file, transients.to_string()).expect("a file of the stand-in");
    }
}
