//! Guards the cost of a watcher in the ordinary test run: the load tool against the real binaries, small and quick.
//!
//! The bound is loose, because a development build is larger and a few hundred watchers share what nineteen thousand
//! share better; what it catches is a large buffer per connection. The real figures are in RESULTS.md.

#![expect(clippy::expect_used, reason = "a test fails by a panic")]

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

const WATCHERS: usize = 800;
/// Few, because what the creation of hundreds leaves in the allocator is returned while the watchers connect: as much as
/// they cost in all.
const PAYMENTS: usize = 10;

/// Half of a 32 KiB buffer that is left allocated.
const MAX_RSS_BYTES_PER_WATCHER: f64 = 16_384.0;

#[test]
fn an_idle_watcher_costs_little_and_all_get_the_first_message() {
    let tool = Path::new(env!("CARGO_BIN_EXE_load"));
    build_what_it_starts(tool);
    let output = Command::new(tool)
        .args(["idle", "--hold", "1s", "--rest", "0s", "--timeout", "60s"])
        .args(["--watchers", &WATCHERS.to_string()])
        .args(["--payments", &PAYMENTS.to_string()])
        .stderr(Stdio::inherit())
        .output()
        .expect("the tool starts");
    assert!(
        output.status.success(),
        "the tool failed: {}",
        output.status
    );
    let report: Value = serde_json::from_slice(&output.stdout).expect("the report is JSON");
    let figure = |path: &str| {
        report
            .pointer(path)
            .and_then(Value::as_f64)
            .unwrap_or_else(|| panic!("no figure at {path}: {report:#}"))
    };

    assert_eq!(report["connecting"]["connected"], WATCHERS, "{report:#}");
    assert_eq!(report["connecting"]["first_failure"], Value::Null);
    assert_eq!(report["holding"]["lost"], 0, "{report:#}");
    let each = figure("/memory/rss_bytes_per_watcher");
    assert!(
        each > 0.0 && each < MAX_RSS_BYTES_PER_WATCHER,
        "a watcher costs {each} bytes: {report:#}"
    );
    assert!(figure("/connecting/connects_per_second") > 0.0);
    assert!(
        figure("/connecting/first_message_ms_p50") <= figure("/connecting/first_message_ms_p99")
    );
    assert!(figure("/machine/cores") >= 1.0);
}

#[test]
fn more_watchers_than_open_files_are_refused_with_the_remedy() {
    let output = Command::new(env!("CARGO_BIN_EXE_load"))
        .args(["idle", "--watchers", "2000000000"])
        .output()
        .expect("the tool starts");
    assert!(!output.status.success());
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(text.contains("ulimit -n"), "{text}");
}

#[test]
fn missing_programs_are_named_with_the_command_that_builds_them() {
    let output = Command::new(env!("CARGO_BIN_EXE_load"))
        .args([
            "idle",
            "--watchers",
            "1",
            "--gateway-bin",
            "/nowhere/chasqui",
        ])
        .output()
        .expect("the tool starts");
    assert!(!output.status.success());
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(
        text.contains("/nowhere/chasqui") && text.contains("cargo build"),
        "{text}"
    );
}

/// Cargo builds only this package's own programs for its tests. Builds the tests too, because then this run has already
/// built what they share.
fn build_what_it_starts(tool: &Path) {
    let profile = tool.parent().expect("a profile's directory");
    let target: PathBuf = profile.parent().expect("a target directory").into();
    let mut build = Command::new(env!("CARGO"));
    build
        .args(["build", "--quiet", "--workspace", "--bins", "--tests"])
        .arg("--target-dir")
        .arg(&target);
    if profile.ends_with("release") {
        build.arg("--release");
    }
    assert!(build.status().expect("cargo starts").success());
}
