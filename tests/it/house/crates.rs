//! The drawing of the crates in ARCHITECTURE.md against what cargo knows.
//!
//! The drawing is a fenced `text` block with a line `crates:`. Below it stands one line a crate of `server/`:
//! `chasqui-core -> chasqui-khipu chasqui-store`, or the name alone if the crate uses none of ours. A line
//! `dev: chasqui-core -> chasqui-store-sqlite` names what only its tests use.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::process::Command;

use serde_json::Value;

use super::source::{fail_if_any, workspace};

/// One dependency between two of our crates.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Edge {
    is_dev: bool,
    from: String,
    to: String,
}

/// With the line of ARCHITECTURE.md.
#[derive(Debug, Default)]
struct Drawing {
    crates: BTreeMap<String, usize>,
    edges: BTreeMap<Edge, usize>,
}

/// What a layer must not touch, also if ARCHITECTURE.md draws it: a crate that is not listed cannot be used.
const FORBIDDEN: [(&str, &[&str]); 8] = [
    (
        "chasqui-payment",
        &[
            "tokio", "axum", "redis", "rusqlite", "reqwest", "metrics", "tracing", "rand",
        ],
    ),
    (
        "chasqui-khipu",
        &["tokio", "axum", "redis", "rusqlite", "chasqui-store"],
    ),
    (
        "chasqui-store",
        &["tokio", "axum", "redis", "rusqlite", "reqwest"],
    ),
    (
        "chasqui-store-sqlite",
        &["axum", "redis", "reqwest", "chasqui-khipu"],
    ),
    (
        "chasqui-redis-topology",
        &["axum", "rusqlite", "reqwest", "metrics", "chasqui-payment"],
    ),
    (
        "chasqui-store-redis",
        &["axum", "rusqlite", "reqwest", "chasqui-khipu"],
    ),
    (
        "chasqui-core",
        &[
            "axum",
            "redis",
            "rusqlite",
            "toml",
            "clap",
            "chasqui-store-sqlite",
            "chasqui-store-redis",
        ],
    ),
    ("chasqui", &["redis", "rusqlite"]),
];

#[test]
fn no_crate_lists_what_its_layer_must_not_touch() {
    let mut found = BTreeSet::new();
    let packages = packages();
    for (name, forbidden) in FORBIDDEN {
        let of_name = packages.iter().find(|(package, _, _)| package == name);
        let (_, manifest, package) = of_name.expect("a crate of this name");
        for (dependency, is_dev) in dependencies(package) {
            if !is_dev && forbidden.contains(&&*dependency) {
                found.insert(format!("{manifest}:1: {name} lists {dependency}"));
            }
        }
    }
    fail_if_any("a layer touches what it must not", &found);
}

#[test]
fn the_crates_depend_on_each_other_as_architecture_md_draws_them() {
    let text = fs::read_to_string(workspace().join("ARCHITECTURE.md")).expect("ARCHITECTURE.md");
    let drawing = parse(&text).expect("ARCHITECTURE.md has a ```text block with a line `crates:`");
    let (manifests, edges) = cargo_metadata();
    let mut found = BTreeSet::new();
    for (name, manifest) in &manifests {
        if !drawing.crates.contains_key(name) {
            found.insert(format!(
                "{manifest}:1: {name} is missing in ARCHITECTURE.md"
            ));
        }
    }
    for (name, line) in &drawing.crates {
        if !manifests.contains_key(name) {
            found.insert(format!(
                "ARCHITECTURE.md:{line}: there is no crate {name} in server/"
            ));
        }
    }
    for edge in &edges {
        if !drawing.edges.contains_key(edge) {
            let manifest = &manifests[&edge.from];
            found.insert(format!(
                "{manifest}:1: ARCHITECTURE.md does not draw {}",
                line_of(edge)
            ));
        }
    }
    for (edge, line) in &drawing.edges {
        if !edges.contains(edge) {
            found.insert(format!(
                "ARCHITECTURE.md:{line}: cargo knows no {}",
                line_of(edge)
            ));
        }
    }
    fail_if_any("ARCHITECTURE.md and the manifests differ", &found);
}

