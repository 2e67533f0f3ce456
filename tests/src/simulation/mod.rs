//! Thousands of payments under every failure at once, compared with Khipu at the end.
//!
//! The gateways are killed and restarted. The sandbox loses, duplicates, delays, reorders and wrongly signs notifications,
//! and its API fails and is slow. Payers come back, leave, give up and resume. Shops fail. Then the failures end, and every
//! payment, every page and every shop is compared with the sandbox.
//!
//! The seed decides what happens to each payment, which notifications and calls fail, and when which gateway is killed.
//! The order of concurrent events depends on the machine.
//!
//! Some payments have no watcher at the end, and their notification is lost. In production scheduled checks find those
//! within minutes to days. Here each whose status is not Khipu's yet gets a visit instead, by its shop's back end or by a
//! page that is loaded once, and the report counts them.
//!
//! In reading order: `plan_builder` decides the steps of a `plan`, `payer` performs them on the `system`, `page` and
//! `shops` record what they receive, `expected_status` is what they should show, `comparison` compares, [`report`] is the
//! result.

mod comparison;
mod expected_status;
mod options;
mod page;
mod payer;
mod plan;
mod plan_builder;
pub mod report;
mod shops;
mod system;

use std::time::Instant;

use futures_util::{StreamExt, stream};
use serde_json::{Value, json};
use tokio::sync::watch;

use self::comparison::Comparison;
pub use self::options::{SimulationOptions, Storage};
use self::payer::PaymentHistory;
use self::plan_builder::build_plan;
use self::report::Report;
use self::system::{System, kill};
use crate::program::chasqui;

/// Payments in progress at once.
const AT_ONCE: usize = 256;

/// Runs a simulation to its end.
pub async fn run(options: &SimulationOptions) -> Report {
    // Built first, so that the duration does not include it.
    chasqui();
    let begun = Instant::now();
    let mut system = System::start(options).await;
    system.environment.sandbox.set_behaviour(faults()).await;

    let completed = watch::Sender::new(0);
    let running = stream::iter(0..options.payments)
        .map(async |number| {
            let history = system
                .environment
                .run_plan(build_plan(options.seed, number))
                .await;
            completed.send_modify(|count| *count += 1);
            history
        })
        .buffer_unordered(AT_ONCE)
        .collect::<Vec<PaymentHistory>>();
    let kills = kill(&mut system.gateways, options, &completed);
    let (histories, kills) = tokio::join!(running, kills);

    system.environment.sandbox.set_behaviour(json!({})).await;
    system.environment.shops.recover();
    let end = Comparison::of(&system.environment, histories, &kills).await;
    let mut report = end.compare().await;
    report.seed = options.seed;
    report.storage = format!("{:?}", options.storage).to_lowercase();
    report.gateways = system.gateways.len();
    report.kills = kills.len();
    report.duration = begun.elapsed();
    report
}

/// All faults of the sandbox at once.
fn faults() -> Value {
    json!({
        "notify": {
            "drop": 0.3, "duplicate": 0.2, "delay_ms": 150, "reorder": 0.2, "corrupt_signature": 0.15,
        },
        "api": {
            "latency_ms": 5, "answer_delay_ms": 600, "error_rate": 0.08, "status": 503, "fail_after_effect": 0.05,
        },
    })
}
