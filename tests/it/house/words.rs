//! Words that the project once used and replaced, and words that its documents do without.

use std::collections::BTreeSet;

use super::source::{SourceFile, fail_if_any, files};

/// Parts of names and words of prose. `lease_due` is two words, and so is `LeaseDue`.
const WORDS: [&str; 31] = [
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
    "wish",
    "wishes",
];

/// Words in a row, names taken apart.
const PHRASES: [&str; 6] = [
    "let go",
    "lets go",
    "questions in flight",
    "questions left to another",
    "questions per second",
    "relay losses",
];

/// Stored names, which an update must still find; old keys that the configuration refuses with the new name; a text of the demo's shop.
const ALLOWED: [(&str, &str); 10] = [
    ("server/store-redis/src/keys.rs", "agenda"),
    ("server/store-redis/src/tests/partitions.rs", "agenda"),
    ("server/store-sqlite/migrations/6_job.sql", "errand"),
    ("server/store-sqlite/migrations/6_job.sql", "canary"),
    ("server/store-sqlite/src/migration/tests.rs", "errand"),
    ("server/chasqui/src/config/mod.rs", "questions in flight"),
    ("server/chasqui/src/config/mod.rs", "questions per second"),
    ("tests/it/checks.rs", "agenda"),
    ("tests/it/merchant_outage.rs", "agenda"),
    ("examples/demo/src/shop/catalogue.rs", "nobody"),
];

/// Where the words stand that are forbidden elsewhere.
const THIS_FILE: &str = "tests/it/house/words.rs";

#[test]
fn no_replaced_word_is_left() {
    let mut sources = files(&[
        "rs", "lua", "ts", "js", "css", "html", "md", "toml", "sh", "yml", "cfg",
    ]);
    sources.extend(newest_migrations());
    let mut found = BTreeSet::new();
    for file in &sources {
        if file.path == "CHANGELOG.md" || file.path == THIS_FILE {
            continue;
        }
        for (index, line) in file.text.lines().enumerate() {
            for word in forbidden(line) {
                if !ALLOWED.contains(&(&*file.path, word)) {
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
    let line =
        "fn ask_desk(ear: &LedgerError) // Nobody, year, dashboard, desktop, let gone; it Lets go";
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
    let words = format!(" {} ", words(line).join(" "));
    let terms = WORDS.into_iter().chain(PHRASES);
    terms.filter(move |term| words.contains(&format!(" {term} ")))
}

/// The words of a line in lower case, names taken apart.
fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    for c in line.chars().chain([' ']) {
        let ends = !c.is_alphabetic() || c.is_uppercase() && word.ends_with(char::is_lowercase);
        if ends && !word.is_empty() {
            words.push(std::mem::take(&mut word).to_lowercase());
        }
        if c.is_alphabetic() {
            word.push(c);
        }
    }
    words
}
