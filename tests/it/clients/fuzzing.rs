//! Requests that schemathesis makes up from the description: no 5xx, and no answer that is not described.
//!
//! `tests/clients/fuzzing/schemathesis.toml` lists what Khipu is known to do beyond its description.

use std::fs;

use chasqui_tests::gateway_client::order;
use chasqui_tests::gateway_settings::KHIPU_API_KEY;
use chasqui_tests::sandbox::Sandbox;
use chasqui_tests::testbed::Testbed;
use serde_json::{Value, json};

use super::client::key_for_everything;
use super::generation::{description, installed, khipus_description, output, python};
use crate::both_stores::on_both_stores;

on_both_stores! {
    the_gateway_answers_made_up_requests_as_it_describes
}

/// What happens to payments before the requests.
const ACTIONS: [&str; 4] = ["authorize", "conciliate", "conciliate", "reject"];

/// What made-up requests can be about.
struct Existing {
    payments: Vec<String>,
    /// Of return hops.
    references: Vec<String>,
}

async fn start(storage: Option<String>) -> (Testbed, String) {
    let mut key = String::new();
    let testbed = Testbed::start_with(|settings| {
        key = key_for_everything(settings);
        // So that no 429 hides an answer.
        settings.limits.push("requests_per_second = 100000".into());
        settings.limits.push("polls_per_second = 1000".into());
        if let Some(storage) = storage {
            settings.storage = storage;
        }
    })
    .await;
    (testbed, key)
}

async fn the_gateway_answers_made_up_requests_as_it_describes((testbed, key): (Testbed, String)) {
    let created = testbed
        .create(json!({ "return_url": "https://shop.example/orders/17" }))
        .await;
    let at_khipu = testbed.sandbox.known(&created.id).await;
    let hop = at_khipu["return_url"].as_str().expect("a URL");
    let (_, reference) = hop.rsplit_once('/').expect("a path");
    let mut existing = Existing {
        payments: vec![created.id],
        references: vec![reference.to_owned()],
    };
    for action in ACTIONS {
        let payment = testbed.create(json!({})).await;
        testbed.sandbox.act(&payment.id, action).await;
        existing.payments.push(payment.id);
    }
    let described = closed(description().await);
    fuzz(described, &testbed.gateway.url, &key, &existing).await;
}

#[tokio::test]
async fn the_sandbox_answers_made_up_requests_as_khipu_is_described() {
    let sandbox = Sandbox::start().await;
    let mut existing = Existing {
        payments: vec![sandbox.create(order(json!({}))).await],
        references: vec!["none".to_owned()],
    };
    for action in ACTIONS {
        let id = sandbox.create(order(json!({}))).await;
        sandbox.act(&id, action).await;
        existing.payments.push(id);
    }
    let described = closed(khipus_description().await);
    fuzz(described, &sandbox.url, KHIPU_API_KEY, &existing).await;
}

/// The description with objects that have no fields beyond those listed, except in requests.
fn closed(mut description: Value) -> Value {
    let schemas = description["components"]["schemas"].as_object_mut();
    for (name, schema) in schemas.expect("schemas") {
        if schema["type"] == "object" && !name.starts_with("New") {
            schema["additionalProperties"] = false.into();
        }
    }
    description
}

async fn fuzz(description: Value, url: &str, key: &str, existing: &Existing) {
    let directory = tempfile::tempdir().expect("a directory for the test");
    let write = |name: &str, text: &str| {
        let file = directory.path().join(name);
        fs::write(&file, text).expect("a file");
        file
    };
    let document = write("openapi.json", &description.to_string());
    let settings = fs::read_to_string(installed("fuzzing/schemathesis.toml")).expect("a file");
    let Existing {
        payments,
        references,
    } = existing;
    let settings = format!(
        "{settings}\n[dictionaries.payments]\nvalues = {payments:?}\n[dictionaries.references]\nvalues = {references:?}\n"
    );
    let settings = write("schemathesis.toml", &settings);
    let summary = output(
        python("schemathesis")
            .arg("--config-file")
            .arg(settings)
            .arg("run")
            .arg(document)
            .args(["--url", url, "--header", &format!("x-api-key: {key}")]),
    )
    .await;
    assert!(summary.contains("Test cases:"), "{summary}");
}
