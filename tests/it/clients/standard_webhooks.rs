//! The libraries of Standard Webhooks verify what the gateway delivers.

use std::process::Command;

use chasqui_tests::deadline::eventually;
use chasqui_tests::gateway_settings::WEBHOOK_SECRET;
use chasqui_tests::testbed::Testbed;
use redis_processes::port::HeldPort;
use redis_processes::running::Running;
use serde_json::{Value, json};
use tokio::net::TcpStream;

use super::generation::{installed, python};
use crate::both_stores::on_both_stores;

on_both_stores! {
    the_library_of_python_verifies_a_delivery_and_refuses_a_changed_or_old_one
    the_library_of_node_verifies_a_delivery_and_refuses_a_changed_or_old_one
}

async fn start(storage: Option<String>) -> Testbed {
    Testbed::start_with(|settings| {
        if let Some(storage) = storage {
            settings.storage = storage;
        }
    })
    .await
}

async fn the_library_of_python_verifies_a_delivery_and_refuses_a_changed_or_old_one(
    testbed: Testbed,
) {
    let mut receiver = python("python");
    receiver.arg(installed("python/webhook_receiver.py"));
    expect_verified(&testbed, receiver).await;
}

async fn the_library_of_node_verifies_a_delivery_and_refuses_a_changed_or_old_one(
    testbed: Testbed,
) {
    installed("typescript/node_modules");
    let mut receiver = Command::new("node");
    receiver.arg(installed("typescript/webhook_receiver.js"));
    expect_verified(&testbed, receiver).await;
}

async fn expect_verified(testbed: &Testbed, mut receiver: Command) {
    let port = HeldPort::take();
    let directory = tempfile::tempdir().expect("a directory for the test");
    receiver
        .arg(port.address.port().to_string())
        .env("WEBHOOK_SECRET", WEBHOOK_SECRET);
    let receiver = Running::start(&mut receiver, directory.path());
    eventually("the receiver listens", async || {
        TcpStream::connect(port.address).await.ok()
    })
    .await;

    let notify_url = format!("http://{}/khipu", port.address);
    let payment = testbed.create(json!({ "notify_url": notify_url })).await;
    testbed.sandbox.act(&payment.id, "conciliate").await;
    let line = eventually("a delivery is printed", async || {
        let printed = receiver.stdout();
        let (line, _) = printed.split_once('\n')?;
        Some(line.to_owned())
    })
    .await;
    let delivery: Value = serde_json::from_str(&line).expect("JSON");
    let expected = json!({
        "payment_id": payment.id,
        "verified": true,
        "verified_with_a_changed_body": false,
        "verified_with_another_id": false,
        "verified_a_day_later": false,
    });
    assert_eq!(delivery, expected);
}