#[test]
fn a_drawing_is_read_with_dev_dependencies_apart() {
    let text = "x\n```text\nother\n```\n```text\ncrates:\na -> b c\nb\ndev: a -> d\n\nprose\n```\n";
    let drawing = parse(text).expect("a drawing");
    let crates: Vec<_> = drawing.crates.into_iter().collect();
    assert_eq!(crates, [("a".into(), 7), ("b".into(), 8)]);
    let edges: Vec<_> = drawing.edges.into_iter().collect();
    let edge = |is_dev, to: &str| Edge {
        is_dev,
        from: "a".into(),
        to: to.into(),
    };
    let expected = [
        (edge(false, "b"), 7),
        (edge(false, "c"), 7),
        (edge(true, "d"), 9),
    ];
    assert_eq!(edges, expected);
    assert!(parse("```text\nother\n```\n").is_none());
}

fn line_of(edge: &Edge) -> String {
    let dev = if edge.is_dev { "dev: " } else { "" };
    format!("{dev}{} -> {}", edge.from, edge.to)
}

fn parse(text: &str) -> Option<Drawing> {
    let mut lines = text.lines().enumerate();
    loop {
        lines.find(|(_, line)| line.trim() == "```text")?;
        let has_crates = lines
            .by_ref()
            .take_while(|(_, line)| line.trim() != "```")
            .any(|(_, line)| line.trim() == "crates:");
        if has_crates {
            break;
        }
    }
    let mut drawing = Drawing::default();
    for (index, line) in lines {
        let line = line.trim();
        if line.is_empty() || line == "```" {
            break;
        }
        let (is_dev, line) = match line.strip_prefix("dev:") {
            Some(rest) => (true, rest),
            None => (false, line),
        };
        let (from, uses) = line.split_once("->").unwrap_or((line, ""));
        let from = from.trim().to_owned();
        for to in uses.split_whitespace() {
            let (from, to) = (from.clone(), to.to_owned());
            drawing.edges.insert(Edge { is_dev, from, to }, index + 1);
        }
        if !is_dev {
            drawing.crates.insert(from, index + 1);
        }
    }
    Some(drawing)
}

/// The manifest of each crate under `server/`, and what they use of each other. Other crates of ours, such as the Redis
/// processes of the tests, are not drawn.
fn cargo_metadata() -> (BTreeMap<String, String>, BTreeSet<Edge>) {
    let packages = packages();
    let manifests: BTreeMap<_, _> = packages
        .iter()
        .map(|(name, path, _)| (name.clone(), path.clone()))
        .collect();
    let mut edges = BTreeSet::new();
    for (from, _, package) in &packages {
        for (to, is_dev) in dependencies(package) {
            if manifests.contains_key(&to) {
                let from = from.clone();
                edges.insert(Edge { is_dev, from, to });
            }
        }
    }
    (manifests, edges)
}

/// What cargo knows of each crate under `server/`, with its name and the path of its manifest.
fn packages() -> Vec<(String, String, Value)> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--offline", "--no-deps", "--format-version=1"])
        .current_dir(workspace())
        .output()
        .expect("cargo can be run");
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "cargo metadata fails: {error}");
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let list = |value: &Value| value.as_array().expect("a list").clone();
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    let root = format!("{}/", text(&metadata["workspace_root"]));
    list(&metadata["packages"])
        .into_iter()
        .filter_map(|package| {
            let path = text(&package["manifest_path"]);
            let path = path.strip_prefix(&root)?.to_owned();
            path.starts_with("server/")
                .then(|| (text(&package["name"]), path, package))
        })
        .collect()
}

/// The names of a crate's dependencies, and whether only its tests use them.
fn dependencies(package: &Value) -> impl Iterator<Item = (String, bool)> {
    let dependencies = package["dependencies"].as_array().expect("a list");
    dependencies.iter().map(|dependency| {
        let name = dependency["name"].as_str().expect("a text").to_owned();
        (name, dependency["kind"] == "dev")
    })
}
