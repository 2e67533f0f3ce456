//! The report as JSON: each figure has its unit in its name, and the report names the machine.

use std::io::Write;
use std::path::Path;
use std::time::Duration;

use serde::Serialize;

use crate::failure::Failure;
use crate::process::ProcessMemory;

/// What `load idle` found.
#[derive(Debug, Serialize)]
pub(crate) struct Idle {
    /// The output of `chasqui --version`.
    pub(crate) gateway: String,
    /// When the measurement ended, in RFC 3339.
    pub(crate) measured_at: String,
    pub(crate) machine: Machine,
    /// The number requested.
    pub(crate) watchers: usize,
    /// The payments that the watchers were spread over.
    pub(crate) payments: usize,
    pub(crate) payments_created_per_second: f64,
    pub(crate) connecting: Connecting,
    pub(crate) memory: MemoryByPhase,
    pub(crate) holding: Holding,
}

#[derive(Debug, Serialize)]
pub(crate) struct Machine {
    pub(crate) cpu_model: String,
    pub(crate) cores: usize,
    pub(crate) memory_bytes: u64,
    pub(crate) kernel: String,
    /// At the start. Above zero, other programs used the machine too.
    pub(crate) load_average_1m: f64,
}

/// TCP connect, handshake, and the first message; client and gateway share the machine.
#[derive(Debug, Serialize)]
pub(crate) struct Connecting {
    /// Watchers that got the first message.
    pub(crate) connected: usize,
    pub(crate) connects_per_second: f64,
    pub(crate) first_message_ms_p50: f64,
    pub(crate) first_message_ms_p99: f64,
    pub(crate) first_message_ms_max: f64,
    /// The gateway's processor time for one connection, in microseconds.
    pub(crate) cpu_microseconds_per_connect: f64,
    /// The first failure, if there was one.
    pub(crate) first_failure: Option<String>,
}

/// The gateway's memory, each after it had settled.
#[derive(Debug, Serialize)]
pub(crate) struct MemoryByPhase {
    /// Payments created, no watcher connected.
    pub(crate) before: ProcessMemory,
    /// All watchers connected.
    pub(crate) connected: ProcessMemory,
    /// At the end of the hold.
    pub(crate) held: ProcessMemory,
    /// All watchers gone, after the rest.
    pub(crate) after: ProcessMemory,
    /// As many connected again, to the same payments.
    pub(crate) again: ProcessMemory,
    /// (connected − before) / watchers: socket, task, hub, schedule and allocator, everything in the process.
    pub(crate) rss_bytes_per_watcher: f64,
    /// The same at the end of the hold.
    pub(crate) rss_bytes_per_watcher_held: f64,
    /// The same with the second wave. A much higher figure than the first is a leak.
    pub(crate) rss_bytes_per_watcher_again: f64,
    /// How much of what the watchers took was returned, in percent.
    pub(crate) rss_returned_percent: f64,
}

/// While watchers only answer pings. The gateway polls Khipu about watched payments, as in production, at its limit for one
/// account.
#[derive(Debug, Serialize)]
pub(crate) struct Holding {
    pub(crate) seconds: f64,
    pub(crate) pings_answered: usize,
    pub(crate) further_messages: usize,
    /// Closed by the gateway.
    pub(crate) lost: usize,
    pub(crate) cpu_seconds: f64,
    pub(crate) cpu_percent_of_a_core: f64,
    pub(crate) cpu_seconds_per_watcher_hour: f64,
}

/// What `load redis` found: a Redis's `used_memory`.
#[derive(Debug, Serialize)]
pub(crate) struct Sizing {
    /// The output of `chasqui --version`.
    pub(crate) gateway: String,
    pub(crate) redis: String,
    /// When the measurement ended, in RFC 3339.
    pub(crate) measured_at: String,
    pub(crate) machine: Machine,
    pub(crate) payments: usize,
    /// Before the first payment.
    pub(crate) empty_bytes: u64,
    /// Created and open: with its intent and its place in the index of transactions.
    pub(crate) bytes_per_open_payment: f64,
    /// A channel that one gateway has subscribed for a watcher.
    pub(crate) bytes_per_watched_channel: f64,
    /// Confirmed by a notification and delivered, the notification's bytes still kept.
    pub(crate) bytes_per_delivered_payment: f64,
    /// The same once those are erased.
    pub(crate) bytes_per_delivered_payment_without_raw: f64,
    pub(crate) append_only_file_bytes_per_delivered_payment: f64,
}

/// Writes the report as JSON; `-` is stdout.
pub(crate) fn write(report: &impl Serialize, file: &Path) -> Result<(), Failure> {
    let mut text = serde_json::to_string_pretty(report)?;
    text.push('\n');
    if file.as_os_str() == "-" {
        std::io::stdout().write_all(text.as_bytes())?;
    } else {
        std::fs::write(file, text)?;
    }
    Ok(())
}

impl Machine {
    pub(crate) fn here() -> Self {
        let read = |file: &str| std::fs::read_to_string(file).unwrap_or_default();
        let value = |text: &str, field: &str| {
            text.lines()
                .find(|line| line.starts_with(field))
                .and_then(|line| line.split_once(':'))
                .map(|(_, value)| value.trim().to_owned())
                .unwrap_or_default()
        };
        let memory = value(&read("/proc/meminfo"), "MemTotal");
        Self {
            cpu_model: value(&read("/proc/cpuinfo"), "model name"),
            cores: std::thread::available_parallelism().map_or(0, usize::from),
            memory_bytes: memory
                .trim_end_matches("kB")
                .trim()
                .parse::<u64>()
                .map_or(0, |kilobytes| kilobytes * 1024),
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            load_average_1m: read("/proc/loadavg")
                .split(' ')
                .next()
                .and_then(|average| average.parse().ok())
                .unwrap_or_default(),
        }
    }
}

/// Rounds to a number of decimals: one for most figures, six for small ones.
pub(crate) fn rounded(value: f64, decimals: i32) -> f64 {
    let scale = 10f64.powi(decimals);
    (value * scale).round() / scale
}

/// The percentile of sorted times, in milliseconds.
pub(crate) fn percentile_ms(sorted: &[Duration], percent: usize) -> f64 {
    let rank = (sorted.len() * percent).div_ceil(100).max(1) - 1;
    sorted
        .get(rank)
        .map_or(0.0, |time| rounded(time.as_secs_f64() * 1000.0, 2))
}
