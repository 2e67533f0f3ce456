//! The documents' commands: each runs as it stands there.

mod blocks;
mod examples;
mod readme;
mod shell;

use blocks::blocks;

/// The documents whose shell commands other tests of this module run, each with the number of its blocks.
const RUN: [(&str, usize); 8] = [
    ("README.md", 9),
    ("CONTRIBUTING.md", 1),
    ("examples/demo/README.md", 1),
    ("examples/node-express/README.md", 1),
    ("examples/php/README.md", 1),
    ("examples/python-flask/README.md", 1),
    ("examples/static-serverless/README.md", 1),
    ("sandbox/README.md", 1),
];

#[test]
fn every_document_with_commands_has_them_run() {
    let mut found: Vec<(String, usize)> = crate::house::source::files(&["md"])
        .into_iter()
        .map(|file| (file.path.clone(), blocks(&file.text, "sh").len()))
        .filter(|(_, count)| *count > 0)
        .collect();
    found.sort();
    let mut run = RUN.map(|(path, count)| (path.to_owned(), count)).to_vec();
    run.sort();
    assert_eq!(found, run);
}

/// `make`'s own dry run finds every target and variable.
#[test]
fn the_commands_of_contributing_exist() {
    let text = blocks::document("CONTRIBUTING.md");
    for line in blocks(&text, "sh").concat().lines() {
        let command = line.split('#').next().unwrap_or_default().trim();
        let arguments = command.strip_prefix("make ").expect("make");
        let output = std::process::Command::new("make")
            .arg("--dry-run")
            .args(arguments.split(' '))
            .current_dir(crate::house::source::workspace())
            .output()
            .expect("make");
        assert!(output.status.success(), "{command}: {output:?}");
    }
}
