//! A program that runs as a child of a test.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

use crate::deadline::eventually;

/// Killed with its test. Its output is kept in files.
#[derive(Debug)]
pub struct Running {
    child: Child,
    stdout: PathBuf,
    log: PathBuf,
}

impl Running {
    /// Starts it in `directory`, where it appends to `stdout` and `stderr`.
    pub fn start(command: &mut Command, directory: &Path) -> Self {
        let (stdout, log) = (directory.join("stdout"), directory.join("stderr"));
        let append = |path: &Path| {
            File::options()
                .create(true)
                .append(true)
                .open(path)
                .expect("a file in the test's directory")
        };
        let child = command
            .current_dir(directory)
            .stdin(Stdio::null())
            .stdout(append(&stdout))
            .stderr(append(&log))
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?}: {error}"));
        Self { child, stdout, log }
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// What it wrote to standard output.
    pub fn stdout(&self) -> String {
        fs::read_to_string(&self.stdout).unwrap_or_default()
    }

    /// What it wrote to standard error: a program's log.
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// SIGKILL, and waits until it is gone. Works on one that is frozen, too.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// SIGTERM.
    pub fn terminate(&self) {
        self.signal("-TERM");
    }

    /// SIGSTOP: it neither answers nor closes anything.
    pub fn freeze(&self) {
        self.signal("-STOP");
    }

    /// SIGCONT.
    pub fn thaw(&self) {
        self.signal("-CONT");
    }

    pub fn has_ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("it is our child")
    }

    /// Waits until it ends by itself.
    pub async fn ended(&mut self) -> ExitStatus {
        eventually("the program ends", async || self.has_ended()).await
    }

    fn signal(&self, signal: &str) {
        let status = Command::new("kill")
            .args([signal, &self.id().to_string()])
            .status()
            .expect("kill can be run");
        assert!(status.success(), "there is no process {}", self.id());
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            // The end of the log explains a failed test; libtest shows it with the failure.
            let log = self.stdout() + &self.log();
            let tail: Vec<&str> = log.lines().rev().take(LOG_LINES).collect();
            let tail: Vec<&str> = tail.into_iter().rev().collect();
            #[expect(clippy::print_stderr, reason = "a failed test shows its log")]
            {
                eprintln!("a program's log ended with:\n{}", tail.join("\n"));
            }
        }
    }
}

/// Lines of a program's log that are shown with a failure.
const LOG_LINES: usize = 30;
