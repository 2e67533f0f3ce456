//! One attempt, against a real server.

use std::process::Command;
use std::sync::atomic::Ordering;

use chasqui_khipu::signature as khipu;
use chasqui_store::JobResult;

use super::*;
use crate::jobs::signature;
use crate::jobs::tests::fixture;
use crate::jobs::tests::merchant_server::MerchantServer;
use crate::jobs::webhook_request::WebhookRequestBody;

fn merchant(account: Account, attempt_timeout: Duration) -> MerchantClient {
    MerchantClient::new(&Arc::new(account), 32, attempt_timeout).expect("merchant")
}

/// One attempt at `now` with Khipu's own notification, signed at that moment.
async fn post_at(merchant: &MerchantClient, url: &str, now: Timestamp) -> AttemptOutcome {
    let stored = fixture::notification(&merchant.account, now);
    let request = WebhookRequest::new(
        &fixture::payment_id(),
        WebhookRequestBody::Notification(stored),
        &merchant.account,
        now,
    );
    merchant.post(url, request.expect("request"), now).await
}

async fn post(url: &str) -> AttemptOutcome {
    let merchant = merchant(fixture::account(), fixture::DEADLINE);
    post_at(&merchant, url, clock::now()).await
}

/// Refuses private addresses, as is the default.
async fn post_from_outside(url: &str) -> AttemptOutcome {
    let mut account = fixture::account();
    account.allow_private_destinations.clear();
    let merchant = merchant(account, fixture::DEADLINE);
    post_at(&merchant, url, clock::now()).await
}

#[tokio::test]
async fn khipus_bytes_and_signature_arrive_byte_for_byte() {
    let mut server = MerchantServer::start().await;
    let merchant = merchant(fixture::account(), fixture::DEADLINE);
    let now = clock::now();
    let outcome = post_at(&merchant, &server.url("/answer/200"), now).await;
    assert_eq!(outcome, AttemptOutcome::Delivered { status: 200 });
    assert_eq!(outcome.to_string(), "200");

    let received = server.next().await;
    assert_eq!(received.body, fixture::BODY);
    let stored = fixture::notification(&merchant.account, now);
    assert_eq!(received.header(khipu::HEADER), stored.signature);
    assert_eq!(received.header("content-type"), "application/json");
    let expected = concat!("chasqui/", env!("CARGO_PKG_VERSION"));
    assert_eq!(received.header("user-agent"), expected);
    assert_eq!(received.header("chasqui-status"), "confirmed");
    assert_eq!(received.header("chasqui-source"), "notification");
}

#[tokio::test]
async fn the_webhook_signature_that_arrives_verifies() {
    let mut server = MerchantServer::start().await;
    post(&server.url("/answer/200")).await;
    let received = server.next().await;
    let account = fixture::account();
    let seconds: i64 = received
        .header(signature::TIMESTAMP_HEADER)
        .parse()
        .expect("seconds");
    let expected = signature::sign_webhook(
        &account.webhook_secrets,
        received.header(signature::ID_HEADER),
        Timestamp::from_unix_ms(seconds * 1000),
        &received.body,
    );
    assert_eq!(
        expected.as_deref(),
        Some(received.header(signature::SIGNATURE_HEADER))
    );
}

#[tokio::test]
async fn any_2xx_is_accepted_and_nothing_else() {
    let server = MerchantServer::start().await;
    for (status, label) in [
        (200, "delivered"),
        (202, "delivered"),
        (204, "delivered"),
        (304, "redirected"),
        (400, "refused"),
        (404, "refused"),
        (410, "gone"),
        (500, "refused"),
        (503, "refused"),
    ] {
        let outcome = post(&server.url(&format!("/answer/{status}"))).await;
        assert_eq!(outcome.as_str(), label, "{status}");
        assert!(
            outcome.to_string().starts_with(&status.to_string()),
            "{outcome:?}"
        );
        let result = retry_schedule::after_attempt(1, &outcome, clock::now(), 0.5);
        assert_eq!(result == JobResult::Done, label == "delivered");
        assert_eq!(result == JobResult::Dead, label == "gone");
    }
}

#[tokio::test]
async fn a_redirect_is_not_followed_and_counts_as_a_failure() {
    let mut server = MerchantServer::start().await;
    for status in [301, 302, 303, 307, 308] {
        let path = format!("/answer/{status}");
        let outcome = post(&server.url(&path)).await;
        let not_before = None;
        assert_eq!(outcome, AttemptOutcome::Redirected { status, not_before });
        assert_eq!(server.next().await.path, path);
        assert!(server.is_empty());
    }
}

