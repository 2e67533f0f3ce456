//! Events at the same time, repeated so often that they coincide in every order.

use std::time::Duration;

use chasqui_tests::notification::{body, signed};
use chasqui_tests::testbed::Testbed;
use futures_util::{StreamExt, stream};
use serde_json::json;

/// The longest time between the starts of two events, in microseconds: about as long as either takes.
const JITTER: u64 = 6_000;

async fn jitter(random: u64) {
    tokio::time::sleep(Duration::from_micros(random % JITTER)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watcher_that_subscribes_during_a_notification_never_misses_the_status() {
    let testbed = Testbed::start().await;
    let testbed = &testbed;
    stream::iter(0..500)
        .for_each_concurrent(8, |_| async move {
            let payment = testbed.create(json!({ "notify_url": "" })).await;
            let notification = body(&payment.id, &json!({}));
            let signature = signed(&notification);
            let notifying = async {
                jitter(rand::random()).await;
                let answer = testbed.api.notify(Some(&signature), notification.clone());
                answer.await.expect(200);
            };
            // Khipu itself answers pending: only the published change can confirm it.
            let watching = async {
                jitter(rand::random()).await;
                let mut watcher = testbed.watch(&payment).await;
                watcher.until("confirmed").await;
                // Without a receipt the gateway would wait a second for one.
                watcher.send_text(r#"{"seen":1000}"#.to_owned()).await;
                assert_eq!(watcher.closed().await.0, 1000);
            };
            let polling = async {
                jitter(rand::random()).await;
                let answer = testbed.api.poll(&payment, "?wait=30", Some("\"12\"")).await;
                assert_eq!(answer.expect(200).json()["status"], "confirmed");
            };
            tokio::join!(notifying, watching, polling);
        })
        .await;
}
