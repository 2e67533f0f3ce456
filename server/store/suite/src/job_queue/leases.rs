//! Leases that end in time, and those that do not.

use std::time::Duration;

use chasqui_store::{JobResult, LeasedJob};

use crate::fixtures::*;

/// Longer than any test takes.
pub(crate) const LEASE: Duration = Duration::from_secs(60);

/// Over after a moment.
pub(crate) const BRIEF_LEASE: Duration = Duration::from_millis(20);

/// Not due during any test.
pub(crate) fn later() -> Timestamp {
    now().plus(Duration::from_secs(3600))
}

pub(crate) async fn observe(store: &dyn Store, name: &str, observation: &Observation) {
    store
        .observe(&id(name), observation)
        .await
        .expect("observe");
}

pub(crate) async fn lease_due(store: &dyn Store, kind: JobKind) -> Vec<LeasedJob> {
    let leased = store.lease_due(kind, now(), 100, LEASE).await;
    leased.expect("lease")
}

pub(crate) async fn lease_one(store: &dyn Store, kind: JobKind) -> LeasedJob {
    let mut leased = lease_due(store, kind).await;
    assert_eq!(leased.len(), 1, "{leased:?}");
    leased.remove(0)
}

/// Leases the longest due job alone.
pub(crate) async fn lease_first(store: &dyn Store, kind: JobKind, lease: Duration) -> LeasedJob {
    let leased = store.lease_due(kind, now(), 1, lease).await;
    leased.expect("lease").remove(0)
}

pub(crate) async fn finish(store: &dyn Store, leased: &LeasedJob, end: JobResult) -> bool {
    store.finish(leased, &end, None).await.expect("finish")
}

pub(crate) async fn next_due(store: &dyn Store, kind: JobKind) -> Option<i64> {
    let due = store.next_due(kind).await.expect("next_due");
    due.map(Timestamp::unix_ms)
}
