//! Every failure at once; at the end every status matches Khipu's.

use chasqui_tests::simulation::{SimulationOptions, Storage, run};

const PAYMENTS: usize = 2_000;
const KILLS: usize = 4;

/// Fixed, so that each run is the same test; `simulate` takes any seed.
const SEED: u64 = 20_261_124;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_every_failure_all_statuses_match_khipu_on_sqlite() {
    simulate(Storage::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_every_failure_all_statuses_match_khipu_on_redis() {
    simulate(Storage::Redis).await;
}

async fn simulate(storage: Storage) {
    let report = run(&SimulationOptions {
        seed: SEED,
        payments: PAYMENTS,
        storage,
        kills: KILLS,
    })
    .await;
    assert!(report.is_good(), "{report}");
}
