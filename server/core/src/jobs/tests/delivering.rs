//! The dispatcher from claim to settlement, against a merchant's server that really listens.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::try_join_all;
use tokio::sync::Notify;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::fake_store::FakeStore;
use super::fixture::{self, DEADLINE};
use super::logs::Logs;
use super::receiver::Receiver;
use super::running_worker::RunningWorker;
use crate::account::{Account, Accounts};
use crate::clock;
use crate::jobs::worker::IDLE;
use crate::jobs::{
    BuildNotification, DeliveryHandler, DeliveryLimits, JobWorker, WorkerLimits, WorkerLimitsError,
    schedule, signature,
};
use crate::khipu::signature as khipu;
use crate::payment::{
    AccountName, NewJob, Observation, Payment, PaymentId, Reported, Source, Verdict, Version,
};
use crate::store::{JobAttempt, JobResult, Store, StoredNotification};
use chasqui_store_sqlite::{DatabaseLocation, SqliteStore};

/// How long after the attempt the next one is due.
fn wait(settlement: JobResult, attempt: &JobAttempt) -> Duration {
    match settlement {
        JobResult::Retry { due_at } => due_at.since(attempt.at),
        other => panic!("{other:?}: {}", attempt.result),
    }
}

#[tokio::test]
async fn a_2xx_ends_the_delivery() {
    let mut receiver = Receiver::start().await;
    let mut worker = RunningWorker::start(fixture::account(), fixture::limits());
    worker.schedule(0, fixture::notified("p1", &receiver.url("/answer/200")));
    let (settlement, attempt) = worker.finished().await;
    assert_eq!(settlement, JobResult::Done);
    assert_eq!(attempt.result, "200");
    assert_eq!(receiver.next().await.body, fixture::BODY);
    worker.stop().await;
}

