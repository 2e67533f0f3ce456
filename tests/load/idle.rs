//! What an idle watcher costs.
//!
//! Payments are created, the gateway settles, watchers connect, it settles again and stays idle. The watchers leave and
//! reconnect: memory that was not returned must be used again, or it leaks. Each phase ends with a measurement, so that the
//! difference is what the watchers cost.

use std::time::{Duration, Instant};

use clap::Args;

use crate::duration::parse_duration;
use crate::failure::Failure;
use crate::installation::{Installation, InstallationOptions, ProgramPaths};
use crate::process::{self, ChildProcess, ProcessMemory};
use crate::report::{self, Connecting, Holding, Machine, MemoryByPhase, percentile_ms, rounded};
use crate::watcher_pool::WatcherPool;

/// Files that a process has open beside its watchers.
const OTHER_FILES: u64 = 500;

/// Interval between two readings of memory while it settles.
const LOOK: Duration = Duration::from_millis(500);
/// Memory has settled after this many readings in a row…
const STEADY_LOOKS: u32 = 4;
/// …that differ by no more than this.
const STEADY_BYTES: u64 = 256 * 1024;
/// After this long the last reading counts, settled or not.
const SETTLE_DEADLINE: Duration = Duration::from_secs(30);

/// From the disconnect of all watchers until the gateway has closed their connections.
const LEAVE_DEADLINE: Duration = Duration::from_secs(30);

#[derive(Debug, Args)]
pub(crate) struct IdleOptions {
    /// How many watchers.
    #[arg(long, value_name = "N")]
    watchers: usize,
    /// How many payments they watch; by default one each, the most that they can cost.
    #[arg(long, value_name = "N")]
    payments: Option<usize>,
    /// How long they are held; heartbeats come every 30 s, pings every 2 min.
    #[arg(long, value_parser = parse_duration, default_value = "30s")]
    hold: Duration,
    /// How long after all watchers left memory is measured. The wheel forgets a watcher within 33 s, allocators
    /// return what is free after some seconds.
    #[arg(long, value_parser = parse_duration, default_value = "35s")]
    rest: Duration,
    /// storage.url, such as redis://127.0.0.1; by default a SQLite file of its own.
    #[arg(long, value_name = "URL")]
    storage: Option<String>,
    #[command(flatten)]
    programs: ProgramPaths,
}

pub(crate) async fn measure(options: &IdleOptions) -> Result<report::Idle, Failure> {
    let machine = Machine::here();
    let watchers = options.watchers;
    let payments = options.payments.unwrap_or(watchers);
    check(watchers, payments)?;
    let setup = InstallationOptions {
        watchers,
        per_payment: watchers.div_ceil(payments),
        storage: options.storage.as_deref(),
        ..InstallationOptions::default()
    };
    let installation = Installation::start(&options.programs, &setup).await?;
    let gateway = &installation.gateway;

    progress(format_args!("creating {payments} payments"));
    let started = Instant::now();
    let created = installation.create_payments(payments).await?;
    let creating = started.elapsed();
    let before = settled(gateway).await?;
    let files_before = gateway.open_files()?;

    progress(format_args!("connecting {watchers} watchers"));
    let cpu_before = gateway.cpu_seconds()?;
    let pool = WatcherPool::connect(installation.address, &created, watchers).await;
    let cpu_connecting = gateway.cpu_seconds()? - cpu_before;
    let connected = settled(gateway).await?;

    progress(format_args!("holding them for {:?}", options.hold));
    let cpu_before = gateway.cpu_seconds()?;
    let started = Instant::now();
    tokio::time::sleep(options.hold).await;
    let cpu_seconds = gateway.cpu_seconds()? - cpu_before;
    let seconds = started.elapsed().as_secs_f64();
    let held = gateway.memory()?;

    let connecting = connecting(&pool, cpu_connecting);
    let holding = Holding {
        seconds: rounded(seconds, 1),
        pings_answered: pool.pings_answered(),
        further_messages: pool.further_messages(),
        lost: pool.lost(),
        cpu_seconds: rounded(cpu_seconds, 2),
        cpu_percent_of_a_core: rounded(cpu_seconds / seconds * 100.0, 2),
        cpu_seconds_per_watcher_hour: rounded(cpu_seconds / seconds * 3600.0 / watchers as f64, 6),
    };

    progress(format_args!("sending them away"));
    drop(pool);
    wait_until_closed(gateway, files_before).await?;
    tokio::time::sleep(options.rest).await;
    let after = settled(gateway).await?;

    progress(format_args!("connecting as many once more"));
    let pool = WatcherPool::connect(installation.address, &created, watchers).await;
    let again = settled(gateway).await?;
    if pool.connected() < watchers {
        let failure = pool.first_failure().unwrap_or_default();
        return Err(format!("not all watchers could reconnect: {failure}").into());
    }

    let each = |memory: ProcessMemory| {
        let grown = memory.rss_bytes as f64 - before.rss_bytes as f64;
        grown / watchers as f64
    };
    Ok(report::Idle {
        gateway: installation.version.clone(),
        measured_at: jiff::Timestamp::now().to_string(),
        machine,
        watchers,
        payments,
        payments_created_per_second: rounded(payments as f64 / creating.as_secs_f64(), 1),
        connecting,
        memory: MemoryByPhase {
            before,
            connected,
            held,
            after,
            again,
            rss_bytes_per_watcher: rounded(each(connected), 1),
            rss_bytes_per_watcher_held: rounded(each(held), 1),
            rss_bytes_per_watcher_again: rounded(each(again), 1),
            rss_returned_percent: rounded((1.0 - each(after) / each(held)) * 100.0, 1),
        },
        holding,
    })
}

