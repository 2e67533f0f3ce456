//! Ledgers in memory.

use super::*;
use crate::ledger::Event;
use crate::ledger::suite::{events, id, saying};
use crate::payment::Kind;

#[tokio::test]
async fn two_ledgers_in_memory_know_nothing_of_each_other() {
    let (one, other) = (
        open(&Location::Memory, &Limits::default()),
        open(&Location::Memory, &Limits::default()),
    );
    one.observe(&id("p1"), &saying(Kind::Confirmed, 1))
        .await
        .expect("observe");
    assert_eq!(events(&one, "p1").await.len(), 1);
    assert_eq!(events(&other, "p1").await, Vec::<Event>::new());
}
