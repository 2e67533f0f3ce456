use std::sync::atomic::Ordering;

use chasqui_payment::{
    MerchantUrls, NewJob, Observation, PaymentState, Reported, Source, StatusKind,
};
use chasqui_store::TimelineEvent;
use metrics_exporter_prometheus::PrometheusBuilder;

use super::*;
use crate::jobs::JobWorker;
use crate::jobs::tests::fake_store::FakeStore;
use crate::tests::fixture::{DEADLINE, Stage, id};

/// Otherwise another instance would wait for the lease.
#[tokio::test]
async fn a_check_that_a_shutdown_cancels_is_due_at_once_and_is_no_attempt() {
    // Accepts connections and never answers.
    let khipu = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let stage = Stage::before(&format!("http://{}", khipu.local_addr().expect("bound")));
    let jobs = vec![NewJob::check(clock::now(), JobPriority::Notified)];
    stage
        .commit_with(&id("a"), StatusKind::Verifying, jobs)
        .await;
    let stop = CancellationToken::new();
    let running = tokio::spawn(worker(&stage).run(stop.clone()));
    let leased = async {
        loop {
            let due = stage.store.next_due(JobKind::Check).await.expect("read");
            // Under a lease it is due when that ends.
            if due.expect("a check") > clock::now().plus(Duration::from_secs(60)) {
                return;
            }
            tokio::task::yield_now().await;
        }
    };
    timeout(DEADLINE, leased).await.expect("it is leased");
    stop.cancel();
    running.await.expect("it stops");
    let next = self::leased(&stage, clock::now()).await;
    assert_eq!((next.attempts, attempts(&stage).await), (0, 0));
}

/// The attempts that one check leaves, and the check as it is leased next.
async fn checked(stage: &Stage) -> (Vec<TimelineEvent>, LeasedJob) {
    let before = clock::now();
    check(stage, leased(stage, before).await).await;
    let due = stage.store.next_due(JobKind::Check).await;
    let due = due.expect("read").expect("put back");
    assert!(due >= before.plus(JUST_POLLED_DELAY), "not at once");
    let timeline = stage.store.timeline(&id("a")).await.expect("timeline");
    let attempts = timeline.into_iter().map(|entry| entry.event);
    let attempts = attempts.filter(|event| matches!(event, TimelineEvent::Attempted { .. }));
    (attempts.collect(), leased(stage, due).await)
}

const LEASE: Duration = Duration::from_secs(120);

/// Leases the only check.
async fn leased(stage: &Stage, now: Timestamp) -> LeasedJob {
    let jobs = stage.store.lease_due(JobKind::Check, now, 9, LEASE).await;
    jobs.expect("leased").pop().expect("a check")
}

fn handler(stage: &Stage) -> CheckHandler {
    CheckHandler::new(Arc::clone(&stage.payments), stage.store.clone())
}

fn worker(stage: &Stage) -> JobWorker<CheckHandler> {
    let handler = handler(stage);
    let limits = handler.worker_limits();
    JobWorker::new(stage.store.clone(), handler, limits, Arc::default()).expect("worker")
}

/// Runs a check and finishes it.
async fn check(stage: &Stage, mut job: LeasedJob) {
    let stop = CancellationToken::new();
    let end = handler(stage).run(&mut job, &stop).await.expect("run");
    let (result, attempt) = (&end.result, end.attempt.as_ref());
    let finished = stage.store.finish(&job, result, attempt).await;
    assert!(finished.expect("finished"), "its lease holds");
}

async fn attempts(stage: &Stage) -> usize {
    let timeline = stage.store.timeline(&id("a")).await.expect("timeline");
    let attempted = |event: &TimelineEvent| matches!(event, TimelineEvent::Attempted { .. });
    timeline.iter().filter(|it| attempted(&it.event)).count()
}

async fn next_due(stage: &Stage) -> Option<Timestamp> {
    let due = stage.store.next_due(JobKind::Check).await;
    due.expect("read")
}

async fn confirm(stage: &Stage, at: Timestamp) {
    let confirmed = Observation {
        account: stage.account().name.clone(),
        source: Source::Notification,
        at,
        update: Reported::Confirmed {
            late: false,
            reason: None,
        }
        .final_update(),
        notification: None,
        jobs: vec![NewJob::check(at, JobPriority::CrossCheck)],
    };
    let observed = stage.store.observe(&id("a"), &confirmed).await;
    observed.expect("committed");
}

#[tokio::test]
async fn a_check_of_a_payment_confirmed_meanwhile_ends_without_a_query() {
    let stage = stage().await;
    let check_leased = leased(&stage, clock::now()).await;
    stage.commit(&id("a"), StatusKind::Confirmed).await;
    check(&stage, check_leased).await;
    assert_eq!((attempts(&stage).await, next_due(&stage).await), (0, None));
}

#[tokio::test]
async fn a_cross_check_is_retried_if_khipu_does_not_answer() {
    let stage = stage().await;
    let now = clock::now();
    confirm(&stage, now).await;
    check(&stage, leased(&stage, now).await).await;
    assert_eq!(attempts(&stage).await, 1);
    assert!(next_due(&stage).await.expect("put back") > now);
}

