//! What a merchant is sent.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use chasqui_khipu::signature as khipu;
use chasqui_payment::{Payment, Verdict};
use chasqui_store::{JobResult, StoredNotification};

use super::fixture::{self, DEADLINE, wait};
use super::merchant_server::MerchantServer;
use super::running_worker::RunningWorker;
use crate::clock;
use crate::jobs::BuildNotification;

#[tokio::test]
async fn without_a_notification_the_body_is_built_from_khipus_answer_and_signed() {
    let mut server = MerchantServer::start().await;
    let mut worker = RunningWorker::start(fixture::account(), fixture::limits());
    let payment = fixture::confirmed("p1", Some(server.url("/answer/200")));
    worker.schedule(0, (payment, None));
    let received = server.next().await;
    assert_eq!(&received.body[..], b"{}");
    assert_eq!(received.header("chasqui-source"), "reconciliation");
    let signature = received.header(khipu::HEADER);
    let secrets = fixture::account().khipu_secrets;
    assert!(khipu::verify(Some(signature), &received.body, &secrets).is_ok());
    assert_eq!(worker.finished().await.0, JobResult::Done);
    worker.stop().await;
}

/// Too old, or received before the payment was known: Khipu's answer confirmed the payment.
#[tokio::test]
async fn khipus_bytes_are_sent_when_their_terms_agree_with_the_payment() {
    let mut server = MerchantServer::start().await;
    let mut worker = RunningWorker::start(fixture::account(), fixture::limits());
    let hour = Duration::from_secs(3600);
    let (now, url) = (clock::now(), server.url("/answer/200"));
    for (verdict, signed_at) in [
        (Verdict::Stale, now.minus(hour)),
        (Verdict::Stale, now.plus(hour)),
        (Verdict::UnknownPayment, now),
    ] {
        let (payment, stored) = fixture::sold(&url, verdict, signed_at);
        worker.schedule(0, (payment, Some(stored)));
        let received = server.next().await;
        assert_eq!(received.body, fixture::SOLD_BODY);
        assert_eq!(received.header("chasqui-source"), "notification");
        let secrets = fixture::account().khipu_secrets;
        let signature = received.header(khipu::HEADER);
        let verified = khipu::verify(Some(signature), &received.body, &secrets).expect("signed");
        assert!(khipu::is_within_tolerance(
            verified.t,
            clock::now(),
            DEADLINE
        ));
        assert_eq!(worker.finished().await.0, JobResult::Done);
    }
    worker.stop().await;
}

#[tokio::test]
async fn bytes_that_cannot_be_compared_or_disagree_are_not_sent() {
    type Change = fn(&mut Payment, &mut StoredNotification);
    let mut server = MerchantServer::start().await;
    let mut worker = RunningWorker::start(fixture::account(), fixture::limits());
    let changes: [Change; 3] = [
        |payment, _| payment.terms = None,
        |payment, _| {
            let terms = payment.terms.as_mut().expect("terms");
            terms.transaction_id = Some("order 78".to_owned());
        },
        |_, stored| stored.body = Bytes::from_static(b"no notification"),
    ];
    for change in changes {
        let url = server.url("/answer/200");
        let (mut payment, mut stored) = fixture::sold(&url, Verdict::UnknownPayment, clock::now());
        change(&mut payment, &mut stored);
        worker.schedule(0, (payment, Some(stored)));
        let received = server.next().await;
        assert_eq!(&received.body[..], b"{}");
        assert_eq!(received.header("chasqui-source"), "reconciliation");
        assert_eq!(worker.finished().await.0, JobResult::Done);
    }
    worker.stop().await;
}

#[tokio::test]
async fn missing_content_is_tried_again() {
    let server = MerchantServer::start().await;
    let failing: BuildNotification =
        Arc::new(|_, _| Box::pin(async { Err("khipu is away".to_owned()) }));
    let mut worker = RunningWorker::start_with(fixture::account(), fixture::limits(), failing);
    let payment = fixture::confirmed("p1", Some(server.url("/answer/200")));
    worker.schedule(0, (payment, None));
    let (result, attempt) = worker.finished().await;
    assert!(wait(result, &attempt) > Duration::ZERO);
    assert!(attempt.result.contains("khipu is away"), "{attempt:?}");
    assert!(server.is_empty());
    worker.stop().await;
}

/// Failures of Khipu must not delay the merchant's next attempt.
#[tokio::test]
async fn missing_content_counts_as_no_attempt() {
    let mut server = MerchantServer::start().await;
    let queries = Arc::new(AtomicUsize::new(0));
    let away_at_first: BuildNotification = {
        let queries = Arc::clone(&queries);
        Arc::new(move |_, _| {
            let is_away = queries.fetch_add(1, Ordering::SeqCst) < 2;
            Box::pin(async move {
                if is_away {
                    return Err("khipu is away".to_owned());
                }
                Ok(Bytes::from_static(b"{}"))
            })
        })
    };
    let mut worker =
        RunningWorker::start_with(fixture::account(), fixture::limits(), away_at_first);
    let mut payment = fixture::confirmed("p1", Some(server.url("/answer/200")));
    payment.state.at = clock::now();
    worker.schedule(0, (payment, None));
    let (job, result, _) = worker.end().await;
    assert_eq!((job.attempts, result), (0, JobResult::Done));
    assert_eq!(queries.load(Ordering::SeqCst), 3);
    server.next().await;
    assert!(server.is_empty());
    worker.stop().await;
}

#[tokio::test]
async fn an_old_notification_arrives_with_a_fresh_signature_over_the_same_bytes() {
    let mut server = MerchantServer::start().await;
    let worker = RunningWorker::start(fixture::account(), fixture::limits());
    let (payment, _) = fixture::notified("p1", &server.url("/answer/200"));
    let day_old = clock::now().minus(Duration::from_secs(24 * 3600));
    let stored = fixture::notification(&fixture::account(), day_old);
    worker.schedule(0, (payment, Some(stored)));
    let received = server.next().await;
    assert_eq!(received.body, fixture::BODY);
    let secrets = fixture::account().khipu_secrets;
    let signature = received.header(khipu::HEADER);
    let verified = khipu::verify(Some(signature), &received.body, &secrets).expect("signed");
    assert!(khipu::is_within_tolerance(
        verified.t,
        clock::now(),
        DEADLINE
    ));
    worker.stop().await;
}
