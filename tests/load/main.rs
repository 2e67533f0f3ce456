//! The load tool: what a gateway costs, measured from outside.
//!
//! It starts the real binaries as processes, uses them over HTTP and WebSocket, and reads their costs from `/proc`. It does
//! not depend on the gateway's code. [`idle`] and [`sizing`] are the measurements; `installation` is what is measured,
//! `watcher_pool` the watchers, `process` children and `/proc`, `report` the result. RESULTS.md has the figures and how to
//! repeat them.

#![expect(clippy::print_stderr, reason = "a command speaks to its terminal")]

mod duration;
mod failure;
mod idle;
mod installation;
mod process;
mod report;
mod sizing;
mod watcher_pool;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};
use tokio::signal::unix::{SignalKind, signal};

use crate::duration::parse_duration;
use crate::failure::Failure;

/// Puts load on a gateway and measures what it takes. JSON goes to stdout, progress to stderr.
#[derive(Debug, Parser)]
#[command(version, about)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// What an idle watcher costs: memory, processor time, and how fast watchers connect.
    Idle {
        #[command(flatten)]
        options: idle::IdleOptions,
        /// Where the report goes; - is stdout.
        #[arg(long, value_name = "FILE", default_value = "-")]
        json: PathBuf,
        /// The whole measurement is given up after this long, and its processes are ended.
        #[arg(long, value_parser = parse_duration, default_value = "10m")]
        timeout: Duration,
    },
    /// What payments and their watchers take of a Redis, which is started for it.
    Redis {
        #[command(flatten)]
        options: sizing::SizingOptions,
        /// Where the report goes; - is stdout.
        #[arg(long, value_name = "FILE", default_value = "-")]
        json: PathBuf,
        /// The whole measurement is given up after this long, and its processes are ended.
        #[arg(long, value_parser = parse_duration, default_value = "10m")]
        timeout: Duration,
    },
}

#[tokio::main]
async fn main() -> ExitCode {
    let done = match Arguments::parse().command {
        Command::Idle {
            options,
            json,
            timeout,
        } => within(timeout, idle::measure(&options))
            .await
            .and_then(|report| report::write(&report, &json)),
        Command::Redis {
            options,
            json,
            timeout,
        } => within(timeout, sizing::measure(&options))
            .await
            .and_then(|report| report::write(&report, &json)),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("{failure}");
            ExitCode::FAILURE
        }
    }
}

/// Ends the measurement at the timeout or at a signal; dropping the future ends the processes that it started.
async fn within<T>(
    timeout: Duration,
    measurement: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    tokio::select! {
        result = tokio::time::timeout(timeout, measurement) => {
            result.unwrap_or_else(|_| Err(format!("not done after {timeout:?}; allow more with --timeout").into()))
        }
        () = interrupted() => Err("interrupted".into()),
    }
}

async fn interrupted() {
    let (Ok(mut terminate), Ok(mut interrupt)) = (
        signal(SignalKind::terminate()),
        signal(SignalKind::interrupt()),
    ) else {
        // Without the signal handler the process ends at once.
        return std::future::pending().await;
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}
