//! The shipped programs, built once from the current sources and run as children.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

/// Where the two programs are.
#[derive(Debug)]
struct BuiltPrograms {
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

/// Cargo reports where the programs are, and builds what is stale.
fn programs() -> &'static BuiltPrograms {
    static PROGRAMS: OnceLock<BuiltPrograms> = OnceLock::new();
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
        BuiltPrograms {
            chasqui: executable("chasqui"),
            khipu_sandbox: executable("khipu-sandbox"),
        }
    })
}
