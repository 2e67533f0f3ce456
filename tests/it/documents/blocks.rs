//! Fenced blocks of a document.

use std::fs;

use crate::house::source::workspace;

/// A document of the workspace.
pub(super) fn document(path: &str) -> String {
    fs::read_to_string(workspace().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The contents of the blocks in a language, in their order.
pub(super) fn blocks(text: &str, language: &str) -> Vec<String> {
    let (mut found, mut open) = (Vec::new(), None::<String>);
    for line in text.lines() {
        let fence = line.trim_start().strip_prefix("```");
        open = match (open, fence) {
            (None, Some(info)) if info == language => Some(String::new()),
            (None, _) => None,
            (Some(block), Some(_)) => {
                found.push(block);
                None
            }
            (Some(block), None) => Some(block + line + "\n"),
        };
    }
    found
}

#[test]
fn blocks_of_a_language_are_found_and_others_are_not() {
    let text = "a\n```sh\none\ntwo\n```\n```toml\nsh = 1\n```\n  ```sh\nthree\n  ```\n";
    assert_eq!(blocks(text, "sh"), ["one\ntwo\n", "three\n"]);
}