fn check(watchers: usize, payments: usize) -> Result<(), Failure> {
    if watchers == 0 || payments == 0 || payments > watchers {
        return Err("--watchers must be at least 1, and --payments between 1 and that".into());
    }
    let needed = u64::try_from(watchers)?.saturating_add(OTHER_FILES);
    let limit = process::open_files_limit()?;
    if needed > limit {
        return Err(format!(
            "{watchers} watchers need {needed} open files in each process, and {limit} are allowed here; \
             raise that with `ulimit -n {needed}` or connect fewer"
        )
        .into());
    }
    Ok(())
}

fn connecting(pool: &WatcherPool, cpu_seconds: f64) -> Connecting {
    let times = &pool.times_to_first_message;
    let connected = pool.connected() as f64;
    Connecting {
        connected: pool.connected(),
        connects_per_second: rounded(connected / pool.connect_time.as_secs_f64(), 1),
        first_message_ms_p50: percentile_ms(times, 50),
        first_message_ms_p99: percentile_ms(times, 99),
        first_message_ms_max: percentile_ms(times, 100),
        cpu_microseconds_per_connect: rounded(cpu_seconds * 1e6 / connected.max(1.0), 1),
        first_failure: pool.first_failure(),
    }
}

/// Reads memory until it has settled.
async fn settled(process: &ChildProcess) -> Result<ProcessMemory, Failure> {
    let deadline = Instant::now() + SETTLE_DEADLINE;
    let mut reference = process.memory()?;
    let mut steady = 0;
    loop {
        tokio::time::sleep(LOOK).await;
        let memory = process.memory()?;
        if memory.rss_bytes.abs_diff(reference.rss_bytes) <= STEADY_BYTES {
            steady += 1;
        } else {
            reference = memory;
            steady = 0;
        }
        if steady >= STEADY_LOOKS || Instant::now() >= deadline {
            return Ok(memory);
        }
    }
}

async fn wait_until_closed(process: &ChildProcess, files: usize) -> Result<(), Failure> {
    let deadline = Instant::now() + LEAVE_DEADLINE;
    // Connections to Khipu come and go meanwhile.
    while process.open_files()? > files + 64 {
        if Instant::now() >= deadline {
            return Err("the gateway still holds connections of watchers that left".into());
        }
        tokio::time::sleep(LOOK).await;
    }
    Ok(())
}

pub(crate) fn progress(what: std::fmt::Arguments<'_>) {
    eprintln!("{what}");
}
