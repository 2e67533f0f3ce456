//! Runs one simulation and prints its report: `simulate --payments 50000 --storage redis --seed 7`.
//!
//! What it does is in `src/simulation`; reports of long runs are in REPORT.md beside this file.

#![expect(clippy::print_stdout, reason = "a command speaks to its terminal")]

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use chasqui_tests::simulation::report::Report;
use chasqui_tests::simulation::{SimulationOptions, Storage, run};
use clap::{Parser, ValueEnum};
use jiff::Timestamp;

/// Drives payments through real gateways and a sandbox with every fault on, kills gateways meanwhile, and compares every
/// payment, page and shop with the sandbox at the end. Fails unless all are right.
#[derive(Debug, Parser)]
#[command(version, about)]
struct Arguments {
    #[arg(long, default_value_t = 2_000)]
    payments: usize,
    #[arg(long, value_enum, default_value = "sqlite")]
    storage: StorageName,
    /// What happens to each payment, which calls fail, and when which gateway is killed; drawn if absent
    #[arg(long)]
    seed: Option<u64>,
    /// How often a gateway is killed; one for 500 payments if absent
    #[arg(long)]
    kills: Option<usize>,
    /// Appends the report to this file, as Markdown
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum StorageName {
    Sqlite,
    Redis,
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let options = SimulationOptions {
        seed: arguments
            .seed
            .unwrap_or_else(|| u64::from(rand::random::<u32>())),
        payments: arguments.payments,
        storage: match arguments.storage {
            StorageName::Sqlite => Storage::Sqlite,
            StorageName::Redis => Storage::Redis,
        },
        kills: arguments.kills.unwrap_or(arguments.payments / 500),
    };
    println!("seed {}", options.seed);
    let report = run(&options).await;
    print!("{report}");
    let written = arguments.report.map(|file| append(&report, &file));
    if let Some(Err(error)) = written {
        println!("the report could not be written: {error}");
        return ExitCode::FAILURE;
    }
    if report.is_good() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn append(report: &Report, file: &Path) -> io::Result<()> {
    let mut file = OpenOptions::new().create(true).append(true).open(file)?;
    let day = Timestamp::now().to_string();
    let day = day.get(..10).unwrap_or_default();
    write!(
        file,
        "\n## {} payments on {}, {day}\n\n{}",
        report.payments,
        report.storage,
        report.to_markdown()
    )
}
