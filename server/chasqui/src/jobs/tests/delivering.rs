//! The dispatcher from claim to settlement, against a merchant's server that really listens.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::try_join_all;
use tokio::sync::{Notify, oneshot};
use tokio::time::timeout;

use super::fixture::{self, DEADLINE};
use super::receiver::Receiver;
use super::running::Running;
use crate::account::{Account, Accounts};
use crate::clock;
use crate::jobs::{Limits, Outbox, Rebuild, SetupError, schedule, signature};
use crate::khipu::signature as khipu;
use crate::payment::{
    AccountName, NewJob, Observation, Payment, PaymentId, Reported, Source, Verdict, Version,
};
use crate::store::sqlite::{DatabaseLocation, SqliteStore};
use crate::store::{JobAttempt, JobResult, Store, StoredNotification};

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
    let mut outbox = Running::start(fixture::account(), fixture::limits());
    outbox.schedule(0, fixture::notified("p1", &receiver.url("/answer/200")));
    let (settlement, attempt) = outbox.settled().await;
    assert_eq!(settlement, JobResult::Done);
    assert_eq!(attempt.result, "200");
    assert_eq!(receiver.next().await.body, fixture::BODY);
    outbox.stop().await;
}

#[tokio::test]
async fn a_failure_is_put_back_as_scheduled_and_the_last_one_is_dead() {
    let receiver = Receiver::start().await;
    let mut outbox = Running::start(fixture::account(), fixture::limits());
    let failing = || fixture::notified("p1", &receiver.url("/answer/500"));
    for (made, planned) in (0u32..).zip(schedule::WAITS) {
        outbox.schedule(made, failing());
        let (settlement, attempt) = outbox.settled().await;
        let wait = wait(settlement, &attempt);
        let most = planned.mul_f64(1.0 + schedule::JITTER) + DEADLINE;
        assert!(
            (planned.mul_f64(1.0 - schedule::JITTER)..most).contains(&wait),
            "{made}: {wait:?}"
        );
        assert_eq!(attempt.result, "500");
    }
    outbox.schedule(9, failing());
    assert_eq!(outbox.settled().await.0, JobResult::Dead);
    outbox.stop().await;
}

#[tokio::test]
async fn a_410_is_the_end_and_retry_after_a_delay() {
    let receiver = Receiver::start().await;
    let mut outbox = Running::start(fixture::account(), fixture::limits());
    outbox.schedule(0, fixture::notified("p1", &receiver.url("/answer/410")));
    assert_eq!(outbox.settled().await.0, JobResult::Dead);
    outbox.schedule(
        0,
        fixture::notified("p2", &receiver.url("/answer/503/3600")),
    );
    let (settlement, attempt) = outbox.settled().await;
    let wait = wait(settlement, &attempt);
    assert!(
        wait >= Duration::from_secs(3600) && wait < Duration::from_secs(61 * 60),
        "{wait:?}"
    );
    outbox.stop().await;
}

#[tokio::test]
async fn every_attempt_has_the_same_webhook_id() {
    let mut receiver = Receiver::start().await;
    let mut outbox = Running::start(fixture::account(), fixture::limits());
    for made in 0..3 {
        let url = receiver.url("/answer/500");
        outbox.schedule(made, fixture::notified("p1", &url));
        outbox.settled().await;
        let received = receiver.next().await;
        assert_eq!(received.header(signature::ID_HEADER), "msg_p1_confirmed");
    }
    outbox.stop().await;
}

#[tokio::test]
async fn without_a_notification_the_body_is_built_from_khipus_answer_and_signed() {
    let mut receiver = Receiver::start().await;
    let mut outbox = Running::start(fixture::account(), fixture::limits());
    let payment = fixture::confirmed("p1", Some(receiver.url("/answer/200")));
    outbox.schedule(0, (payment, None));
    let received = receiver.next().await;
    assert_eq!(&received.body[..], b"{}");
    assert_eq!(received.header("chasqui-source"), "reconciliation");
    let signature = received.header(khipu::HEADER);
    let secrets = fixture::account().khipu_secrets;
    assert!(khipu::verify(Some(signature), &received.body, &secrets).is_ok());
    assert_eq!(outbox.settled().await.0, JobResult::Done);
    outbox.stop().await;
}

