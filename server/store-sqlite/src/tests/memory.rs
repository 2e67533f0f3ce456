//! Stores in memory are separate.

use chasqui_payment::StatusKind;
use chasqui_store::TimelineEvent;
use chasqui_store_suite::{events, id, reporting};

use super::*;

#[tokio::test]
async fn two_stores_in_memory_share_nothing() {
    let (one, other) = (
        open(&DatabaseLocation::Memory, &SqliteLimits::default()),
        open(&DatabaseLocation::Memory, &SqliteLimits::default()),
    );
    one.observe(&id("p1"), &reporting(StatusKind::Confirmed, 1))
        .await
        .expect("observe");
    assert_eq!(events(&one, "p1").await.len(), 1);
    assert_eq!(events(&other, "p1").await, Vec::<TimelineEvent>::new());
}
