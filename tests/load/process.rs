//! Child processes that end with this one, and what `/proc` reports of them. Linux only.

use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use serde::Serialize;

use crate::failure::Failure;

/// How long a child may take to print its address, and a gateway to become ready.
pub(crate) const START_DEADLINE: Duration = Duration::from_secs(20);

/// Ticks a second in which `/proc` counts processor time; the same on all current architectures.
const TICKS_PER_SECOND: f64 = 100.0;

/// A child that is ended, by its own handle, when this is dropped.
#[derive(Debug)]
pub(crate) struct ChildProcess {
    child: Child,
    /// Held open, because a child may end when it writes to a closed pipe.
    _stdout: Option<BufReader<ChildStdout>>,
    /// The first line that it wrote: where it listens.
    pub(crate) greeting: String,
}

/// The memory of a process.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct ProcessMemory {
    /// All resident memory (VmRSS).
    pub(crate) rss_bytes: u64,
    /// Heap and stacks (RssAnon).
    pub(crate) anonymous_bytes: u64,
    /// Resident memory, with shared pages divided among the processes that share them (Pss).
    pub(crate) pss_bytes: u64,
}

impl ChildProcess {
    /// Starts a program and waits for its first line.
    pub(crate) async fn start(program: &Path, arguments: &[&str]) -> Result<Self, Failure> {
        let mut child = Command::new(program)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| format!("{} cannot be started: {error}", program.display()))?;
        let stdout = child.stdout.take();
        // From here on a failure ends the child, and so the read below.
        let mut process = Self {
            child,
            _stdout: None,
            greeting: String::new(),
        };
        let mut stdout = BufReader::new(stdout.ok_or("a child without stdout")?);
        // On a blocking thread, because the child may write nothing.
        let reading = tokio::task::spawn_blocking(move || {
            let mut line = String::new();
            stdout.read_line(&mut line).map(|_| (stdout, line))
        });
        let name = program.display();
        match tokio::time::timeout(START_DEADLINE, reading).await {
            Ok(Ok(Ok((stdout, line)))) if !line.is_empty() => {
                process._stdout = Some(stdout);
                process.greeting = line;
                Ok(process)
            }
            Ok(_) => Err(format!("{name} ended before it listened; its reason is above").into()),
            Err(_) => Err(format!("{name} did not say where it listens").into()),
        }
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn memory(&self) -> io::Result<ProcessMemory> {
        let status = self.read("status")?;
        let shares = self.read("smaps_rollup")?;
        Ok(ProcessMemory {
            rss_bytes: kilobytes(&status, "VmRSS:")?,
            anonymous_bytes: kilobytes(&status, "RssAnon:")?,
            pss_bytes: kilobytes(&shares, "Pss:")?,
        })
    }

    /// Seconds of processor time since it started, its own and the kernel's on its behalf.
    pub(crate) fn cpu_seconds(&self) -> io::Result<f64> {
        let stat = self.read("stat")?;
        // The second field, the name, may contain blanks and brackets, so the fields are read after its last bracket.
        let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields);
        let ticks: Option<Vec<u32>> = fields
            .split_ascii_whitespace()
            .skip(11)
            .take(2)
            .map(|ticks| ticks.parse().ok())
            .collect();
        match ticks.as_deref() {
            Some([user, kernel]) => Ok((f64::from(*user) + f64::from(*kernel)) / TICKS_PER_SECOND),
            _ => Err(io::Error::other(
                "/proc/PID/stat has another form than expected",
            )),
        }
    }

    pub(crate) fn open_files(&self) -> io::Result<usize> {
        Ok(std::fs::read_dir(self.proc("fd"))?.count())
    }

    fn proc(&self, file: &str) -> PathBuf {
        format!("/proc/{}/{file}", self.id()).into()
    }

    fn read(&self, file: &str) -> io::Result<String> {
        std::fs::read_to_string(self.proc(file))
    }
}

impl Drop for ChildProcess {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn kilobytes(text: &str, field: &str) -> io::Result<u64> {
    text.lines()
        .find_map(|line| line.strip_prefix(field))
        .and_then(|rest| rest.trim().strip_suffix("kB"))
        .and_then(|number| number.trim().parse::<u64>().ok())
        .map(|kilobytes| kilobytes * 1024)
        .ok_or_else(|| io::Error::other(format!("/proc has no {field}")))
}

/// How many files a process started from here may have open.
pub(crate) fn open_files_limit() -> io::Result<u64> {
    let limits = std::fs::read_to_string("/proc/self/limits")?;
    limits
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"))
        .and_then(|rest| rest.split_ascii_whitespace().next())
        .map(|soft| soft.parse().unwrap_or(u64::MAX))
        .ok_or_else(|| io::Error::other("/proc/self/limits has no limit of open files"))
}