/// It was too old, or came before the payment was known here: Khipu's answer confirmed the payment, its own bytes tell so.
#[tokio::test]
async fn khipus_bytes_arrive_even_if_they_were_not_believed_by_themselves() {
    let mut receiver = Receiver::start().await;
    let mut outbox = Running::start(fixture::account(), fixture::limits());
    let hour = Duration::from_secs(3600);
    let (now, url) = (clock::now(), receiver.url("/answer/200"));
    for (verdict, signed_at) in [
        (Verdict::Stale, now.minus(hour)),
        (Verdict::Stale, now.plus(hour)),
        (Verdict::UnknownPayment, now),
    ] {
        let (payment, kept) = fixture::sold(&url, verdict, signed_at);
        outbox.schedule(0, (payment, Some(kept)));
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
        assert_eq!(outbox.settled().await.0, JobResult::Done);
    }
    outbox.stop().await;
}

#[tokio::test]
async fn unbelieved_bytes_that_cannot_be_compared_or_disagree_are_not_sent() {
    type Change = fn(&mut Payment, &mut StoredNotification);
    let mut receiver = Receiver::start().await;
    let mut outbox = Running::start(fixture::account(), fixture::limits());
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
        outbox.schedule(0, (payment, Some(kept)));
        let received = receiver.next().await;
        assert_eq!(&received.body[..], b"{}");
        assert_eq!(received.header("chasqui-source"), "reconciliation");
        assert_eq!(outbox.settled().await.0, JobResult::Done);
    }
    outbox.stop().await;
}

#[tokio::test]
async fn khipus_silence_about_the_content_is_tried_again() {
    let receiver = Receiver::start().await;
    let silent: Rebuild = Arc::new(|_, _| Box::pin(async { Err("khipu is away".to_owned()) }));
    let mut outbox = Running::start_with(fixture::account(), fixture::limits(), silent);
    let payment = fixture::confirmed("p1", Some(receiver.url("/answer/200")));
    outbox.schedule(0, (payment, None));
    let (settlement, attempt) = outbox.settled().await;
    assert!(wait(settlement, &attempt) > Duration::ZERO);
    assert!(attempt.result.contains("khipu is away"), "{attempt:?}");
    assert!(receiver.is_empty());
    outbox.stop().await;
}

