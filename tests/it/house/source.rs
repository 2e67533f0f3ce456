//! The workspace's own files, read from disk.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Directories that hold what is built or installed, not what is written.
const NOT_SOURCES: [&str; 3] = ["target", "node_modules", "dist"];

pub(crate) struct SourceFile {
    /// Relative to the workspace, with `/`.
    pub(crate) path: String,
    pub(crate) text: String,
}

impl SourceFile {
    /// Tests, and what they share.
    pub(super) fn is_test(&self) -> bool {
        let path = &self.path;
        path.contains("/tests/") || path.ends_with("/tests.rs") || path.contains("/suite/")
    }

    /// Numbered lines that are not comments, up to the tests at the end of the file.
    pub(super) fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        let lines = self.text.lines().enumerate();
        lines
            .take_while(|(_, line)| !line.ends_with("mod tests {"))
            .map(|(index, line)| (index + 1, line))
            .filter(|(_, line)| !line.trim_start().starts_with("//"))
    }
}

pub(crate) fn workspace() -> PathBuf {
    let harness = Path::new(env!("CARGO_MANIFEST_DIR"));
    harness.parent().expect("the workspace").to_owned()
}

/// All files with one of these extensions, by path.
pub(crate) fn files(extensions: &[&str]) -> Vec<SourceFile> {
    let mut found = Vec::new();
    collect(&workspace(), "", extensions, &mut found);
    assert!(
        !found.is_empty(),
        "no {extensions:?} in {}",
        workspace().display()
    );
    found.sort_by(|one, other| one.path.cmp(&other.path));
    found
}

fn collect(directory: &Path, prefix: &str, extensions: &[&str], found: &mut Vec<SourceFile>) {
    for entry in fs::read_dir(directory).expect("a directory") {
        let entry = entry.expect("an entry");
        let name = entry.file_name().into_string().expect("UTF-8");
        let path = format!("{prefix}{name}");
        let kind = entry.file_type().expect("a file type");
        if kind.is_dir() {
            if !name.starts_with('.') && !NOT_SOURCES.contains(&&*name) {
                collect(&entry.path(), &format!("{path}/"), extensions, found);
            }
        } else if name
            .rsplit_once('.')
            .is_some_and(|(_, last)| extensions.contains(&last))
        {
            let text = fs::read_to_string(entry.path()).expect("UTF-8");
            found.push(SourceFile { path, text });
        }
    }
}

/// Each finding is `path:line: what`.
#[track_caller]
pub(super) fn fail_if_any(rule: &str, found: &BTreeSet<String>) {
    let list: Vec<&str> = found.iter().map(String::as_str).collect();
    assert!(
        found.is_empty(),
        "{rule} ({}):\n{}",
        list.len(),
        list.join("\n")
    );
}
