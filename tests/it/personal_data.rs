//! After an erasure no file of the store holds the payer's data.

use std::fs;
use std::path::{Path, PathBuf};

use chasqui_tests::deadline::eventually;
use chasqui_tests::gateway_client::{TestPayment, order, send};
use chasqui_tests::testbed::Testbed;
use redis_processes::{Options, RedisServer};
use reqwest::Method;
use serde_json::json;

use crate::timeline::{erase, events, until};

const PAYER: &str = "Luz Payer Erasable";

/// The files that hold the payer's name.
fn holders(files: &[PathBuf]) -> Vec<PathBuf> {
    let holds = |path: &&PathBuf| {
        // A rewrite deletes files while they are listed.
        let bytes = fs::read(path).unwrap_or_default();
        bytes
            .windows(PAYER.len())
            .any(|part| part == PAYER.as_bytes())
    };
    files.iter().filter(holds).cloned().collect()
}

/// The files of a directory, and of those below it.
fn files_below(directory: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory).expect("a directory") {
        let path = entry.expect("an entry").path();
        match path.is_dir() {
            true => files.extend(files_below(&path)),
            false => files.push(path),
        }
    }
    files
}

/// Creates a payment under an idempotency key, so that what is stored for that is searched too.
async fn create(testbed: &Testbed) -> TestPayment {
    let order = order(json!({ "notify_url": testbed.merchant.url, "payer_name": PAYER }));
    let request = testbed.api.call(Method::POST, "/v3/payments");
    let request = request.header("idempotency-key", "create-1");
    TestPayment::from(&send(request.body(order.to_string())).await.expect(200))
}

async fn refund(testbed: &Testbed, payment: &TestPayment) {
    let path = format!("/v3/payments/{}/refunds", payment.id);
    let request = testbed.api.call(Method::POST, &path);
    let request = request
        .header("idempotency-key", "refund-1")
        .header("content-type", "application/json");
    let body = json!({ "amount": 1000 }).to_string();
    send(request.body(body)).await.expect(200);
}

async fn erasure_leaves_nothing_below(directory: &Path, mut testbed: Testbed) {
    testbed.merchant.respond_next(&[503]);
    let payment = create(&testbed).await;
    testbed.sandbox.act(&payment.id, "conciliate").await;
    testbed.merchant.next().await;
    erase(&testbed, &payment)
        .await
        .expect_problem(409, "delivery_open");
    eventually("the notification is in a file", async || {
        (!holders(&files_below(directory)).is_empty()).then_some(())
    })
    .await;
    let delivery = testbed.merchant.next().await;
    assert_eq!(delivery.json()["payer_name"], PAYER);
    refund(&testbed, &payment).await;

    eventually("it is erased", async || {
        (erase(&testbed, &payment).await.status == 204).then_some(())
    })
    .await;
    // Redis rewrites its file in the background.
    eventually("no file holds the payer's name", async || {
        holders(&files_below(directory)).is_empty().then_some(())
    })
    .await;
    let timeline = until(&testbed.api, &payment, "erased").await;
    let events = events(&timeline);
    assert_eq!(events[0], "created");
    for event in ["notified", "attempted"] {
        assert!(events.iter().any(|name| name == event), "{events:?}");
    }
    assert_eq!(timeline["status"]["status"], "confirmed");
}

#[tokio::test]
async fn an_erasure_leaves_nothing_in_the_files_of_sqlite() {
    let directory = tempfile::tempdir().expect("a directory");
    let storage = format!("sqlite:{}", directory.path().join("chasqui.db").display());
    let testbed = Testbed::start_with(|settings| settings.storage = storage).await;
    erasure_leaves_nothing_below(directory.path(), testbed).await;
}

#[tokio::test]
async fn an_erasure_leaves_nothing_in_the_files_of_redis() {
    // A compressed name would not be found.
    let redis = RedisServer::start(&Options::default().with("rdbcompression no")).await;
    let testbed = Testbed::start_with(|settings| settings.storage = redis.url()).await;
    let dir: Vec<String> = redis.ask(&["CONFIG", "GET", "dir"]).await;
    let directory = Path::new(&dir[1]);
    erasure_leaves_nothing_below(directory, testbed).await;
    // A snapshot, which is made of what Redis holds now.
    redis.ask::<String>(&["SAVE"]).await;
    let snapshot = directory.join("dump.rdb");
    assert!(snapshot.exists());
    assert_eq!(holders(&[snapshot]), Vec::<PathBuf>::new());
}
