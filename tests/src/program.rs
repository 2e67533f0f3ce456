//! The programs as they ship: built once, from the sources as they are, and run as children.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::OnceLock;

use crate::deadline::eventually;

/// Where the two programs are.
#[derive(Debug)]
struct Programs {
    chasqui: PathBuf,
    khipu_sandbox: PathBuf,
}

/// The gateway's program.
pub fn chasqui() -> &'static Path {
    &programs().chasqui
}

/// The sandbox's program.
pub fn khipu_sandbox() -> &'static Path {
    &programs().khipu_sandbox
}

/// Asks cargo, which knows where they are and builds what is stale: a test never runs yesterday's program.
fn programs() -> &'static Programs {
    static PROGRAMS: OnceLock<Programs> = OnceLock::new();
    PROGRAMS.get_or_init(|| {
        let mut cargo = Command::new(env!("CARGO"));
        cargo
            .args(["build", "--bins", "-p", "chasqui", "-p", "khipu-sandbox"])
            .arg("--message-format=json-render-diagnostics")
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .stderr(Stdio::inherit());
        if !cfg!(debug_assertions) {
            cargo.arg("--release");
        }
        let output = cargo.output().expect("cargo can be run");
        assert!(output.status.success(), "the programs cannot be built");
        let messages = String::from_utf8_lossy(&output.stdout);
        let executable = |name: &str| {
            messages
                .lines()
                .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
                .filter(|message| message["target"]["name"] == name)
                .find_map(|message| message["executable"].as_str().map(PathBuf::from))
                .unwrap_or_else(|| panic!("cargo built no {name}"))
        };
        Programs {
            chasqui: executable("chasqui"),
            khipu_sandbox: executable("khipu-sandbox"),
        }
    })
}

/// A child of this test, killed with it. What it says is kept in files.
#[derive(Debug)]
pub struct Running {
    child: Child,
    said: PathBuf,
    log: PathBuf,
}

impl Running {
    /// Starts it in `directory`, where it appends to `stdout` and `stderr`.
    pub fn start(command: &mut Command, directory: &Path) -> Self {
        let (said, log) = (directory.join("stdout"), directory.join("stderr"));
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
            .stdout(append(&said))
            .stderr(append(&log))
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?}: {error}"));
        Self { child, said, log }
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// What it wrote to standard output.
    pub fn said(&self) -> String {
        fs::read_to_string(&self.said).unwrap_or_default()
    }

    /// What it wrote to standard error: a program's log.
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// SIGKILL, and waits until it is gone.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// SIGTERM.
    pub fn terminate(&self) {
        let status = Command::new("kill")
            .args(["-TERM", &self.id().to_string()])
            .status()
            .expect("kill can be run");
        assert!(status.success(), "there is no process {}", self.id());
    }

    pub fn has_ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("it is our child")
    }

    /// Waits until it ends by itself.
    pub async fn ended(&mut self) -> ExitStatus {
        eventually("the program ends", async || self.has_ended()).await
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            // The last words are what a failed test is understood by; libtest shows them with it.
            let log = self.log();
            let tail: Vec<&str> = log.lines().rev().take(LAST_WORDS).collect();
            let tail: Vec<&str> = tail.into_iter().rev().collect();
            #[expect(clippy::print_stderr, reason = "a failed test speaks to its terminal")]
            {
                eprintln!("the program's log ended with:\n{}", tail.join("\n"));
            }
        }
    }
}

/// Lines of a program's log that are shown with a failure.
const LAST_WORDS: usize = 30;