#[tokio::test]
async fn retry_after_is_read_from_any_failure() {
    let server = MerchantServer::start().await;
    let now = Timestamp::from_unix_ms(1_800_000_000_000);
    let merchant = merchant(fixture::account(), fixture::DEADLINE);
    for status in [301, 429, 503] {
        let url = server.url(&format!("/answer/{status}/120"));
        let not_before = Some(now.plus(Duration::from_secs(2 * 60)));
        let outcome = post_at(&merchant, &url, now).await;
        let expected = match status {
            301 => AttemptOutcome::Redirected { status, not_before },
            _ => AttemptOutcome::Refused { status, not_before },
        };
        assert_eq!(outcome, expected);
    }
}

#[tokio::test]
async fn an_attempt_is_given_up_when_its_time_is_over() {
    let mut server = MerchantServer::start().await;
    let merchant = merchant(fixture::account(), Duration::from_millis(200));
    let outcome = post_at(&merchant, &server.url("/hang"), clock::now()).await;
    assert_eq!(outcome.as_str(), "timeout");
    assert_eq!(outcome.to_string(), "no answer within 0.2 s");
    server.next().await;
}

#[tokio::test]
async fn a_merchant_that_is_down_is_named_without_its_url() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("bind");
    let address = listener.local_addr().expect("address");
    drop(listener);
    let outcome = post(&format!("http://{address}/khipu?key=hidden")).await;
    assert_eq!(outcome.as_str(), "unreachable");
    assert_eq!(outcome.to_string(), "connection refused");
}

#[tokio::test]
async fn a_huge_answer_is_not_read_and_still_counts() {
    let server = MerchantServer::start().await;
    let began = Instant::now();
    let outcome = post(&server.url("/huge")).await;
    assert_eq!(outcome, AttemptOutcome::Delivered { status: 200 });
    assert!(began.elapsed() < fixture::DEADLINE);
    // No more than fits into the sockets' buffers.
    let answered = server.bytes_answered.load(Ordering::Relaxed);
    assert!(answered < 32 << 20, "{answered}");
}

#[tokio::test]
async fn loopback_is_refused_by_default_and_the_result_says_how_to_allow_it() {
    let server = MerchantServer::start().await;
    let outcome = post_from_outside(&server.url("/answer/200")).await;
    assert_eq!(outcome.as_str(), "destination_refused");
    let result = retry_schedule::after_attempt(1, &outcome, clock::now(), 0.5);
    assert!(matches!(result, JobResult::Retry { .. }), "{result:?}");
    assert!(
        outcome
            .to_string()
            .contains("accounts.shop.allow_private_destinations"),
        "{outcome:?}"
    );
    assert!(server.is_empty());
}

#[tokio::test]
async fn a_name_that_leads_to_loopback_is_refused_when_connecting() {
    let server = MerchantServer::start().await;
    let url = format!("http://localhost:{}/answer/200", server.address.port());
    let outcome = post_from_outside(&url).await;
    assert_eq!(outcome.as_str(), "destination_refused", "{outcome:?}");
    assert!(
        outcome.to_string().contains("allow_private_destinations"),
        "{outcome:?}"
    );
    assert!(server.is_empty());
}

#[tokio::test]
async fn the_allow_list_opens_names_and_every_spelling() {
    let mut server = MerchantServer::start().await;
    let port = server.address.port();
    for host in ["localhost", "127.0.0.1", "127.1", "0x7f.1", "2130706433"] {
        let outcome = post(&format!("http://{host}:{port}/answer/200")).await;
        assert_eq!(outcome.as_str(), "delivered", "{host}: {outcome:?}");
        server.next().await;
    }
}

/// Runs one test of this file in a process with another environment.
fn passes_with(test: &str, environment: &[(&str, &str)]) {
    let output = Command::new(std::env::current_exe().expect("this test"))
        .args([
            &format!("jobs::merchant_client::tests::{test}"),
            "--exact",
            "--nocapture",
        ])
        .envs(environment.iter().copied())
        .output()
        .expect("run");
    let stdout = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && stdout.contains("1 passed"),
        "{stdout}{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
fn proxy_variables_are_ignored() {
    // Nothing listens on port 1: a client that used it could not deliver.
    let nowhere = "http://127.0.0.1:1";
    passes_with(
        "khipus_bytes_and_signature_arrive_byte_for_byte",
        &[
            ("HTTP_PROXY", nowhere),
            ("http_proxy", nowhere),
            ("ALL_PROXY", nowhere),
            ("all_proxy", nowhere),
            ("NO_PROXY", ""),
            ("no_proxy", ""),
        ],
    );
}

#[test]
fn a_machine_without_ca_certificates_still_delivers_over_http() {
    passes_with(
        "khipus_bytes_and_signature_arrive_byte_for_byte",
        &[
            ("SSL_CERT_FILE", "/nonexistent"),
            ("SSL_CERT_DIR", "/nonexistent"),
        ],
    );
}
