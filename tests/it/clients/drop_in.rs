//! The whole of Khipu's API through each client: at the gateway, and at Khipu itself.

use chasqui_tests::gateway_settings::KHIPU_API_KEY;
use chasqui_tests::sandbox::Sandbox;
use chasqui_tests::testbed::Testbed;
use serde_json::{Value, json};

use super::client::{Client, key_for_everything};
use crate::both_stores::on_both_stores;

on_both_stores! {
    a_client_generated_from_the_description_has_every_operation
    a_client_generated_for_khipu_changes_its_base_url_and_key_and_nothing_else
    openapi_fetch_has_every_operation_with_types
    khipu_tools_works_at_the_gateway
}

async fn start(storage: Option<String>) -> (Testbed, String) {
    let mut key = String::new();
    let testbed = Testbed::start_with(|settings| {
        key = key_for_everything(settings);
        if let Some(storage) = storage {
            settings.storage = storage;
        }
    })
    .await;
    (testbed, key)
}

async fn a_client_generated_from_the_description_has_every_operation(
    (testbed, key): (Testbed, String),
) {
    walk_the_gateway(&Client::generated().await, &testbed, &key).await;
}

async fn a_client_generated_for_khipu_changes_its_base_url_and_key_and_nothing_else(
    (testbed, key): (Testbed, String),
) {
    let client = Client::generated_for_khipu().await;
    walk_khipu(&client).await;
    walk_the_gateway(&client, &testbed, &key).await;
}

async fn openapi_fetch_has_every_operation_with_types((testbed, key): (Testbed, String)) {
    let client = Client::openapi_fetch().await;
    walk_khipu(&client).await;
    walk_the_gateway(&client, &testbed, &key).await;
}

async fn khipu_tools_works_at_the_gateway((testbed, key): (Testbed, String)) {
    let client = Client::khipu_tools();
    walk_khipu(&client).await;
    walk_the_gateway(&client, &testbed, &key).await;
}

async fn walk_khipu(client: &Client) {
    let sandbox = Sandbox::start().await;
    let walked = client.run(&sandbox.url, KHIPU_API_KEY, &sandbox, &["walk"]);
    expect_walked(&sandbox, &walked.await, client).await;
}

async fn walk_the_gateway(client: &Client, testbed: &Testbed, key: &str) {
    let walked = client.run(&testbed.gateway.url, key, &testbed.sandbox, &["walk"]);
    let walked = walked.await;
    expect_walked(&testbed.sandbox, &walked, client).await;
    let id = walked["deleted"].as_str().expect("an id");
    let path = format!("/v1/payments/{id}/status");
    let status = testbed.api.get(&path).await.expect(200).json();
    assert_eq!(status["status"], "cancelled", "{}", client.name);
}

/// Compares what the client saw with what Khipu has.
async fn expect_walked(sandbox: &Sandbox, walked: &Value, client: &Client) {
    let name = client.name;
    for (step, field, expected) in [
        ("deleted", "status", "deleted"),
        ("refunded", "total_refunded", "990.0000"),
        ("refunded_from_wallet", "status_detail", "fully-refunded"),
    ] {
        // khipu-tools has no refunds of its own from the wallet, nor a confirmation.
        if let Some(id) = walked[step].as_str() {
            let payment = sandbox.known(id).await;
            assert_eq!(payment[field], expected, "{name}: {step}");
        }
    }
    assert!(walked["deleted"].is_string(), "{name}: {walked}");
    let (unknown, invalid) = (&walked["unknown"], &walked["invalid"]);
    assert_eq!(unknown["status"], 404, "{name}: {walked}");
    assert_eq!(unknown["message"], "El pago no existe", "{name}");
    assert_eq!(invalid["status"], 400, "{name}: {walked}");
    assert_eq!(invalid["message"], "Error de validación", "{name}");
    assert_eq!(invalid["fields"], json!(["notify_url"]), "{name}");
}
