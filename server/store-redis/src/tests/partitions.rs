//! A job queue in 64 partitions, some of them unreachable or with entries that lead nowhere.

use chasqui_store_suite::{id, scheduling};
use redis_processes::deadline::eventually;

use super::*;

const LEASE: Duration = Duration::from_secs(60);
const CHECK: JobKind = JobKind::Check;

async fn schedule(store: &RedisStore, name: &str, due_ms: i64) {
    let observed = store.observe(&id(name), &scheduling(CHECK, due_ms)).await;
    observed.expect("observe");
}

#[tokio::test]
async fn an_entry_whose_payment_is_gone_is_removed_by_a_lease() {
    let server = start().await;
    let store = open_standalone(&server).await;
    let now = time(&server).await;
    schedule(&store, "gone", 10).await;
    schedule(&store, "here", 20).await;
    server.command(&["DEL", &key("payment", "gone")]).await;
    // One is asked for, and the first in the queue is gone.
    let leased = store.lease_due(CHECK, now, 1, LEASE).await.expect("lease");
    let names: Vec<_> = leased.iter().map(|it| it.payment_id.as_str()).collect();
    assert_eq!(names, ["here"]);
    let job_queue = keys::key(Partition::of("gone"), "agenda", "check");
    assert_eq!(server.ask::<i64>(&["EXISTS", &job_queue]).await, 0);
}

#[tokio::test]
async fn finishing_a_job_of_a_payment_that_is_gone_leaves_nothing_behind() {
    let server = start().await;
    let store = open_standalone(&server).await;
    let now = time(&server).await;
    schedule(&store, "gone", 10).await;
    let leased = store.lease_due(CHECK, now, 1, LEASE).await.expect("lease");
    for kind in ["payment", "timeline"] {
        server.command(&["DEL", &key(kind, "gone")]).await;
    }
    let attempt = chasqui_store_suite::attempt(60, "200");
    let again = JobResult::Retry { due_at: now };
    let finished = store.finish(&leased[0], &again, Some(&attempt)).await;
    assert!(!finished.expect("finish"));
    let of_payments: Vec<String> = server.ask(&["KEYS", "*gone*"]).await;
    assert_eq!(of_payments, Vec::<String>::new());
    assert_eq!(store.next_due(CHECK).await.expect("due"), None);
}

#[tokio::test]
async fn a_repeated_lease_takes_what_it_took() {
    let server = start().await;
    let store = open_standalone(&server).await;
    schedule(&store, "p1", 10).await;
    let call =
        |token: u64| job_queue::leasing(CHECK, LEASE, Partition::of("p1"), &[(0, id("p1"), token)]);
    // Its reply was lost, and the same call is sent again; then another instance calls.
    for (token, expected) in [(1, Some((0, 1))), (1, Some((0, 1))), (2, None)] {
        let reply = store.redis.run(Partition::of("p1"), &call(token)).await;
        let found: Vec<Option<(u32, u8)>> = replies::read(reply.expect("lease")).expect("reply");
        assert_eq!(found, [expected]);
    }
}

/// While a master is gone without a successor, the others' work goes on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unreachable_partitions_keep_their_jobs_and_delay_no_others() {
    const JOBS: usize = 40;
    let options = options().with("cluster-require-full-coverage no");
    let mut cluster = RedisCluster::start(&options).await;
    let store = open(&on_cluster(&cluster), RETENTION).await;
    let right = time(&cluster.nodes[0]).await;
    for n in 0..JOBS {
        schedule(&store, &format!("p{n}"), right.unix_ms()).await;
    }
    store.health_check().await.expect("all is well");
    let mut reachable = Vec::new();
    for n in 0..JOBS {
        let slot = Partition::of(&format!("p{n}")).slot();
        if cluster.master_of_slot(slot).await != 0 {
            reachable.push(id(&format!("p{n}")));
        }
    }
    assert!((1..JOBS).contains(&reachable.len()));
    for node in [3, 0] {
        cluster.nodes[node].kill();
    }

    let mut taken = Vec::new();
    eventually("what can be reached is leased", async || {
        let leased = store.lease_due(CHECK, right, JOBS, LEASE).await;
        let leased = leased.unwrap_or_default();
        taken.extend(leased.into_iter().map(|leased| leased.payment_id));
        (taken.len() >= reachable.len()).then_some(())
    })
    .await;
    taken.sort_unstable();
    reachable.sort_unstable();
    assert_eq!(taken, reachable);
    let error = store.health_check().await.expect_err("a third is missing");
    assert!(error.to_string().contains("chasqui:{p"), "{error}");
}
