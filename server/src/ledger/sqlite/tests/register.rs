//! The max-register through the real ledger, in whatever order claims come.

use proptest::prelude::*;
use tokio::runtime;

use super::*;
use crate::ledger::Event;
use crate::ledger::suite::{events, id, saying};
use crate::payment::Status;

proptest! {
    // Each case opens a ledger of its own.
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn any_order_of_claims_ends_at_the_highest(
        versions in prop::collection::vec((1u8..=7, 0i64..1000), 1..16)
    ) {
        let ledger = open(&Location::Memory, &Limits::default());
        let runtime = runtime::Builder::new_current_thread().enable_time().build().expect("runtime");
        let (end, accepted) = runtime.block_on(async {
            for (version, ms) in &versions {
                let claimed = Status::from_version(*version).expect("status");
                ledger.observe(&id("p1"), &saying(claimed, *ms)).await.expect("observe");
            }
            let end = ledger.read(&[id("p1")]).await.expect("read")[0].expect("known");
            (end, events(&ledger, "p1").await.len())
        });

        let highest = versions.iter().map(|(version, _)| *version).max().expect("one");
        let (_, first_at) = versions.iter().find(|(version, _)| *version == highest).expect("it");
        prop_assert_eq!(end.status.version(), highest);
        prop_assert_eq!(end.at.unix_ms(), *first_at);

        let mut rank = 0;
        let rises = versions.iter().filter(|(version, _)| {
            let rises = *version > rank;
            rank = rank.max(*version);
            rises
        });
        prop_assert_eq!(accepted, rises.count());
    }
}

#[tokio::test]
async fn two_ledgers_in_memory_know_nothing_of_each_other() {
    let (one, other) = (
        open(&Location::Memory, &Limits::default()),
        open(&Location::Memory, &Limits::default()),
    );
    one.observe(&id("p1"), &saying(Status::Confirmed, 1))
        .await
        .expect("observe");
    assert_eq!(events(&one, "p1").await.len(), 1);
    assert_eq!(events(&other, "p1").await, Vec::<Event>::new());
}
