//! The examples' READMEs: what they say to set and to start starts a shop. What a shop does is `tests/it/examples`.

use super::blocks::{blocks, document};
use super::shell::Shell;
use crate::house::source::workspace;

/// What `tests/prepare.sh` runs in the examples' folders, before it is without the network.
const INSTALLING: [&str; 3] = [
    "npm ci",
    "python3 -m venv .venv",
    ".venv/bin/pip install --require-hashes -r requirements.txt",
];

async fn starts_as_its_readme_says(folder: &str) {
    let readme = document(&format!("examples/{folder}/README.md"));
    let [commands] = &blocks(&readme, "sh")[..] else {
        panic!("one block: {readme}");
    };
    let lines = commands.lines().filter(|line| !INSTALLING.contains(line));
    let mut lines: Vec<_> = lines.collect();
    let start = lines.pop().expect("a command that starts it");
    assert!(
        lines.iter().all(|line| line.starts_with("export ")),
        "{lines:?}"
    );
    let mut shell = Shell::start();
    let example = workspace().join("examples").join(folder);
    // A copy, for the shop keeps its orders beside its file.
    shell
        .run(&format!("cp -a '{}/.' . && ls", example.display()))
        .await;
    let listening = "until curl -s -o page http://127.0.0.1:8000/; do sleep 0.1; done; cat page";
    let page = shell
        .run(&format!("{}\n{start} &\n{listening}", lines.join("\n")))
        .await;
    assert!(page.contains("<button"), "{page}");
}

#[tokio::test]
async fn node_express_starts_as_its_readme_says() {
    starts_as_its_readme_says("node-express").await;
}

#[tokio::test]
async fn php_starts_as_its_readme_says() {
    starts_as_its_readme_says("php").await;
}

#[tokio::test]
async fn python_flask_starts_as_its_readme_says() {
    starts_as_its_readme_says("python-flask").await;
}

#[tokio::test]
async fn static_serverless_starts_as_its_readme_says() {
    starts_as_its_readme_says("static-serverless").await;
}