#[tokio::test]
async fn a_cross_check_that_waits_ten_minutes_is_dropped_and_counted() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let counted = recorder.handle();
    let _counting = metrics::set_default_local_recorder(&recorder);
    let stage = stage().await;
    let confirmed_at = clock::now().minus(Duration::from_secs(603));
    confirm(&stage, confirmed_at).await;
    check(&stage, leased(&stage, clock::now()).await).await;
    assert_eq!((attempts(&stage).await, next_due(&stage).await), (0, None));
    let counted = counted.render();
    assert!(
        counted.contains("chasqui_cross_checks_dropped_total 1"),
        "{counted}"
    );
}

#[tokio::test]
async fn checks_of_a_payment_that_is_undecided_ten_days_after_its_expiry_end_and_are_counted() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let counted = recorder.handle();
    let _counting = metrics::set_default_local_recorder(&recorder);
    let day = Duration::from_secs(24 * 3600);
    for (days, given_up) in [(10, false), (12, true)] {
        let stage = Stage::in_memory();
        let now = clock::now();
        let created_at = now.minus(day * days);
        let payment = Payment {
            id: id("a"),
            account: stage.account().name.clone(),
            terms: None,
            urls: MerchantUrls::default(),
            reference: None,
            payment_url: None,
            expires_at: None,
            created_at,
            state: PaymentState::created(created_at),
        };
        stage.store.create(&payment).await.expect("created");
        check(&stage, leased(&stage, now).await).await;
        assert_eq!(attempts(&stage).await, 1);
        assert_eq!(next_due(&stage).await.is_none(), given_up, "{days} days");
    }
    let counted = counted.render();
    assert!(
        counted.contains("chasqui_checks_given_up_total 1"),
        "{counted}"
    );
}

async fn stage() -> Stage {
    let stage = Stage::in_memory();
    let jobs = vec![NewJob::check(clock::now(), JobPriority::Notified)];
    stage
        .commit_with(&id("a"), StatusKind::Verifying, jobs)
        .await;
    stage
}

#[tokio::test]
async fn a_check_of_a_payment_that_was_just_polled_is_put_back_and_is_no_attempt() {
    let stage = stage().await;
    let minute = Duration::from_secs(60);
    let lock = stage
        .store
        .try_lock_poll(&id("a"), clock::now(), minute)
        .await;
    assert!(lock.expect("taken"), "another instance polls");
    let (attempts, next) = checked(&stage).await;
    assert_eq!((attempts, next.attempts), (Vec::new(), 0));
}

#[tokio::test]
async fn a_check_takes_the_poll_lock_and_is_an_attempt() {
    let stage = stage().await;
    let (attempts, next) = checked(&stage).await;
    assert_eq!((attempts.len(), next.attempts), (1, 1));
    let minute = Duration::from_secs(60);
    let lock = stage
        .store
        .try_lock_poll(&id("a"), clock::now(), minute)
        .await;
    assert!(!lock.expect("tried"), "the check holds it");
}

#[tokio::test]
async fn a_check_that_was_put_back_for_a_second_runs_after_it() {
    let stage = stage().await;
    let began = clock::now();
    let minute = Duration::from_secs(60);
    let taken = stage.store.try_lock_poll(&id("a"), began, minute).await;
    assert!(taken.expect("taken"), "another instance polls");
    let stop = CancellationToken::new();
    let running = tokio::spawn(worker(&stage).run(stop.clone()));
    let made = async {
        while attempts(&stage).await == 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(DEADLINE, made).await.expect("it runs");
    let waited = clock::now().since(began);
    assert!(waited >= JUST_POLLED_DELAY, "{waited:?}");
    assert!(waited < Duration::from_secs(4), "{waited:?}");
    stop.cancel();
    running.await.expect("it stops");
}

#[tokio::test]
async fn a_check_that_ends_while_this_instance_stops_counts() {
    let khipu = tokio::net::TcpListener::bind("127.0.0.1:0").await;
    let khipu = khipu.expect("a free port");
    let stage = Stage::before(&format!("http://{}", khipu.local_addr().expect("bound")));
    let jobs = vec![NewJob::check(clock::now(), JobPriority::Notified)];
    stage
        .commit_with(&id("a"), StatusKind::Verifying, jobs)
        .await;
    let stop = CancellationToken::new();
    let running = tokio::spawn(worker(&stage).run(stop.clone()));
    let (connection, _) = timeout(DEADLINE, khipu.accept())
        .await
        .expect("khipu is asked")
        .expect("accepted");
    stop.cancel();
    // Khipu fails at once.
    drop(connection);
    running.await.expect("it stops");
    assert_eq!(attempts(&stage).await, 1);
}

#[tokio::test]
async fn the_end_of_a_check_is_recorded_when_the_store_is_back() {
    let stage = Stage::in_memory();
    let (queue, mut ends) = FakeStore::new();
    queue.finish_failures.store(3, Ordering::SeqCst);
    queue.schedule(JobKind::Check, id("not-kept"), 0);
    let handler = handler(&stage);
    let limits = handler.worker_limits();
    let worker = JobWorker::new(queue, handler, limits, Arc::default()).expect("worker");
    let stop = CancellationToken::new();
    let running = tokio::spawn(worker.run(stop.clone()));
    let end = timeout(DEADLINE, ends.recv()).await.expect("in time");
    let (job, result, attempt) = end.expect("finished");
    assert_eq!((job.payment_id, result), (id("not-kept"), JobResult::Done));
    assert_eq!(attempt, None);
    stop.cancel();
    running.await.expect("it stops");
}
