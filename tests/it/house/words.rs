//! Words that the project once used and replaced, and words that its documents do without.

use std::collections::BTreeSet;

use super::source::{SourceFile, fail_if_any, files};

/// Parts of names and words of prose. `lease_due` is two words, and so is `LeaseDue`.
const WORDS: [&str; 29] = [
    "agenda",
    "agendas",
    "anew",
    "anybody",
    "canary",
    "courier",
    "couriers",
    "desk",
    "desks",
    "ear",
    "ears",
    "errand",
    "errands",
    "everybody",
    "farewell",
    "heard",
    "hears",
    "ledger",
    "ledgers",
    "nobody",
    "sings",
    "somebody",
    "sought",
    "trouble",
    "troubled",
    "troubles",
    "whatever",
    "whichever",
    "whoever",
];

/// Looked for in lines, in any case.
const PHRASES: [&str; 6] = [
    "let go",
    "lets go",
    "questions_in_flight",
    "questions_left_to_another",
    "questions_per_second",
    "relay_losses",
];

/// Names under which something is stored, which an update must still find.
const STORED: [(&str, &str); 2] = [
    ("server/store-redis/src/keys.rs", "agenda"),
    ("tests/it/checks.rs", "agenda"),
];

/// Where the words stand that are forbidden elsewhere.
const THIS_FILE: &str = "tests/it/house/words.rs";

#[test]
fn no_replaced_word_is_left() {
    let mut sources = files(&["rs", "lua", "ts", "md", "toml", "sh"]);
    sources.extend(newest_migrations());
    let mut found = BTreeSet::new();
    for file in &sources {
        if file.path == "CHANGELOG.md" || file.path == THIS_FILE {
            continue;
        }
        for (index, line) in file.text.lines().enumerate() {
            for word in forbidden(line) {
                let is_stored = STORED
                    .iter()
                    .any(|(place, stored)| file.path.starts_with(place) && *stored == word);
                if !is_stored {
                    let (path, number, line) = (&file.path, index + 1, line.trim());
                    found.insert(format!("{path}:{number}: {word}: {line}"));
                }
            }
        }
    }
    fail_if_any("replaced words are left", &found);
}

#[test]
fn words_are_found_in_names_and_prose_but_not_inside_others() {
    let line = "fn ask_desk(ear: &LedgerError) // Nobody, year, dashboard, desktop; it Lets go";
    let found: Vec<&str> = forbidden(line).collect();
    assert_eq!(found, ["desk", "ear", "ledger", "nobody", "lets go"]);
}

/// A shipped step is history; the newest one may still change.
fn newest_migrations() -> Vec<SourceFile> {
    let number = |file: &SourceFile| {
        let (_, name) = file.path.rsplit_once('/').unwrap_or_default();
        let digits = name.split('_').next().unwrap_or_default();
        digits
            .parse::<u32>()
            .expect("a migration begins with its number")
    };
    files(&["sql"])
        .into_iter()
        .max_by_key(number)
        .into_iter()
        .collect()
}

fn forbidden(line: &str) -> impl Iterator<Item = &'static str> {
    let parts = parts(line);
    let lower = line.to_lowercase();
    let words = WORDS.into_iter().filter(move |word| parts.contains(*word));
    words.chain(
        PHRASES
            .into_iter()
            .filter(move |phrase| lower.contains(phrase)),
    )
}

/// The words of a line in lower case, names taken apart.
fn parts(line: &str) -> BTreeSet<String> {
    let mut parts = BTreeSet::new();
    let mut part = String::new();
    for c in line.chars() {
        let ends = !c.is_alphabetic() || c.is_uppercase() && part.ends_with(char::is_lowercase);
        if ends && !part.is_empty() {
            parts.insert(std::mem::take(&mut part).to_lowercase());
        }
        if c.is_alphabetic() {
            part.push(c);
        }
    }
    parts.insert(part.to_lowercase());
    parts
}
