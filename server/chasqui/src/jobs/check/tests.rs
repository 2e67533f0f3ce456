use super::*;
use crate::gateway::fixture::{DEADLINE, Stage, id};
use crate::payment::{Kind, MerchantUrls, NewJob, Observation, PaymentState, Reported, Source};
use crate::store::TimelineEvent;

use metrics_exporter_prometheus::PrometheusBuilder;

/// The sender lives as long as the test's process.
fn never_cut() -> watch::Receiver<bool> {
    Box::leak(Box::new(watch::Sender::new(false))).subscribe()
}

/// A second gateway, or the same one when it is back, need not wait for the lease.
#[tokio::test]
async fn a_check_that_a_stop_cuts_off_is_due_at_once_and_was_no_attempt() {
    // Takes the question, and says nothing.
    let khipu = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let stage = Stage::before(&format!("http://{}", khipu.local_addr().expect("bound")));
    let jobs = vec![NewJob::check(clock::now(), Priority::Notified)];
    stage.commit_with(&id("a"), Kind::Verifying, jobs).await;
    let reconciler = Reconciler::new(
        Arc::clone(&stage.gateway),
        stage.store.clone(),
        stage.store.clone(),
        Arc::default(),
    );
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let running = tokio::spawn(reconciler.run(async {
        let _ = stopped.await;
    }));
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
    stop.send(()).expect("it runs");
    running.await.expect("it stops");
    let next = self::leased(&stage, clock::now()).await;
    assert_eq!((next.attempts, attempts(&stage).await), (0, 0));
}

/// What is recorded of one check, and the check as the next claim finds it.
async fn checked(stage: &Stage) -> (Vec<TimelineEvent>, LeasedJob) {
    let reconciler = Reconciler::new(
        Arc::clone(&stage.gateway),
        stage.store.clone(),
        stage.store.clone(),
        Arc::default(),
    );
    let claim = async |now| {
        let claimed = stage.store.lease_due(JobKind::Check, now, 9, LEASE).await;
        claimed.expect("claimed").pop().expect("a check")
    };
    let before = clock::now();
    reconciler.check(claim(before).await, never_cut()).await;
    let due = stage.store.next_due(JobKind::Check).await;
    let due = due.expect("read").expect("put back");
    assert!(due >= before.plus(ASKED_JUST_NOW), "not at once");
    let timeline = stage.store.timeline(&id("a")).await.expect("timeline");
    let attempts = timeline.into_iter().map(|entry| entry.event);
    let attempts = attempts.filter(|event| matches!(event, TimelineEvent::Attempted { .. }));
    (attempts.collect(), claim(due).await)
}

/// The only check that is there, in the hands of nobody else.
async fn leased(stage: &Stage, now: Timestamp) -> LeasedJob {
    let claimed = stage.store.lease_due(JobKind::Check, now, 9, LEASE).await;
    claimed.expect("claimed").pop().expect("a check")
}

async fn check(stage: &Stage, leased: LeasedJob) {
    let (gateway, store) = (Arc::clone(&stage.gateway), Arc::clone(&stage.store));
    let reconciler = Reconciler::new(gateway, store.clone(), store, Arc::default());
    reconciler.check(leased, never_cut()).await;
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
        jobs: vec![NewJob::check(at, Priority::CrossCheck)],
    };
    let observed = stage.store.observe(&id("a"), &confirmed).await;
    observed.expect("committed");
}

#[tokio::test]
async fn a_check_of_what_was_confirmed_meanwhile_ends_without_a_question() {
    let stage = stage().await;
    let check_leased = leased(&stage, clock::now()).await;
    stage.commit(&id("a"), Kind::Confirmed).await;
    check(&stage, check_leased).await;
    assert_eq!((attempts(&stage).await, next_due(&stage).await), (0, None));
}

#[tokio::test]
async fn a_cross_check_is_made_once_it_is_due_and_made_again_if_khipu_does_not_answer() {
    let stage = stage().await;
    let now = clock::now();
    confirm(&stage, now).await;
    check(&stage, leased(&stage, now).await).await;
    assert_eq!(attempts(&stage).await, 1);
    assert!(next_due(&stage).await.expect("put back") > now);
}

#[tokio::test]
async fn a_cross_check_without_room_for_ten_minutes_is_dropped_and_counted() {
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
async fn a_payment_that_is_not_decided_ten_days_after_its_expiry_is_given_up_and_counted() {
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
    let jobs = vec![NewJob::check(clock::now(), Priority::Notified)];
    stage.commit_with(&id("a"), Kind::Verifying, jobs).await;
    stage
}

#[tokio::test]
async fn a_check_of_what_was_just_asked_about_is_put_off_and_is_no_attempt() {
    let stage = stage().await;
    let minute = Duration::from_secs(60);
    let turn = stage
        .store
        .try_lock_poll(&id("a"), clock::now(), minute)
        .await;
    assert!(turn.expect("taken"), "another instance asks");
    let (attempts, next) = checked(&stage).await;
    assert_eq!((attempts, next.attempts), (Vec::new(), 0));
}

#[tokio::test]
async fn a_check_takes_the_turn_and_is_an_attempt() {
    let stage = stage().await;
    let (attempts, next) = checked(&stage).await;
    assert_eq!((attempts.len(), next.attempts), (1, 1));
    let minute = Duration::from_secs(60);
    let turn = stage
        .store
        .try_lock_poll(&id("a"), clock::now(), minute)
        .await;
    assert!(!turn.expect("asked"), "it was the check's");
}
