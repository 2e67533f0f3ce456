//! Clients made of the gateway's `/openapi.json`, once a run of the tests.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use chasqui_tests::deadline::due_in;
use chasqui_tests::testbed::Testbed;
use redis_processes::running::Running;
use serde_json::{Value, json};
use tokio::sync::OnceCell;

/// A program that starts, and does some seconds of work on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A folder or a program of `tests/clients`.
pub(super) fn installed(path: &str) -> PathBuf {
    let file = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("clients")
        .join(path);
    assert!(file.exists(), "no {}: run tests/prepare.sh", file.display());
    file
}

/// A program of the packages of Python.
pub(super) fn python(program: &str) -> Command {
    let mut command = Command::new(installed(&format!("python/.venv/bin/{program}")));
    command.env("PYTHONDONTWRITEBYTECODE", "1");
    command
}

/// Runs a program to its end, which must be good. What it printed.
pub(super) async fn output(command: &mut Command) -> String {
    let directory = tempfile::tempdir().expect("a directory for the test");
    let mut running = Running::start(command, directory.path());
    let status = due_in(PATIENCE, "the program ends", async {
        loop {
            match running.has_ended() {
                Some(status) => break status,
                None => tokio::time::sleep(Duration::from_millis(10)).await,
            }
        }
    })
    .await;
    assert!(
        status.success(),
        "{command:?}: {status}\n{}",
        running.stdout()
    );
    running.stdout()
}

/// The gateway's description of itself.
pub(super) async fn description() -> Value {
    let testbed = Testbed::start().await;
    testbed.api.get("/openapi.json").await.expect(200).json()
}

/// The same of Khipu alone: its operations without our headers, and errors in its form.
pub(super) async fn khipus_description() -> Value {
    let mut document = description().await;
    let object = |value: &mut Value| std::mem::take(value.as_object_mut().expect("an object"));
    document["components"]["schemas"]["Problem"] = json!({
        "type": "object",
        "required": ["status", "message"],
        "properties": {
            "status": { "type": "integer" },
            "message": { "type": "string" },
            "errors": { "type": "array", "items": { "$ref": "#/components/schemas/FieldError" } },
        },
    });
    let mut paths = object(&mut document["paths"]);
    paths.retain(|path, _| path.starts_with("/v3/"));
    let methods = paths.values_mut().filter_map(Value::as_object_mut);
    for operation in methods.flat_map(|methods| methods.values_mut()) {
        let parameters = operation.get_mut("parameters");
        if let Some(parameters) = parameters.and_then(Value::as_array_mut) {
            parameters.retain(|parameter| parameter["in"] != "header");
        }
        for response in operation["responses"].as_object_mut().into_iter().flatten() {
            let response = response.1.as_object_mut().expect("a response");
            response.remove("headers");
            let content = response.get_mut("content").and_then(Value::as_object_mut);
            if let Some(content) = content
                && let Some(problem) = content.remove("application/problem+json")
            {
                content.insert("application/json".into(), problem);
            }
        }
    }
    document["paths"] = paths.into();
    document["webhooks"] = json!({});
    document
}

/// The folder that has the package `generated` of Python, which knows what the gateway describes.
pub(super) async fn python_of_the_gateway() -> &'static Path {
    static FOLDER: OnceCell<PathBuf> = OnceCell::const_new();
    FOLDER
        .get_or_init(async || generate_python("gateway", &description().await).await)
        .await
}

/// The same, of a client that knows Khipu alone.
pub(super) async fn python_of_khipu() -> &'static Path {
    static FOLDER: OnceCell<PathBuf> = OnceCell::const_new();
    FOLDER
        .get_or_init(async || generate_python("khipu", &khipus_description().await).await)
        .await
}

async fn generate_python(name: &str, description: &Value) -> PathBuf {
    let folder = empty_folder(name);
    let document = folder.join("openapi.json");
    fs::write(&document, description.to_string()).expect("a file");
    let mut generator = python("openapi-python-client");
    generator
        .args(["generate", "--meta", "none", "--fail-on-warning", "--path"])
        .arg(document)
        .arg("--config")
        .arg(installed("python/generator.yml"))
        .arg("--output-path")
        .arg(folder.join("generated"));
    output(&mut generator).await;
    folder
}

/// The script of the client in TypeScript, once it has passed the type check.
pub(super) async fn typescript() -> &'static Path {
    static SCRIPT: OnceCell<PathBuf> = OnceCell::const_new();
    SCRIPT.get_or_init(compile_typescript).await
}

async fn compile_typescript() -> PathBuf {
    let folder = empty_folder("typescript");
    for file in ["package.json", "tsconfig.json", "openapi_fetch.ts"] {
        let source = installed("typescript").join(file);
        fs::copy(source, folder.join(file)).expect("a copy");
    }
    let packages = installed("typescript/node_modules");
    std::os::unix::fs::symlink(&packages, folder.join("node_modules")).expect("a link");
    let document = folder.join("openapi.json");
    fs::write(&document, description().await.to_string()).expect("a file");
    let program = |name: &str| Command::new(packages.join(".bin").join(name));
    output(
        program("openapi-typescript")
            .arg(document)
            .arg("--output")
            .arg(folder.join("openapi.d.ts")),
    )
    .await;
    output(program("tsc").arg("--project").arg(&folder)).await;
    folder.join("out/openapi_fetch.js")
}

fn empty_folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"))
        .join("clients")
        .join(name);
    if folder.exists() {
        fs::remove_dir_all(&folder).expect("an old folder");
    }
    fs::create_dir_all(&folder).expect("a folder");
    folder
}
