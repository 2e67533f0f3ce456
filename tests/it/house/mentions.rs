//! What ARCHITECTURE.md and SECURITY.md name in code against the sources.

use std::collections::BTreeSet;
use std::fs;

use super::source::{SourceFile, fail_if_any, files, workspace};

#[test]
fn files_and_functions_that_the_documents_name_exist() {
    let sources = files(&["rs", "lua", "ts", "txt", "toml", "js"]);
    let mut found = BTreeSet::new();
    for document in ["ARCHITECTURE.md", "SECURITY.md", "CONTRIBUTING.md"] {
        let text = fs::read_to_string(workspace().join(document)).expect("a document");
        for (index, line) in text.lines().enumerate() {
            for name in code_spans(line).filter(|name| !exists(name, &sources)) {
                found.insert(format!("{document}:{}: {name}", index + 1));
            }
        }
    }
    fail_if_any("documents name what does not exist", &found);
}

#[test]
fn a_missing_file_or_function_is_noticed() {
    let source = |path: &str, text: &str| SourceFile {
        path: path.to_owned(),
        text: text.to_owned(),
    };
    let sources = [source(
        "server/core/src/watch.rs",
        "    pub async fn watch(",
    )];
    for name in [
        "core/src/watch.rs",
        "watch.rs",
        "Payments::watch",
        "any text",
    ] {
        assert!(exists(name, &sources), "{name}");
    }
    for name in ["core/src/look.rs", "ch.rs", "Payments::look"] {
        assert!(!exists(name, &sources), "{name}");
    }
}

#[test]
fn metrics_that_the_operating_guide_names_exist() {
    let sources = files(&["rs"]);
    let text = fs::read_to_string(workspace().join("OPERATING.md")).expect("OPERATING.md");
    let mut found = BTreeSet::new();
    for (index, line) in text.lines().enumerate() {
        for span in code_spans(line).filter(|span| span.starts_with("chasqui_")) {
            let name = span.split('{').next().unwrap_or(span);
            let written = format!("\"{name}\"");
            if !sources.iter().any(|file| file.text.contains(&written)) {
                found.insert(format!("OPERATING.md:{}: {name}", index + 1));
            }
        }
    }
    fail_if_any(
        "the operating guide names metrics that do not exist",
        &found,
    );
}

/// What stands between backticks.
fn code_spans(line: &str) -> impl Iterator<Item = &str> {
    line.split('`').skip(1).step_by(2)
}

/// A path of a source file must be the end of one that exists, and `Type::function` a function that is written; other
/// spans are not judged.
fn exists(name: &str, sources: &[SourceFile]) -> bool {
    let is_name = |c: char| c.is_alphanumeric() || "_-./:".contains(c);
    if !name.chars().all(is_name) || name.ends_with(':') {
        return true;
    }
    if [".rs", ".lua", ".ts", ".txt"]
        .iter()
        .any(|end| name.ends_with(end))
    {
        let end = format!("/{name}");
        return sources
            .iter()
            .any(|file| format!("/{}", file.path).ends_with(&end));
    }
    let Some((_, function)) = name.split_once("::") else {
        return true;
    };
    let written = format!("fn {function}(");
    let generic = format!("fn {function}<");
    sources
        .iter()
        .any(|file| file.text.contains(&written) || file.text.contains(&generic))
}
