//! Leases, poll locks and calls' slots follow the store's clock: an instance whose own clock is wrong takes nothing from
//! others and loses nothing to them.

use chasqui_payment::StatusKind;
use chasqui_store::{CallBucket, CallPacer};
use chasqui_store_suite::{at_once, id, reporting, scheduling, shop};
use redis_processes::deadline::eventually;

use super::*;

const LEASE: Duration = Duration::from_secs(60);
const CHECK: JobKind = JobKind::Check;

async fn schedule(store: &RedisStore, name: &str, due_at: Timestamp) {
    let observation = scheduling(CHECK, due_at.unix_ms());
    let observed = store.observe(&id(name), &observation).await;
    observed.expect("observe");
}

async fn lease_due(store: &RedisStore, now: Timestamp, lease: Duration) -> Vec<LeasedJob> {
    let leased = store.lease_due(CHECK, now, 100, lease).await;
    leased.expect("lease")
}

async fn lease_end(store: &RedisStore) -> Timestamp {
    let due = store.next_due(CHECK).await.expect("next_due");
    due.expect("one is leased")
}

#[tokio::test]
async fn an_instance_whose_clock_is_ahead_takes_no_leased_job() {
    let server = start().await;
    let store = open_standalone(&server).await;
    let right = time(&server).await;
    schedule(&store, "p1", right).await;
    assert_eq!(lease_due(&store, right, LEASE).await.len(), 1);
    assert_eq!(lease_due(&store, right.plus(HOURS), LEASE).await, []);

    schedule(&store, "p2", right.plus(LEASE)).await;
    let early = lease_due(&store, right.plus(HOURS), LEASE).await;
    assert_eq!(early, [], "due in a minute");
}

#[tokio::test]
async fn an_instance_whose_clock_is_behind_holds_its_full_lease() {
    let server = start().await;
    let store = open_standalone(&server).await;
    let before = time(&server).await;
    schedule(&store, "p1", before).await;
    let behind = before.minus(HOURS);
    assert_eq!(lease_due(&store, behind, LEASE).await.len(), 1);
    let end = lease_end(&store).await;
    assert!(end >= before.plus(LEASE), "{end} is too early");
    assert!(end <= time(&server).await.plus(LEASE), "{end} is too late");
    assert_eq!(lease_due(&store, before, LEASE).await, []);
}

#[tokio::test]
async fn a_lease_that_ran_out_by_the_stores_clock_gives_the_job_to_another() {
    let server = start().await;
    let store = open_standalone(&server).await;
    let right = time(&server).await;
    schedule(&store, "p1", right).await;
    let first = lease_due(&store, right, Duration::from_millis(50)).await;
    let second = eventually("the lease runs out", async || {
        lease_due(&store, right.minus(HOURS), LEASE).await.pop()
    })
    .await;
    assert_ne!(first[0].token, second.token);
    let late = store.finish(&first[0], &JobResult::Done, None).await;
    assert!(!late.expect("finish"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_instances_never_share_a_job() {
    const JOBS: usize = 200;
    let server = start().await;
    let instances = [
        Arc::new(open_standalone(&server).await),
        Arc::new(open_standalone(&server).await),
    ];
    let right = time(&server).await;
    for n in 0..JOBS {
        schedule(&instances[0], &format!("p{n}"), right).await;
    }
    let taken = at_once(16, |n| {
        let store = Arc::clone(&instances[n % 2]);
        async move {
            let mut mine = Vec::new();
            loop {
                let some = store
                    .lease_due(CHECK, right, 3, LEASE)
                    .await
                    .expect("lease");
                if some.is_empty() {
                    return mine;
                }
                mine.extend(some.into_iter().map(|leased| leased.payment_id));
            }
        }
    })
    .await;
    let mut all: Vec<_> = taken.into_iter().flatten().collect();
    assert_eq!(all.len(), JOBS);
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), JOBS);
}

#[tokio::test]
async fn a_poll_lock_holds_for_all_instances_with_any_clock() {
    let server = start().await;
    let store = open_standalone(&server).await;
    let right = time(&server).await;
    let gap = Duration::from_secs(10);
    for (callers, expected) in [
        (right.minus(HOURS), true),
        (right, false),
        (right.plus(HOURS), false),
    ] {
        let taken = store.try_lock_poll(&id("p1"), callers, gap).await;
        assert_eq!(taken.expect("try_lock_poll"), expected);
    }
    let kept: i64 = server.ask(&["PTTL", &key("turn", "p1")]).await;
    assert!(
        (540_000..=600_000).contains(&kept),
        "forgotten after {kept} ms"
    );
}

#[tokio::test]
async fn a_store_clock_that_was_set_back_far_does_not_block_polls() {
    let server = start().await;
    let store = open_standalone(&server).await;
    let right = time(&server).await;
    let gap = Duration::from_secs(60);
    for (taken_at, expected) in [
        (right.plus(gap / 2), false),
        (right.plus(HOURS), true),
        (right.minus(gap / 2), false),
        (right.minus(gap), true),
    ] {
        let taken = taken_at.unix_ms().to_string();
        server.command(&["SET", &key("turn", "p1"), &taken]).await;
        let locked = store.try_lock_poll(&id("p1"), right, gap).await;
        assert_eq!(locked.expect("try_lock_poll"), expected, "{taken_at}");
    }
}

#[tokio::test]
async fn an_idle_second_or_a_store_clock_that_was_set_back_far_delays_no_slot() {
    const PER_SECOND: u32 = 10;
    let server = start().await;
    let store = open_standalone(&server).await;
    let right = time(&server).await;
    let (_, bucket) = keys::call_bucket(&shop());
    for next in [right.minus(HOURS), right.plus(2 * CallBucket::HORIZON)] {
        let next = (next.unix_ms() * 1000).to_string();
        server.command(&["SET", &bucket, &next]).await;
        for _ in 0..PER_SECOND {
            let wait = store.reserve_call(&shop(), right, PER_SECOND).await;
            assert_eq!(wait.expect("reserve_call"), Duration::ZERO);
        }
    }
}

#[tokio::test]
async fn next_due_needs_no_clock() {
    let server = start().await;
    let store = open_standalone(&server).await;
    let due_at = time(&server).await.plus(HOURS);
    schedule(&store, "p1", due_at).await;
    store
        .observe(&id("p2"), &reporting(StatusKind::Created, 1))
        .await
        .expect("observe");
    assert_eq!(store.next_due(CHECK).await.expect("due"), Some(due_at));
}
