//! How deliveries end, and what is recorded of them.

use std::time::Duration;

use chasqui_payment::{Version, jittered};
use chasqui_store::JobResult;

use super::fixture::{self, DEADLINE, wait};
use super::merchant_server::MerchantServer;
use super::running_worker::RunningWorker;
use crate::jobs::{retry_schedule, signature};
use crate::tests::logs::Logs;

#[tokio::test]
async fn a_2xx_ends_the_delivery() {
    let mut server = MerchantServer::start().await;
    let mut worker = RunningWorker::start(fixture::account(), fixture::limits());
    worker.schedule(0, fixture::notified("p1", &server.url("/answer/200")));
    let (result, attempt) = worker.finished().await;
    assert_eq!(result, JobResult::Done);
    assert_eq!(attempt.result, "200");
    assert_eq!(server.next().await.body, fixture::BODY);
    worker.stop().await;
}

#[tokio::test]
async fn a_failure_is_put_back_as_scheduled_and_the_last_one_is_dead() {
    let server = MerchantServer::start().await;
    let mut worker = RunningWorker::start(fixture::account(), fixture::limits());
    let failing = || fixture::notified("p1", &server.url("/answer/500"));
    for (made, planned) in (0u32..).zip(retry_schedule::RETRY_DELAYS) {
        worker.schedule(made, failing());
        let (result, attempt) = worker.finished().await;
        let wait = wait(result, &attempt);
        let most = jittered(planned, 1.0) + DEADLINE;
        assert!(
            (jittered(planned, 0.0)..most).contains(&wait),
            "{made}: {wait:?}"
        );
        assert_eq!(attempt.result, "500");
    }
    worker.schedule(9, failing());
    assert_eq!(worker.finished().await.0, JobResult::Dead);
    worker.stop().await;
}

#[tokio::test]
async fn a_410_is_the_end_and_retry_after_a_delay() {
    let server = MerchantServer::start().await;
    let mut worker = RunningWorker::start(fixture::account(), fixture::limits());
    worker.schedule(0, fixture::notified("p1", &server.url("/answer/410")));
    assert_eq!(worker.finished().await.0, JobResult::Dead);
    worker.schedule(0, fixture::notified("p2", &server.url("/answer/503/3600")));
    let (result, attempt) = worker.finished().await;
    let wait = wait(result, &attempt);
    assert!(
        wait >= Duration::from_secs(3600) && wait < Duration::from_secs(61 * 60),
        "{wait:?}"
    );
    worker.stop().await;
}

#[tokio::test]
async fn every_attempt_has_the_same_webhook_id() {
    let mut server = MerchantServer::start().await;
    let mut worker = RunningWorker::start(fixture::account(), fixture::limits());
    for made in 0..3 {
        let url = server.url("/answer/500");
        worker.schedule(made, fixture::notified("p1", &url));
        worker.finished().await;
        let received = server.next().await;
        assert_eq!(received.header(signature::ID_HEADER), "msg_p1_confirmed");
    }
    worker.stop().await;
}

#[tokio::test]
async fn the_accounts_notify_url_serves_payments_without_their_own() {
    let mut server = MerchantServer::start().await;
    let mut account = fixture::account();
    account.notify_url = Some(server.url("/answer/201"));
    let mut worker = RunningWorker::start(account, fixture::limits());
    let own = server.url("/answer/202");
    worker.schedule(0, (fixture::confirmed("p1", None), None));
    assert_eq!(server.next().await.path, "/answer/201");
    worker.schedule(0, (fixture::confirmed("p2", Some(own)), None));
    assert_eq!(server.next().await.path, "/answer/202");
    worker.finished().await;
    worker.stop().await;
}

#[tokio::test]
async fn without_an_address_or_reversed_a_delivery_is_done_unsent_and_no_dead_letter() {
    let logs = Logs::default();
    let _guard = logs.capture(tracing::Level::WARN);
    let recorder = metrics_exporter_prometheus::PrometheusBuilder::new().build_recorder();
    let _recorded_here = metrics::set_default_local_recorder(&recorder);
    let server = MerchantServer::start().await;
    let mut worker = RunningWorker::start(fixture::account(), fixture::limits());
    worker.schedule(0, (fixture::confirmed("p1", None), None));
    let (result, attempt) = worker.finished().await;
    assert_eq!(result, JobResult::Done);
    assert!(attempt.result.starts_with("no notify_url"), "{attempt:?}");

    let (mut payment, stored) = fixture::notified("p2", &server.url("/answer/200"));
    payment.state.version = Version::from_number(1001).expect("reversed");
    worker.schedule(0, (payment, stored));
    let (result, attempt) = worker.finished().await;
    assert_eq!(result, JobResult::Done);
    assert!(attempt.result.contains("reversed"), "{attempt:?}");

    assert!(server.is_empty());
    worker.stop().await;
    let metrics = recorder.handle().render();
    let counted = r#"chasqui_deliveries_total{account="shop",result="unneeded"} 2"#;
    assert!(metrics.contains(counted), "{metrics}");
    assert!(!metrics.contains("chasqui_dead_letters_total"), "{metrics}");
    assert_eq!(logs.text(), "");
}

#[tokio::test]
async fn a_payment_that_is_not_confirmed_is_never_delivered() {
    let server = MerchantServer::start().await;
    let mut worker = RunningWorker::start(fixture::account(), fixture::limits());
    let (mut payment, stored) = fixture::notified("p1", &server.url("/answer/200"));
    payment.state.version = Version::from_number(14).expect("version");
    worker.schedule(0, (payment, stored));
    let (result, attempt) = worker.finished().await;
    assert_eq!(result, JobResult::Dead);
    assert!(attempt.result.contains("verifying"), "{attempt:?}");
    assert!(server.is_empty());
    worker.stop().await;
}

#[tokio::test]
async fn logs_and_metrics_show_no_secret_body_or_path() {
    let server = MerchantServer::start().await;
    let logs = Logs::default();
    let _guard = logs.capture(tracing::Level::TRACE);
    let recorder = metrics_exporter_prometheus::PrometheusBuilder::new().build_recorder();
    let _recorded_here = metrics::set_default_local_recorder(&recorder);
    let mut worker = RunningWorker::start(fixture::account(), fixture::limits());
    for path in ["/answer/200?key=hidden", "/answer/500?key=hidden"] {
        let url = server.url(path);
        worker.schedule(9, fixture::notified("p1", &url));
        worker.finished().await;
    }
    worker.stop().await;
    let logs = logs.text();
    assert!(logs.contains("127.0.0.1") && logs.contains("p1"), "{logs}");
    let metrics = recorder.handle().render();
    for counted in [
        r#"chasqui_deliveries_total{account="shop",result="delivered"} 1"#,
        r#"chasqui_deliveries_total{account="shop",result="refused"} 1"#,
        r#"chasqui_dead_letters_total{account="shop"} 1"#,
    ] {
        assert!(metrics.contains(counted), "{metrics}");
    }
    for hidden in [
        "hidden",
        "answer",
        "receipt_url",
        "khipu-secret",
        "whsec",
        "v1,",
    ] {
        assert!(!logs.contains(hidden), "{hidden}: {logs}");
        assert!(!metrics.contains(hidden), "{hidden}: {metrics}");
    }
}
