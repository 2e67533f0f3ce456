//! The max-register through the script, in whatever order claims come.

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use super::*;
use crate::ledger::suite::{events, id, saying};
use crate::payment::Status;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn any_order_of_claims_ends_at_the_highest() {
    let server = start().await;
    let ledger = open_alone(&server).await;
    let mut runner = TestRunner::new(Config::with_cases(64));
    let claims = prop::collection::vec((1u8..=7, 0i64..1000), 1..16);
    let outcome = runner.run(&claims, |versions| {
        now(server.command(&["FLUSHALL"]));
        let (end, accepted) = now(async {
            for (version, ms) in &versions {
                let claimed = Status::from_version(*version).expect("status");
                let observed = ledger.observe(&id("p1"), &saying(claimed, *ms)).await;
                observed.expect("observe");
            }
            let end = ledger.read(&[id("p1")]).await.expect("read")[0].expect("known");
            (end, events(&ledger, "p1").await.len())
        });

        let highest = versions.iter().map(|(version, _)| *version).max();
        let first = versions
            .iter()
            .find(|(version, _)| Some(*version) == highest);
        prop_assert_eq!(Some(end.status.version()), highest);
        prop_assert_eq!(Some(end.at.unix_ms()), first.map(|(_, ms)| *ms));

        let mut rank = 0;
        let rises = versions.iter().filter(|(version, _)| {
            let rises = *version > rank;
            rank = rank.max(*version);
            rises
        });
        prop_assert_eq!(accepted, rises.count());
        Ok(())
    });
    if let Err(failure) = outcome {
        panic!("{failure}");
    }
}
