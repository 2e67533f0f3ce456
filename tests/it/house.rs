//! What the documents promise about the source tree: crates, layers, names and sizes. Reads files, starts no gateway.

mod circles;
mod crates;
mod exports;
mod mentions;
pub(crate) mod source;
mod words;

use std::collections::BTreeSet;

use self::source::{fail_if_any, files};

/// Longest source file of a shipped crate or of the harness, in lines.
const MAX_LINES: usize = 400;

/// Only the composition root names an implementation of the store; `config` parses the address of a Redis.
#[test]
fn only_the_composition_root_names_an_implementation() {
    const APP: [&str; 2] = ["server/chasqui/src/app.rs", "server/chasqui/src/app/"];
    const CONFIG: [&str; 1] = ["server/chasqui/src/config/"];
    const REDIS: [&str; 1] = ["server/store-redis/"];
    let mut found = BTreeSet::new();
    for file in files(&["rs"]) {
        if !file.path.starts_with("server/") || file.is_test() {
            continue;
        }
        let is_in = |places: &[&str]| places.iter().any(|place| file.path.starts_with(place));
        for (number, line) in file.code() {
            let names_store =
                line.contains("chasqui_store_sqlite") || line.contains("chasqui_store_redis");
            let names_topology = line.contains("chasqui_redis_topology");
            let may_name_topology = is_in(&APP) || is_in(&CONFIG) || is_in(&REDIS);
            if names_store && !is_in(&APP) || names_topology && !may_name_topology {
                found.insert(format!("{}:{number}: {}", file.path, line.trim()));
            }
        }
    }
    fail_if_any(
        "an implementation is named outside the composition root",
        &found,
    );
}

/// Test modules of the server may be longer: each is one list of cases.
#[test]
fn no_source_file_is_longer_than_400_lines() {
    let mut found = BTreeSet::new();
    for file in files(&["rs", "lua", "ts"]) {
        let is_list_of_cases = file.path.ends_with("/tests.rs")
            || file.path.starts_with("server/") && file.path.contains("/tests/");
        let lines = file.text.lines().count();
        if lines > MAX_LINES && !is_list_of_cases {
            found.insert(format!("{}:{MAX_LINES}: {lines} lines", file.path));
        }
    }
    fail_if_any("source files are too long; split them by subject", &found);
}
