//! What a library exports and nothing else uses should be private.
//!
//! A name counts as used where it stands as a word in code that is not the library's own: in another package, or in the
//! package's own program or integration tests. A type also counts as used where the library's public signatures name it:
//! it cannot be private. That is generous: an unused name that another crate has too is not found.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use super::source::{SourceFile, fail_if_any, files};

/// Its test cases are named by its own macro, which the stores expand.
const EXPORTS_THROUGH_A_MACRO: &str = "server/store/suite/";

#[test]
fn every_exported_name_is_used_by_another_crate() {
    let sources = files(&["rs"]);
    let libraries: Vec<&str> = sources
        .iter()
        .filter_map(|file| file.path.strip_suffix("src/lib.rs"))
        .filter(|library| *library != EXPORTS_THROUGH_A_MACRO)
        .collect();
    let by_path: BTreeMap<&str, &SourceFile> =
        sources.iter().map(|file| (&*file.path, file)).collect();
    let words: Vec<(&str, HashSet<&str>)> = sources
        .iter()
        .map(|file| {
            (
                &*file.path,
                file.code()
                    .flat_map(|(_, line)| identifiers(line))
                    .collect(),
            )
        })
        .collect();
    let mut found = BTreeSet::new();
    for library in libraries {
        let source = format!("{library}src/");
        let is_own = |path: &str| path.starts_with(&source) && path != format!("{source}main.rs");
        let mut exported = Vec::new();
        exports(&format!("{source}lib.rs"), &source, &by_path, &mut exported);
        let own = sources.iter().filter(|file| is_own(&file.path));
        let signatures: HashSet<&str> = own.flat_map(signatures).collect();
        for (name, place) in exported {
            let is_used = words
                .iter()
                .any(|(path, words)| !is_own(path) && words.contains(&*name));
            if !is_used && !signatures.contains(&*name) {
                found.insert(format!("{place}: {name} is used by no other crate"));
            }
        }
    }
    fail_if_any(
        "exported names are unused; make them private or delete them",
        &found,
    );
}

#[test]
fn exports_are_found_in_lists_renames_and_items() {
    let text = "pub use a::{B, c as D};\npub use e::F;\npub fn g() {}\npub(crate) fn h() {}\n    pub fn i() {}\n\
                pub const fn j() {}\npub const K: u8 = 0;\npub use l::*;\npub async fn m() {}\n";
    let file = SourceFile {
        path: "x/src/lib.rs".into(),
        text: text.into(),
    };
    let mut found = Vec::new();
    exports(
        &file.path,
        "x/src/",
        &BTreeMap::from([(&*file.path, &file)]),
        &mut found,
    );
    let names: Vec<&str> = found.iter().map(|(name, _)| &**name).collect();
    assert_eq!(names, ["B", "D", "F", "g", "j", "K", "m"]);
    assert_eq!(found[2].1, "x/src/lib.rs:2");
}

/// What public items name beside themselves: arguments, results, fields, variants, and the errors of conversions.
fn signatures(file: &SourceFile) -> Vec<&str> {
    let mut named = Vec::new();
    let mut ends_with: Option<&str> = None;
    let mut open_parentheses = 0;
    for (_, line) in file.code() {
        let text = line.trim_start();
        let Some(end) = ends_with.or_else(|| end_of_signature(line)) else {
            continue;
        };
        let mut words = identifiers(text);
        while let Some(word) = words.next() {
            if ["struct", "enum", "trait", "fn", "const", "type"].contains(&word) {
                words.next();
            } else {
                named.push(word);
            }
        }
        open_parentheses += text.matches('(').count();
        open_parentheses -= text.matches(')').count();
        let is_over = match end {
            "}" => line.starts_with('}') || text.ends_with("{}"),
            _ => open_parentheses == 0 && text.ends_with(['{', ';', ',', '}']),
        };
        ends_with = (!is_over).then_some(end);
    }
    named
}

/// `None`: no public item begins in this line. `}`: all that stands in its braces is public, too.
fn end_of_signature(line: &str) -> Option<&'static str> {
    let text = line.trim_start();
    if text.starts_with("pub enum ") || text.starts_with("pub trait ") {
        return Some("}");
    }
    let is_item =
        text.starts_with("pub ") && !text.starts_with("pub use ") && !text.starts_with("pub mod ");
    (is_item || text.starts_with("type Err")).then_some("{")
}

/// Names with their places: those of a module, and of the public modules below it, which live in `directory`.
fn exports(
    path: &str,
    directory: &str,
    by_path: &BTreeMap<&str, &SourceFile>,
    found: &mut Vec<(String, String)>,
) {
    let Some(file) = by_path.get(path) else {
        panic!("no {path}");
    };
    let mut code = file.code();
    while let Some((number, line)) = code.next() {
        let Some(item) = line.strip_prefix("pub ") else {
            continue;
        };
        let place = format!("{path}:{number}");
        if let Some(list) = item.strip_prefix("use ") {
            let mut list = list.to_owned();
            while !list.contains(';') {
                let (_, more) = code.next().expect("the end of a use");
                list.push_str(more);
            }
            found.extend(used(&list).map(|name| (name.to_owned(), place.clone())));
            continue;
        }
        let mut words = identifiers(item)
            .skip_while(|word| ["const", "async", "unsafe"].contains(word) && !is_constant(item));
        let kind = words.next().unwrap_or_default();
        let name = words.next().unwrap_or_default();
        match kind {
            "mod" => {
                let inner = format!("{directory}{name}/");
                let file = format!("{directory}{name}.rs");
                let folder = format!("{inner}mod.rs");
                let path = if by_path.contains_key(&*file) {
                    file
                } else {
                    folder
                };
                exports(&path, &inner, by_path, found);
            }
            "fn" | "struct" | "enum" | "trait" | "type" | "const" | "static" => {
                found.push((name.to_owned(), place));
            }
            _ => panic!("{place}: cannot read {line}"),
        }
    }
}

fn is_constant(item: &str) -> bool {
    item.starts_with("const ") && !item.starts_with("const fn ")
}

/// The names of `a::{B, c as D};`. A glob has none of its own: its module is public, or its names count where they are used.
fn used(list: &str) -> impl Iterator<Item = &str> {
    let list = list.split(';').next().unwrap_or_default();
    let list = list.rsplit_once('{').map_or(list, |(_, list)| list);
    list.trim_end_matches('}')
        .split(',')
        .filter_map(|name| identifiers(name).last())
        .filter(move |_| !list.ends_with('*'))
}

fn identifiers(code: &str) -> impl Iterator<Item = &str> {
    code.split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
        .filter(|word| !word.is_empty())
}