#[tokio::test]
async fn a_failure_is_put_back_as_scheduled_and_the_last_one_is_dead() {
    let receiver = Receiver::start().await;
    let mut worker = RunningWorker::start(fixture::account(), fixture::limits());
    let failing = || fixture::notified("p1", &receiver.url("/answer/500"));
    for (made, planned) in (0u32..).zip(schedule::WAITS) {
        worker.schedule(made, failing());
        let (settlement, attempt) = worker.finished().await;
        let wait = wait(settlement, &attempt);
        let most = planned.mul_f64(1.0 + schedule::JITTER) + DEADLINE;
        assert!(
            (planned.mul_f64(1.0 - schedule::JITTER)..most).contains(&wait),
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
    let receiver = Receiver::start().await;
    let mut worker = RunningWorker::start(fixture::account(), fixture::limits());
    worker.schedule(0, fixture::notified("p1", &receiver.url("/answer/410")));
    assert_eq!(worker.finished().await.0, JobResult::Dead);
    worker.schedule(
        0,
        fixture::notified("p2", &receiver.url("/answer/503/3600")),
    );
    let (settlement, attempt) = worker.finished().await;
    let wait = wait(settlement, &attempt);
    assert!(
        wait >= Duration::from_secs(3600) && wait < Duration::from_secs(61 * 60),
        "{wait:?}"
    );
    worker.stop().await;
}

#[tokio::test]
async fn every_attempt_has_the_same_webhook_id() {
    let mut receiver = Receiver::start().await;
    let mut worker = RunningWorker::start(fixture::account(), fixture::limits());
    for made in 0..3 {
        let url = receiver.url("/answer/500");
        worker.schedule(made, fixture::notified("p1", &url));
        worker.finished().await;
        let received = receiver.next().await;
        assert_eq!(received.header(signature::ID_HEADER), "msg_p1_confirmed");
    }
    worker.stop().await;
}

#[tokio::test]
async fn without_a_notification_the_body_is_built_from_khipus_answer_and_signed() {
    let mut receiver = Receiver::start().await;
    let mut worker = RunningWorker::start(fixture::account(), fixture::limits());
    let payment = fixture::confirmed("p1", Some(receiver.url("/answer/200")));
    worker.schedule(0, (payment, None));
    let received = receiver.next().await;
    assert_eq!(&received.body[..], b"{}");
    assert_eq!(received.header("chasqui-source"), "reconciliation");
    let signature = received.header(khipu::HEADER);
    let secrets = fixture::account().khipu_secrets;
    assert!(khipu::verify(Some(signature), &received.body, &secrets).is_ok());
    assert_eq!(worker.finished().await.0, JobResult::Done);
    worker.stop().await;
}

/// It was too old, or came before the payment was known here: Khipu's answer confirmed the payment, its own bytes tell so.
#[tokio::test]
async fn khipus_bytes_arrive_even_if_they_were_not_believed_by_themselves() {
    let mut receiver = Receiver::start().await;
    let mut worker = RunningWorker::start(fixture::account(), fixture::limits());
    let hour = Duration::from_secs(3600);
    let (now, url) = (clock::now(), receiver.url("/answer/200"));
    for (verdict, signed_at) in [
        (Verdict::Stale, now.minus(hour)),
        (Verdict::Stale, now.plus(hour)),
        (Verdict::UnknownPayment, now),
    ] {
        let (payment, kept) = fixture::sold(&url, verdict, signed_at);
        worker.schedule(0, (payment, Some(kept)));
        let received = receiver.next().await;
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
async fn unbelieved_bytes_that_cannot_be_compared_or_disagree_are_not_sent() {
    type Change = fn(&mut Payment, &mut StoredNotification);
    let mut receiver = Receiver::start().await;
    let mut worker = RunningWorker::start(fixture::account(), fixture::limits());
    let changes: [Change; 3] = [
        |payment, _| payment.terms = None,
        |payment, _| {
            let terms = payment.terms.as_mut().expect("terms");
            terms.transaction_id = Some("order 78".to_owned());
        },
        |_, kept| kept.body = Bytes::from_static(b"no notification"),
    ];
    for change in changes {
        let url = receiver.url("/answer/200");
        let (mut payment, mut kept) = fixture::sold(&url, Verdict::UnknownPayment, clock::now());
        change(&mut payment, &mut kept);
        worker.schedule(0, (payment, Some(kept)));
        let received = receiver.next().await;
        assert_eq!(&received.body[..], b"{}");
        assert_eq!(received.header("chasqui-source"), "reconciliation");
        assert_eq!(worker.finished().await.0, JobResult::Done);
    }
    worker.stop().await;
}

#[tokio::test]
async fn khipus_silence_about_the_content_is_tried_again() {
    let receiver = Receiver::start().await;
    let silent: BuildNotification =
        Arc::new(|_, _| Box::pin(async { Err("khipu is away".to_owned()) }));
    let mut worker = RunningWorker::start_with(fixture::account(), fixture::limits(), silent);
    let payment = fixture::confirmed("p1", Some(receiver.url("/answer/200")));
    worker.schedule(0, (payment, None));
    let (settlement, attempt) = worker.finished().await;
    assert!(wait(settlement, &attempt) > Duration::ZERO);
    assert!(attempt.result.contains("khipu is away"), "{attempt:?}");
    assert!(receiver.is_empty());
    worker.stop().await;
}

/// Two failures of Khipu's in a row put a merchant off by five minutes who had no part in it.
#[tokio::test]
async fn khipus_silence_about_the_content_uses_up_no_attempt() {
    let mut receiver = Receiver::start().await;
    let asked = Arc::new(AtomicUsize::new(0));
    let away_at_first: BuildNotification = {
        let asked = Arc::clone(&asked);
        Arc::new(move |_, _| {
            let is_away = asked.fetch_add(1, Ordering::SeqCst) < 2;
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
    let mut payment = fixture::confirmed("p1", Some(receiver.url("/answer/200")));
    payment.state.at = clock::now();
    worker.schedule(0, (payment, None));
    let (leased, settlement, _) = worker.end().await;
    assert_eq!((leased.attempts, settlement), (0, JobResult::Done));
    assert_eq!(asked.load(Ordering::SeqCst), 3);
    receiver.next().await;
    assert!(receiver.is_empty());
    worker.stop().await;
}

#[tokio::test]
async fn an_attempt_that_panics_does_not_stop_the_dispatcher() {
    let receiver = Receiver::start().await;
    let broken: BuildNotification = Arc::new(|_, _| panic!("a bug, on purpose"));
    let mut worker = RunningWorker::start_with(fixture::account(), fixture::limits(), broken);
    let url = receiver.url("/answer/200");
    worker.schedule(0, (fixture::confirmed("p1", Some(url.clone())), None));
    worker.schedule(0, fixture::notified("p2", &url));
    assert_eq!(worker.finished().await.0, JobResult::Done);
    worker.stop().await;
}

#[tokio::test]
async fn an_old_notification_arrives_with_a_fresh_signature_over_the_same_bytes() {
    let mut receiver = Receiver::start().await;
    let worker = RunningWorker::start(fixture::account(), fixture::limits());
    let (payment, _) = fixture::notified("p1", &receiver.url("/answer/200"));
    let day_old = clock::now().minus(Duration::from_secs(24 * 3600));
    let kept = fixture::notification(&fixture::account(), day_old);
    worker.schedule(0, (payment, Some(kept)));
    let received = receiver.next().await;
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

#[tokio::test]
async fn the_accounts_notify_url_serves_payments_without_their_own() {
    let mut receiver = Receiver::start().await;
    let mut account = fixture::account();
    account.notify_url = Some(receiver.url("/answer/201"));
    let mut worker = RunningWorker::start(account, fixture::limits());
    let own = receiver.url("/answer/202");
    worker.schedule(0, (fixture::confirmed("p1", None), None));
    assert_eq!(receiver.next().await.path, "/answer/201");
    worker.schedule(0, (fixture::confirmed("p2", Some(own)), None));
    assert_eq!(receiver.next().await.path, "/answer/202");
    worker.finished().await;
    worker.stop().await;
}

#[tokio::test]
async fn what_nobody_asked_for_or_was_reversed_is_done_with_unsent_and_no_dead_letter() {
    let logs = Logs::default();
    let _guard = logs.capture(tracing::Level::WARN);
    let recorder = metrics_exporter_prometheus::PrometheusBuilder::new().build_recorder();
    let _recorded_here = metrics::set_default_local_recorder(&recorder);
    let receiver = Receiver::start().await;
    let mut worker = RunningWorker::start(fixture::account(), fixture::limits());
    worker.schedule(0, (fixture::confirmed("p1", None), None));
    let (settlement, attempt) = worker.finished().await;
    assert_eq!(settlement, JobResult::Done);
    assert!(attempt.result.starts_with("no notify_url"), "{attempt:?}");

    let (mut payment, kept) = fixture::notified("p2", &receiver.url("/answer/200"));
    payment.state.version = Version::REVERSED;
    worker.schedule(0, (payment, kept));
    let (settlement, attempt) = worker.finished().await;
    assert_eq!(settlement, JobResult::Done);
    assert!(attempt.result.contains("reversed"), "{attempt:?}");

    assert!(receiver.is_empty());
    worker.stop().await;
    let metrics = recorder.handle().render();
    let counted = r#"chasqui_deliveries_total{account="shop",result="unneeded"} 2"#;
    assert!(metrics.contains(counted), "{metrics}");
    assert!(!metrics.contains("chasqui_dead_letters_total"), "{metrics}");
    assert_eq!(logs.text(), "");
}

#[tokio::test]
async fn a_payment_that_is_not_confirmed_is_never_told_of() {
    let receiver = Receiver::start().await;
    let mut worker = RunningWorker::start(fixture::account(), fixture::limits());
    let (mut payment, kept) = fixture::notified("p1", &receiver.url("/answer/200"));
    payment.state.version = Version::from_number(14).expect("version");
    worker.schedule(0, (payment, kept));
    let (settlement, attempt) = worker.finished().await;
    assert_eq!(settlement, JobResult::Dead);
    assert!(attempt.result.contains("verifying"), "{attempt:?}");
    assert!(receiver.is_empty());
    worker.stop().await;
}

#[tokio::test]
async fn a_slow_merchant_does_not_stop_other_deliveries() {
    let receiver = Receiver::start().await;
    let mut worker = RunningWorker::start(fixture::account(), fixture::limits());
    for slow in 0..20 {
        let id = format!("slow{slow}");
        worker.schedule(0, fixture::notified(&id, &receiver.url("/hang")));
    }
    worker.schedule(0, fixture::notified("quick", &receiver.url("/answer/200")));
    assert_eq!(worker.finished().await.0, JobResult::Done);
    worker.stop().await;
}

/// The share is full, so the third is put back, untried and uncounted, until one of the others has ended.
#[tokio::test]
async fn an_account_has_no_more_than_its_share_in_flight() {
    let mut receiver = Receiver::start().await;
    let (worker_limits, limits) = fixture::limits();
    let limits = DeliveryLimits {
        in_flight_per_account: 2,
        attempt_timeout: Duration::from_secs(1),
        ..limits
    };
    let mut worker = RunningWorker::start(fixture::account(), (worker_limits, limits));
    for id in ["p1", "p2", "p3"] {
        worker.schedule(0, fixture::notified(id, &receiver.url("/hang")));
    }
    let mut ended = Vec::new();
    for _ in 0..3 {
        receiver.next().await;
        let (leased, _, attempt) = worker.end().await;
        assert_eq!(leased.attempts, 0);
        assert_eq!(attempt.result, "no answer within 1 s");
        ended.push((attempt.at, attempt.at.plus(attempt.duration)));
    }
    ended.sort_unstable();
    let first_end = ended[0].1.min(ended[1].1);
    assert!(ended[2].0 >= first_end, "{ended:?}");
    let soon = IDLE / 2;
    assert!(ended[2].0 < first_end.plus(soon), "{ended:?}");
    worker.stop().await;
}

/// More than one instance may hold at once, all due before the other account's.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_account_that_hangs_with_thousands_due_does_not_keep_another_waiting() {
    const HANGING: usize = 2000;
    let (hangs, mut answers) = (Receiver::start().await, Receiver::start().await);
    let directory = tempfile::tempdir().expect("directory");
    let location = DatabaseLocation::File(directory.path().join("chasqui.db"));
    let store = SqliteStore::open(&location, &Default::default()).expect("store");
    let store: Arc<dyn Store> = Arc::new(store);
    let named = |name: &str, url| Account {
        name: AccountName::parse(name).expect("name"),
        notify_url: Some(url),
        ..fixture::account()
    };
    let busy = named("busy", hangs.url("/hang"));
    let quick = named("quick", answers.url("/answer/200"));
    let confirmed = |account: &Account| Observation {
        account: account.name.clone(),
        source: Source::Notification,
        at: clock::now(),
        update: Reported::Confirmed {
            late: false,
            reason: None,
        }
        .final_update(),
        notification: None,
        jobs: vec![NewJob::delivery(clock::now())],
    };
    let ids = (0..HANGING).map(|n| PaymentId::parse(&format!("busy{n}")).expect("id"));
    let observed = ids.map(|id| {
        let (store, observation) = (Arc::clone(&store), confirmed(&busy));
        async move { store.observe(&id, &observation).await.map(|_| ()) }
    });
    try_join_all(observed).await.expect("observed");

    let (worker_limits, limits) = fixture::limits();
    let share = limits.in_flight_per_account;
    let build: BuildNotification =
        Arc::new(|_, _| Box::pin(async { Ok(Bytes::from_static(b"{}")) }));
    let accounts = Accounts::new([busy, quick.clone()]);
    let handler = DeliveryHandler::new(store.clone(), &accounts, build, limits).expect("handler");
    let wake = Arc::new(Notify::new());
    let job_worker = JobWorker::new(store.clone(), handler, worker_limits, Arc::clone(&wake));
    let stop = CancellationToken::new();
    let task = tokio::spawn(job_worker.expect("worker").run(stop.clone()));
    for round in 0..3 {
        let id = PaymentId::parse(&format!("quick{round}")).expect("id");
        let scheduled = store.observe(&id, &confirmed(&quick)).await;
        scheduled.expect("scheduled");
        wake.notify_one();
        let received = timeout(Duration::from_secs(4), answers.next()).await;
        assert_eq!(received.expect("in time").path, "/answer/200");
        assert!(hangs.waiting() <= share, "{} at once", hangs.waiting());
    }
    stop.cancel();
    timeout(DEADLINE, task).await.expect("in time").expect("ok");
}

#[tokio::test]
async fn a_full_instance_claims_again_as_soon_as_one_attempt_ends() {
    let receiver = Receiver::start().await;
    let (worker_limits, limits) = fixture::limits();
    let worker_limits = WorkerLimits {
        in_flight: 1,
        ..worker_limits
    };
    let mut worker = RunningWorker::start(fixture::account(), (worker_limits, limits));
    for id in ["p1", "p2", "p3", "p4"] {
        let url = receiver.url("/answer/200");
        worker.schedule(0, fixture::notified(id, &url));
    }
    for _ in 0..4 {
        assert_eq!(worker.finished().await.0, JobResult::Done);
    }
    worker.stop().await;
}

#[tokio::test]
async fn a_store_that_was_away_is_asked_again() {
    let receiver = Receiver::start().await;
    let mut worker = RunningWorker::start(fixture::account(), fixture::limits());
    worker.store.lease_failures.store(3, Ordering::SeqCst);
    let url = receiver.url("/answer/200");
    worker.schedule(0, fixture::notified("p1", &url));
    assert_eq!(worker.finished().await.0, JobResult::Done);
    worker.stop().await;
}

#[tokio::test]
async fn a_shutdown_lets_attempts_end_that_are_about_to() {
    let mut receiver = Receiver::start().await;
    let (worker_limits, limits) = fixture::limits();
    let worker_limits = WorkerLimits {
        drain: DEADLINE,
        ..worker_limits
    };
    let limits = DeliveryLimits {
        attempt_timeout: Duration::from_millis(200),
        ..limits
    };
    let mut worker = RunningWorker::start(fixture::account(), (worker_limits, limits));
    worker.schedule(0, fixture::notified("p1", &receiver.url("/hang")));
    receiver.next().await;
    worker.stop.cancel();
    timeout(DEADLINE, &mut worker.task)
        .await
        .expect("in time")
        .expect("ok");
    let (_, _, attempt) = worker.end().await;
    assert_eq!(attempt.result, "no answer within 0.2 s");
}

#[tokio::test]
async fn a_shutdown_puts_back_what_takes_too_long() {
    let mut receiver = Receiver::start().await;
    let mut worker = RunningWorker::start(fixture::account(), fixture::limits());
    worker.schedule(4, fixture::notified("p1", &receiver.url("/hang")));
    receiver.next().await;
    worker.stop.cancel();
    timeout(DEADLINE, &mut worker.task)
        .await
        .expect("in time")
        .expect("ok");
    let (_, settlement, attempt) = worker.end().await;
    assert!(matches!(settlement, JobResult::PutBack { due_at } if due_at <= clock::now()));
    assert!(attempt.result.starts_with("interrupted"), "{attempt:?}");
}

#[tokio::test]
async fn stopping_uses_up_no_attempt() {
    let mut receiver = Receiver::start().await;
    let (worker_limits, limits) = fixture::limits();
    let worker_limits = WorkerLimits {
        drain: Duration::ZERO,
        ..worker_limits
    };
    let limits = (worker_limits, limits);
    let mut worker = RunningWorker::start(fixture::account(), limits.clone());
    worker.schedule(0, fixture::notified("p1", &receiver.url("/hang")));
    for _ in 0..3 {
        receiver.next().await;
        worker = worker
            .started_again(fixture::account(), limits.clone())
            .await;
        let (leased, _, attempt) = worker.end().await;
        assert!(attempt.result.starts_with("interrupted"), "{attempt:?}");
        assert_eq!(leased.attempts, 0);
    }
    receiver.next().await;
    worker.stop().await;
}

#[tokio::test]
async fn logs_and_metrics_show_no_secret_body_or_path() {
    let receiver = Receiver::start().await;
    let logs = Logs::default();
    let _guard = logs.capture(tracing::Level::TRACE);
    let recorder = metrics_exporter_prometheus::PrometheusBuilder::new().build_recorder();
    let _recorded_here = metrics::set_default_local_recorder(&recorder);
    let mut worker = RunningWorker::start(fixture::account(), fixture::limits());
    for path in ["/answer/200?key=hidden", "/answer/500?key=hidden"] {
        let url = receiver.url(path);
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

#[test]
fn a_lease_shorter_than_an_attempt_is_refused() {
    let worker = |worker_limits| {
        let (store, _) = FakeStore::new();
        let payments = Arc::<FakeStore>::clone(&store);
        let build: BuildNotification = Arc::new(|_, _| panic!("nothing runs"));
        let accounts = Accounts::new([fixture::account()]);
        let limits = DeliveryLimits::default();
        let handler = DeliveryHandler::new(payments, &accounts, build, limits).expect("handler");
        JobWorker::new(store, handler, worker_limits, Arc::default())
    };
    assert!(worker(DeliveryHandler::WORKER_LIMITS).is_ok());
    let limits = WorkerLimits {
        lease: Duration::from_secs(20),
        ..DeliveryHandler::WORKER_LIMITS
    };
    assert!(matches!(
        worker(limits),
        Err(WorkerLimitsError::LeaseTooShort { .. })
    ));
}