/// Two failures of Khipu's in a row put a merchant off by five minutes who had no part in it.
#[tokio::test]
async fn khipus_silence_about_the_content_uses_up_no_attempt() {
    let mut receiver = Receiver::start().await;
    let asked = Arc::new(AtomicUsize::new(0));
    let away_at_first: Rebuild = {
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
    let mut outbox = Running::start_with(fixture::account(), fixture::limits(), away_at_first);
    let mut payment = fixture::confirmed("p1", Some(receiver.url("/answer/200")));
    payment.state.at = clock::now();
    outbox.schedule(0, (payment, None));
    let (leased, settlement, _) = timeout(DEADLINE, outbox.settled.recv())
        .await
        .expect("in time")
        .expect("settled");
    assert_eq!((leased.attempts, settlement), (0, JobResult::Done));
    assert_eq!(asked.load(Ordering::SeqCst), 3);
    receiver.next().await;
    assert!(receiver.is_empty());
    outbox.stop().await;
}

#[tokio::test]
async fn an_attempt_that_panics_does_not_stop_the_dispatcher() {
    let receiver = Receiver::start().await;
    let broken: Rebuild = Arc::new(|_, _| panic!("a bug, on purpose"));
    let mut outbox = Running::start_with(fixture::account(), fixture::limits(), broken);
    let url = receiver.url("/answer/200");
    outbox.schedule(0, (fixture::confirmed("p1", Some(url.clone())), None));
    outbox.schedule(0, fixture::notified("p2", &url));
    assert_eq!(outbox.settled().await.0, JobResult::Done);
    outbox.stop().await;
}

#[tokio::test]
async fn an_old_notification_arrives_with_a_fresh_signature_over_the_same_bytes() {
    let mut receiver = Receiver::start().await;
    let outbox = Running::start(fixture::account(), fixture::limits());
    let (payment, _) = fixture::notified("p1", &receiver.url("/answer/200"));
    let day_old = clock::now().minus(Duration::from_secs(24 * 3600));
    let kept = fixture::notification(&fixture::account(), day_old);
    outbox.schedule(0, (payment, Some(kept)));
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
    outbox.stop().await;
}

#[tokio::test]
async fn the_accounts_notify_url_serves_payments_without_their_own() {
    let mut receiver = Receiver::start().await;
    let mut account = fixture::account();
    account.notify_url = Some(receiver.url("/answer/201"));
    let mut outbox = Running::start(account, fixture::limits());
    let own = receiver.url("/answer/202");
    outbox.schedule(0, (fixture::confirmed("p1", None), None));
    assert_eq!(receiver.next().await.path, "/answer/201");
    outbox.schedule(0, (fixture::confirmed("p2", Some(own)), None));
    assert_eq!(receiver.next().await.path, "/answer/202");
    outbox.settled().await;
    outbox.stop().await;
}

#[tokio::test]
async fn what_nobody_asked_for_or_was_reversed_is_done_with_unsent_and_no_dead_letter() {
    let logs = Arc::new(Mutex::new(Vec::new()));
    let _guard = logging_to(&logs, tracing::Level::WARN);
    let recorder = metrics_exporter_prometheus::PrometheusBuilder::new().build_recorder();
    let _recorded_here = metrics::set_default_local_recorder(&recorder);
    let receiver = Receiver::start().await;
    let mut outbox = Running::start(fixture::account(), fixture::limits());
    outbox.schedule(0, (fixture::confirmed("p1", None), None));
    let (settlement, attempt) = outbox.settled().await;
    assert_eq!(settlement, JobResult::Done);
    assert!(attempt.result.starts_with("no notify_url"), "{attempt:?}");

    let (mut payment, kept) = fixture::notified("p2", &receiver.url("/answer/200"));
    payment.state.version = Version::REVERSED;
    outbox.schedule(0, (payment, kept));
    let (settlement, attempt) = outbox.settled().await;
    assert_eq!(settlement, JobResult::Done);
    assert!(attempt.result.contains("reversed"), "{attempt:?}");

    assert!(receiver.is_empty());
    outbox.stop().await;
    let metrics = recorder.handle().render();
    let counted = r#"chasqui_deliveries_total{account="shop",result="unneeded"} 2"#;
    assert!(metrics.contains(counted), "{metrics}");
    assert!(!metrics.contains("chasqui_dead_letters_total"), "{metrics}");
    assert_eq!(text(&logs), "");
}

#[tokio::test]
async fn a_payment_that_is_not_confirmed_is_never_told_of() {
    let receiver = Receiver::start().await;
    let mut outbox = Running::start(fixture::account(), fixture::limits());
    let (mut payment, kept) = fixture::notified("p1", &receiver.url("/answer/200"));
    payment.state.version = Version::from_number(14).expect("version");
    outbox.schedule(0, (payment, kept));
    let (settlement, attempt) = outbox.settled().await;
    assert_eq!(settlement, JobResult::Dead);
    assert!(attempt.result.contains("verifying"), "{attempt:?}");
    assert!(receiver.is_empty());
    outbox.stop().await;
}

#[tokio::test]
async fn a_slow_merchant_does_not_stop_other_deliveries() {
    let receiver = Receiver::start().await;
    let mut outbox = Running::start(fixture::account(), fixture::limits());
    for slow in 0..20 {
        let id = format!("slow{slow}");
        outbox.schedule(0, fixture::notified(&id, &receiver.url("/hang")));
    }
    outbox.schedule(0, fixture::notified("quick", &receiver.url("/answer/200")));
    assert_eq!(outbox.settled().await.0, JobResult::Done);
    outbox.stop().await;
}

/// The share is full, so the third is put back, untried and uncounted, until one of the others has ended.
#[tokio::test]
async fn an_account_has_no_more_than_its_share_in_flight() {
    let mut receiver = Receiver::start().await;
    let limits = Limits {
        in_flight_per_account: 2,
        attempt_timeout: Duration::from_secs(1),
        ..fixture::limits()
    };
    let mut outbox = Running::start(fixture::account(), limits);
    for id in ["p1", "p2", "p3"] {
        outbox.schedule(0, fixture::notified(id, &receiver.url("/hang")));
    }
    let mut ended = Vec::new();
    for _ in 0..3 {
        receiver.next().await;
        let settled = timeout(DEADLINE, outbox.settled.recv()).await;
        let (leased, _, attempt) = settled.expect("in time").expect("settled");
        assert_eq!(leased.attempts, 0);
        assert_eq!(attempt.result, "no answer within 1 s");
        ended.push((attempt.at, attempt.at.plus(attempt.duration)));
    }
    ended.sort_unstable();
    let first_end = ended[0].1.min(ended[1].1);
    assert!(ended[2].0 >= first_end, "{ended:?}");
    let soon = fixture::limits().idle / 2;
    assert!(ended[2].0 < first_end.plus(soon), "{ended:?}");
    outbox.stop().await;
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

    let outbox = Outbox::new(
        store.clone(),
        store.clone(),
        &Accounts::new([busy, quick.clone()]),
        Arc::new(|_, _| Box::pin(async { Ok(Bytes::from_static(b"{}")) })),
        fixture::limits(),
    );
    let wake = Arc::new(Notify::new());
    let (stop, stopped) = oneshot::channel::<()>();
    let running = outbox.expect("outbox").run(Arc::clone(&wake), async {
        let _ = stopped.await;
    });
    let task = tokio::spawn(running);
    let share = fixture::limits().in_flight_per_account;
    for round in 0..3 {
        let id = PaymentId::parse(&format!("quick{round}")).expect("id");
        let scheduled = store.observe(&id, &confirmed(&quick)).await;
        scheduled.expect("scheduled");
        wake.notify_one();
        let received = timeout(Duration::from_secs(4), answers.next()).await;
        assert_eq!(received.expect("in time").path, "/answer/200");
        assert!(hangs.waiting() <= share, "{} at once", hangs.waiting());
    }
    let _ = stop.send(());
    timeout(DEADLINE, task).await.expect("in time").expect("ok");
}

#[tokio::test]
async fn a_full_instance_claims_again_as_soon_as_one_attempt_ends() {
    let receiver = Receiver::start().await;
    let limits = Limits {
        in_flight: 1,
        ..fixture::limits()
    };
    let mut outbox = Running::start(fixture::account(), limits);
    for id in ["p1", "p2", "p3", "p4"] {
        let url = receiver.url("/answer/200");
        outbox.schedule(0, fixture::notified(id, &url));
    }
    for _ in 0..4 {
        assert_eq!(outbox.settled().await.0, JobResult::Done);
    }
    outbox.stop().await;
}

#[tokio::test]
async fn a_store_that_was_away_is_asked_again() {
    let receiver = Receiver::start().await;
    let mut outbox = Running::start(fixture::account(), fixture::limits());
    outbox.shelf.failures.store(3, Ordering::SeqCst);
    let url = receiver.url("/answer/200");
    outbox.schedule(0, fixture::notified("p1", &url));
    assert_eq!(outbox.settled().await.0, JobResult::Done);
    outbox.stop().await;
}

#[tokio::test]
async fn a_shutdown_lets_attempts_end_that_are_about_to() {
    let mut receiver = Receiver::start().await;
    let limits = Limits {
        attempt_timeout: Duration::from_millis(200),
        drain: DEADLINE,
        ..fixture::limits()
    };
    let mut outbox = Running::start(fixture::account(), limits);
    outbox.schedule(0, fixture::notified("p1", &receiver.url("/hang")));
    receiver.next().await;
    let Running { stop, task, .. } = outbox;
    let _ = stop.send(());
    timeout(DEADLINE, task).await.expect("in time").expect("ok");
    let (_, _, attempt) = outbox.settled.recv().await.expect("settled");
    assert_eq!(attempt.result, "no answer within 0.2 s");
}

#[tokio::test]
async fn a_shutdown_puts_back_what_takes_too_long() {
    let mut receiver = Receiver::start().await;
    let mut outbox = Running::start(fixture::account(), fixture::limits());
    outbox.schedule(4, fixture::notified("p1", &receiver.url("/hang")));
    receiver.next().await;
    let Running { stop, task, .. } = outbox;
    let _ = stop.send(());
    timeout(DEADLINE, task).await.expect("in time").expect("ok");
    let (_, settlement, attempt) = outbox.settled.recv().await.expect("settled");
    assert!(matches!(settlement, JobResult::PutBack { due_at } if due_at <= clock::now()));
    assert!(attempt.result.starts_with("interrupted"), "{attempt:?}");
}

#[tokio::test]
async fn stopping_uses_up_no_attempt() {
    let mut receiver = Receiver::start().await;
    let limits = Limits {
        drain: Duration::ZERO,
        ..fixture::limits()
    };
    let mut outbox = Running::start(fixture::account(), limits.clone());
    outbox.schedule(0, fixture::notified("p1", &receiver.url("/hang")));
    for _ in 0..3 {
        receiver.next().await;
        outbox = outbox
            .started_again(fixture::account(), limits.clone())
            .await;
        let (leased, _, attempt) = outbox.settled.recv().await.expect("settled");
        assert!(attempt.result.starts_with("interrupted"), "{attempt:?}");
        assert_eq!(leased.attempts, 0);
    }
    receiver.next().await;
    outbox.stop().await;
}

#[tokio::test]
async fn logs_and_metrics_show_no_secret_body_or_path() {
    let receiver = Receiver::start().await;
    let logs = Arc::new(Mutex::new(Vec::new()));
    let _guard = logging_to(&logs, tracing::Level::TRACE);
    let recorder = metrics_exporter_prometheus::PrometheusBuilder::new().build_recorder();
    let _recorded_here = metrics::set_default_local_recorder(&recorder);
    let mut outbox = Running::start(fixture::account(), fixture::limits());
    for path in ["/answer/200?key=hidden", "/answer/500?key=hidden"] {
        let url = receiver.url(path);
        outbox.schedule(9, fixture::notified("p1", &url));
        outbox.settled().await;
    }
    outbox.stop().await;
    let logs = text(&logs);
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

type Logs = Arc<Mutex<Vec<u8>>>;

fn logging_to(logs: &Logs, level: tracing::Level) -> tracing::subscriber::DefaultGuard {
    let writer = Arc::clone(logs);
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(level)
        .with_writer(move || LogWriter(Arc::clone(&writer)))
        .finish();
    tracing::subscriber::set_default(subscriber)
}

fn text(logs: &Logs) -> String {
    String::from_utf8(logs.lock().expect("logs").clone()).expect("text")
}

struct LogWriter(Logs);

impl std::io::Write for LogWriter {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("logs").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_lease_shorter_than_an_attempt_is_refused() {
    assert!(Limits::default().check().is_ok());
    let limits = Limits {
        lease: Duration::from_secs(20),
        ..Limits::default()
    };
    assert!(matches!(
        limits.check(),
        Err(SetupError::LeaseTooShort { .. })
    ));
}
