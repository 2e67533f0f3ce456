//! Logs and metrics. Bodies, keys, tokens and payer data must never reach either: nothing here filters them.

use std::time::Duration;

use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use tracing_subscriber::EnvFilter;

use crate::config::{LogConfig, LogFormat};

/// Logs to standard error. A second call changes nothing: tests start many gateways in one process.
pub fn start_logging(log: &LogConfig) -> Result<(), String> {
    let filter = EnvFilter::try_new(&log.filter)
        .map_err(|error| format!("log.filter is not a valid filter: {error}"))?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    let _ = match log.format {
        LogFormat::Json => builder
            .json()
            .flatten_event(true)
            .with_current_span(false)
            .try_init(),
        LogFormat::Pretty => builder
            .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()))
            .with_target(false)
            .try_init(),
    };
    Ok(())
}

/// The process's metrics, shared by all gateways in it.
pub fn metrics() -> PrometheusHandle {
    static HANDLE: std::sync::OnceLock<PrometheusHandle> = std::sync::OnceLock::new();
    HANDLE
        .get_or_init(|| {
            let recorder = PrometheusBuilder::new().build_recorder();
            let handle = recorder.handle();
            // A process that embeds Chasqui may have installed its own recorder, which then receives the metrics.
            let _ = metrics::set_global_recorder(recorder);
            let kept = handle.clone();
            if let Err(error) = repeat(UPKEEP_THREAD, UPKEEP_INTERVAL, move || kept.run_upkeep()) {
                tracing::error!(%error, "cannot start the metrics upkeep thread; metrics grow until they are scraped");
            }
            handle
        })
        .clone()
}

/// The recorder keeps every sample of a histogram until a scrape or an upkeep run.
const UPKEEP_INTERVAL: Duration = Duration::from_secs(5);

const UPKEEP_THREAD: &str = "metrics-upkeep";

/// Repeats work on a thread that lives as long as the process: the metrics outlive any runtime.
fn repeat(name: &str, interval: Duration, work: impl Fn() + Send + 'static) -> std::io::Result<()> {
    let keep_up = move || {
        loop {
            std::thread::sleep(interval);
            work();
        }
    };
    std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(keep_up)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::sync::mpsc;
    use std::time::Instant;

    use super::*;

    fn threads_of_this_process() -> Vec<String> {
        let tasks = fs::read_dir("/proc/self/task").expect("threads");
        tasks
            .filter_map(|task| fs::read_to_string(task.ok()?.path().join("comm")).ok())
            .map(|name| name.trim().to_owned())
            .collect()
    }

    #[test]
    fn upkeep_runs_again_and_again() {
        let (sender, runs) = mpsc::channel();
        repeat("test-upkeep", Duration::from_millis(1), move || {
            let _ = sender.send(());
        })
        .expect("a thread");
        for _ in 0..3 {
            runs.recv_timeout(Duration::from_secs(30)).expect("a run");
        }
    }

    #[test]
    fn metrics_have_upkeep_without_a_scrape() {
        metrics();
        // A new thread sets its own name, after a moment.
        let deadline = Instant::now() + Duration::from_secs(30);
        while !threads_of_this_process().contains(&UPKEEP_THREAD.to_owned()) {
            assert!(Instant::now() < deadline, "{:?}", threads_of_this_process());
            std::thread::yield_now();
        }
    }
}
