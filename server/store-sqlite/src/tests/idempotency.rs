//! Records of idempotent requests do not pile up.

use chasqui_store::{
    BeginOutcome, EXPIRED_PER_BEGIN, IDEMPOTENCY_TERM, IdempotencyKey, IdempotentRequest,
};
use chasqui_store_suite::{at, shop};

use super::*;

const OLD: usize = 20;

async fn begin(store: &SqliteStore, name: usize, at: Timestamp) {
    let request = IdempotentRequest {
        key: IdempotencyKey {
            account: shop(),
            route: "POST /v3/payments",
            key: name.to_string(),
        },
        fingerprint: [7; 32],
        arrival: u64::MAX,
        at,
    };
    assert_eq!(
        store.begin(&request).await.expect("begin"),
        BeginOutcome::Started
    );
}

async fn stored(store: &SqliteStore) -> usize {
    let count = store.read(|statements| {
        let count: i64 = statements
            .prepare("SELECT count(*) FROM idempotency")?
            .query_row([], |row| row.get(0))?;
        Ok(count)
    });
    usize::try_from(count.await.expect("count")).expect("small")
}

#[tokio::test]
async fn each_new_record_removes_a_few_that_have_expired_and_no_other() {
    let store = open(&DatabaseLocation::Memory, &SqliteLimits::default());
    for name in 0..OLD {
        begin(&store, name, at(0)).await;
    }
    let late = at(0).plus(IDEMPOTENCY_TERM);
    begin(&store, 100, late.minus(Duration::from_millis(1))).await;
    assert_eq!(stored(&store).await, OLD + 1, "none has expired yet");
    begin(&store, 101, late).await;
    assert_eq!(stored(&store).await, OLD + 2 - EXPIRED_PER_BEGIN);
    for name in 102..110 {
        begin(&store, name, late).await;
    }
    assert_eq!(stored(&store).await, 10, "those from 100 on");
}
