//! Modules of one crate that use each other in a circle cannot be read or moved one at a time.
//!
//! A module is a file. It uses another one if its code, tests left out, has a path into that file which begins with
//! `crate`, `self`, `super` or the name of a child. A parent and its child are no exception: the parent mounts the child,
//! and what both need is in a third file.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::source::{SourceFile, fail_if_any, files};

/// The code of each module by its path, such as `crate::jobs::worker`.
type Modules = BTreeMap<String, String>;

#[test]
fn no_modules_of_a_crate_use_each_other_in_a_circle() {
    let sources = files(&["rs"]);
    let roots: BTreeSet<&str> = sources
        .iter()
        .filter_map(|file| file.path.rsplit_once('/'))
        .filter(|(_, name)| ["lib.rs", "main.rs"].contains(name))
        .map(|(directory, _)| directory)
        .collect();
    let mut found = BTreeSet::new();
    for root in roots {
        let circles = circles(&modules(root, &sources));
        found.extend(circles.iter().map(|circle| format!("{root}: {circle}")));
    }
    fail_if_any("modules use each other in a circle", &found);
}

#[test]
fn a_circle_is_found_through_every_form_of_a_path() {
    for b in [
        "use crate::a::A;",
        "pub(crate) use super::a;",
        "use super::{\n    c::{C, D as E},\n    a::{self, A},\n};",
        "fn f() {\n    crate::a::g(\"x\")\n}",
    ] {
        let found = found_in(&[("a.rs", "use crate::b::B;"), ("b.rs", b), ("c.rs", "")]);
        assert_eq!(found, ["crate::a -> crate::b -> crate::a"], "{b}");
    }
    let parent = ("c/mod.rs", "mod d;\nfn f() {\n    d::g()\n}");
    let found = found_in(&[parent, ("c/d.rs", "use super::Shared;")]);
    assert_eq!(found, ["crate::c -> crate::c::d -> crate::c"]);
    let found = found_in(&[("lib.rs", "pub use e::E;"), ("e.rs", "use crate::F;")]);
    assert_eq!(found, ["crate -> crate::e -> crate"]);
}

#[test]
fn a_use_in_one_direction_is_no_circle() {
    for b in [
        "use crate::c::C;",
        "use super::{c as a};",
        "// crate::a::A",
        "const B: &str = \"crate::a::A\";",
        "pub(in crate::a) struct B;",
        "use other::a::A;",
        "mod tests {\n    use crate::a::A;",
    ] {
        let found = found_in(&[("a.rs", "use crate::b::B;"), ("b.rs", b), ("c.rs", "")]);
        assert!(found.is_empty(), "{b}: {found:?}");
    }
}

fn found_in(texts: &[(&str, &str)]) -> Vec<String> {
    let sources: Vec<SourceFile> = texts
        .iter()
        .map(|(path, text)| SourceFile {
            path: format!("x/src/{path}"),
            text: (*text).to_owned(),
        })
        .collect();
    circles(&modules("x/src", &sources))
}

/// Those below `root`. A program beside a library is a crate of its own.
fn modules(root: &str, sources: &[SourceFile]) -> Modules {
    let mut modules = Modules::new();
    for file in sources {
        let below_root = file.path.strip_prefix(root);
        let Some(path) = below_root.and_then(|path| path.strip_prefix('/')) else {
            continue;
        };
        let path = path.trim_end_matches(".rs").replace('/', "::");
        let is_test = path.split("::").any(|name| name == "tests");
        let is_beside_library = path == "main" && modules.contains_key("crate");
        if is_test || is_beside_library {
            continue;
        }
        let name = match &*path {
            "lib" | "main" => "crate".to_owned(),
            _ => format!("crate::{}", path.trim_end_matches("::mod")),
        };
        let lines = file.code().map(|(_, line)| without_texts(line));
        modules.insert(name, lines.collect::<Vec<_>>().join("\n"));
    }
    modules
}

/// A line without what it quotes. Where a text goes on over several lines, this is not exact.
fn without_texts(line: &str) -> String {
    let code = line.split('"').step_by(2).collect::<Vec<_>>().join(" ");
    code.replace("(in crate", "(")
}

/// One shortest circle for each module that is the first of it.
fn circles(modules: &Modules) -> Vec<String> {
    let uses: BTreeMap<&str, BTreeSet<&str>> = modules
        .iter()
        .map(|(module, code)| {
            let paths = paths(code);
            let used = paths.iter().filter_map(|path| find(module, path, modules));
            (&**module, used.filter(|used| used != module).collect())
        })
        .collect();
    let mut found = Vec::new();
    for start in uses.keys() {
        let mut waiting = VecDeque::from([vec![*start]]);
        let mut seen = BTreeSet::new();
        while let Some(way) = waiting.pop_front() {
            if way.len() > 1 && way.last() == Some(start) {
                if way.iter().min() == Some(start) {
                    found.push(way.join(" -> "));
                }
                break;
            }
            for next in &uses[way[way.len() - 1]] {
                if seen.insert(*next) {
                    waiting.push_back([way.as_slice(), &[next]].concat());
                }
            }
        }
    }
    found
}

/// The module that `path` in `module` leads into.
fn find<'a>(module: &str, path: &str, modules: &'a Modules) -> Option<&'a str> {
    let mut base = module;
    let mut rest = path;
    while let Some((head, tail)) = rest.split_once("::") {
        match head {
            "crate" => base = "crate",
            "self" => {}
            "super" => base = base.rsplit_once("::")?.0,
            _ => break,
        }
        rest = tail;
    }
    let child = rest.split("::").next().unwrap_or_default();
    if rest == path && !modules.contains_key(&format!("{module}::{child}")) {
        return None;
    }
    let mut target = &*format!("{base}::{rest}");
    loop {
        if let Some((target, _)) = modules.get_key_value(target) {
            return Some(target);
        }
        target = target.rsplit_once("::")?.0;
    }
}

/// All paths of two or more names, those of a list in braces with what stands before it.
fn paths(code: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut before = vec![String::new()];
    let mut path = String::new();
    let mut is_new_name = false;
    for c in code.chars().chain(['\n']) {
        if c.is_alphanumeric() || "_:*".contains(c) {
            path.push(c);
            continue;
        }
        let outer = before.last().map_or("", String::as_str);
        let whole = format!("{outer}{path}");
        let is_list = c == '{' && path.ends_with("::");
        if !is_list && !is_new_name && path != "as" && !path.is_empty() && whole.contains("::") {
            found.push(whole.clone());
        }
        is_new_name = path == "as" || is_new_name && path.is_empty();
        match c {
            '{' if is_list => before.push(whole),
            '{' => before.push(String::new()),
            '}' => drop(before.pop()),
            _ => {}
        }
        path.clear();
    }
    found
}
