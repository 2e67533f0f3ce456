//! From TOML to the raw settings. Everything that cannot be read is a problem of its own, so that one mistake does not hide
//! the others.

use std::collections::BTreeSet;

use serde::de::{self, Deserialize, Visitor};
use serde_path_to_error::{Path, Segment};
use toml::{Table, Value};

use super::environment;
use super::problem::Problems;

/// How close a misspelt key must be to a known one: 0 is nothing alike, 1 the same.
const ALIKE: f64 = 0.8;

/// Reads a table. `variables`: the places of texts from the environment. `known_keys`: those of a section, or of the whole
/// file for `None`; `renamed`: the new name of an old key. `None`: a problem leaves nothing to read.
pub(super) fn read<T: for<'de> Deserialize<'de>>(
    mut table: Table,
    mut variables: BTreeSet<Vec<String>>,
    known_keys: impl Fn(Option<&str>) -> &'static [&'static str],
    renamed: impl Fn(&str) -> Option<&'static str>,
    problems: &mut Problems,
) -> Option<T> {
    let mut incomplete = IncompleteLists::default();
    loop {
        let mut unknown = Vec::new();
        let mut report = |path: serde_ignored::Path<'_>| unknown.push(path.to_string());
        let value = Value::Table(table.clone());
        let ignored = serde_ignored::Deserializer::new(value, &mut report);
        match serde_path_to_error::deserialize(ignored) {
            Ok(_) if incomplete.remove_from(&mut table) => {}
            Ok(read) => {
                for key in unknown {
                    let message = match renamed(&key) {
                        Some(new) => format!("is now called {new}; rename it"),
                        None => misspelt(&key, &known_keys),
                    };
                    problems.add(key, message);
                }
                return Some(read);
            }
            Err(error) => {
                let path = steps(error.path());
                let message = error.inner().message();
                let is_of_another_type = message.starts_with("invalid type: string");
                if variables.remove(&path)
                    && is_of_another_type
                    && parse_in_place(&mut table, &path)
                {
                    continue;
                }
                // Read on without it.
                let entry = incomplete.remove_entry(&mut table, &path);
                let is_removed = entry.is_some() || remove(&mut table, &path);
                let key = entry.unwrap_or_else(|| error.path().to_string());
                problems.add(key, without_value(message));
                if !is_removed {
                    return None;
                }
            }
        }
    }
}

/// Lists without the entries that could not be read. The other entries are read before the list is removed as a whole, so
/// that they keep their numbers.
#[derive(Default)]
struct IncompleteLists(Vec<(Vec<String>, BTreeSet<usize>)>);

impl IncompleteLists {
    /// Removes an entry of a list. Returns its key with the number that it had at first.
    fn remove_entry(&mut self, table: &mut Table, path: &[String]) -> Option<String> {
        let (last, list) = path.split_last()?;
        let Value::Array(entries) = slot(table, list)? else {
            return None;
        };
        let index: usize = last.parse().ok()?;
        entries.remove(index);
        let known = self.0.iter().position(|(known, _)| known == list);
        let known = known.unwrap_or_else(|| {
            self.0.push((list.to_owned(), BTreeSet::new()));
            self.0.len() - 1
        });
        let removed = &mut self.0[known].1;
        let original = removed.iter().fold(index, |index, earlier| {
            index + usize::from(*earlier <= index)
        });
        removed.insert(original);
        Some(format!("{}[{original}]", display(list)))
    }

    /// Removes the lists. `false`: there are none.
    fn remove_from(&mut self, table: &mut Table) -> bool {
        let lists = std::mem::take(&mut self.0);
        let removed = lists.iter().filter(|(list, _)| remove(table, list));
        removed.count() > 0
    }
}

fn steps(path: &Path) -> Vec<String> {
    let mut steps = Vec::new();
    for segment in path.iter() {
        match segment {
            Segment::Map { key } => steps.push(key.clone()),
            Segment::Seq { index } => steps.push(index.to_string()),
            Segment::Enum { .. } | Segment::Unknown => break,
        }
    }
    steps
}

fn display(path: &[String]) -> String {
    let mut text = String::new();
    for step in path {
        let is_index = step.bytes().all(|b| b.is_ascii_digit());
        match (is_index, text.is_empty()) {
            (true, _) => text.extend(["[", step, "]"]),
            (false, true) => text.push_str(step),
            (false, false) => text.extend([".", step]),
        }
    }
    text
}

fn slot<'t>(table: &'t mut Table, path: &[String]) -> Option<&'t mut Value> {
    let (first, rest) = path.split_first()?;
    let mut place = table.get_mut(first)?;
    for step in rest {
        place = match place {
            Value::Table(inner) => inner.get_mut(step)?,
            Value::Array(entries) => entries.get_mut(step.parse::<usize>().ok()?)?,
            _ => return None,
        };
    }
    Some(place)
}

/// Parses a variable's text where the setting is no text. `false`: it is nothing but text.
fn parse_in_place(table: &mut Table, path: &[String]) -> bool {
    let Some(place) = slot(table, path) else {
        return false;
    };
    let parsed = place.as_str().and_then(environment::parse_value);
    let is_parsed = parsed.is_some();
    if let Some(parsed) = parsed {
        *place = parsed;
    }
    is_parsed
}

/// Removes the setting at a path.
fn remove(table: &mut Table, path: &[String]) -> bool {
    match path {
        [] => false,
        [key] => table.remove(key).is_some(),
        [section @ .., key] => match slot(table, section) {
            Some(Value::Table(inner)) => inner.remove(key).is_some(),
            _ => false,
        },
    }
}

fn misspelt(key: &str, known_keys: impl Fn(Option<&str>) -> &'static [&'static str]) -> String {
    let (section, name) = match key.rsplit_once('.') {
        Some((section, name)) => (Some(section), name),
        None => (None, key),
    };
    let first = section.map(|section| section.split('.').next().unwrap_or(section));
    match (nearest(name, known_keys(first)), section) {
        (None, Some(section)) => unknown_key(section, None),
        (Some(known), Some(section)) => unknown_key(section, Some(known)),
        (Some(known), None) => format!("is not a known section; did you mean {known}?"),
        (None, None) => unknown_key("", None),
    }
}

/// What is wrong with an unknown key of a section, with the known one that is closest.
pub(super) fn unknown_key(section: &str, nearest: Option<&str>) -> String {
    match nearest {
        Some(known) => format!("is not a known key; did you mean {section}.{known}?"),
        None => "is not a known key; check its spelling and its section".into(),
    }
}

/// The known key that is most like a misspelt one.
pub(super) fn nearest(name: &str, known_keys: &[&'static str]) -> Option<&'static str> {
    let alike = |known: &&'static str| strsim::jaro_winkler(known, name);
    let known = known_keys.iter().copied();
    known
        .max_by(|a, b| alike(a).total_cmp(&alike(b)))
        .filter(|known| alike(known) >= ALIKE)
}

/// Serde's message in plain words and without the value, which may be a misplaced secret.
fn without_value(message: &str) -> String {
    let Some((_, expected)) = message.split_once(", expected ") else {
        let is_plain = message.starts_with("must be ") || message.starts_with("missing field ");
        return if is_plain { message } else { "cannot be read" }.to_owned();
    };
    if let Some((least, most)) = whole_numbers(expected) {
        return format!("must be a whole number from {least} to {most}, without quotes");
    }
    let plain = match expected {
        "a string" => "a text in quotes",
        "a boolean" => "true or false, without quotes",
        "a sequence" => "a list in brackets",
        expected if expected.starts_with("struct ") => "a section with keys of its own",
        expected => expected,
    };
    format!("must be {plain}")
}

/// The least and the greatest number of a type, by serde's name of it.
fn whole_numbers(expected: &str) -> Option<(u8, u64)> {
    let (least, r#type) = match expected.strip_prefix("a nonzero ") {
        Some(r#type) => (1, r#type),
        None => (0, expected),
    };
    let most = match r#type {
        "u8" => u8::MAX.into(),
        "u32" => u32::MAX.into(),
        // TOML has no greater one.
        "u64" | "usize" => i64::MAX.unsigned_abs(),
        _ => return None,
    };
    Some((least, most))
}

/// The names of a struct's fields, as its own `Deserialize` lists them.
pub(super) fn field_names<T: for<'de> Deserialize<'de>>() -> &'static [&'static str] {
    let mut names = FieldNames(&[]);
    // Always an error: there is nothing to read.
    let _ = T::deserialize(&mut names);
    names.0
}

struct FieldNames(&'static [&'static str]);

impl<'de> de::Deserializer<'de> for &mut FieldNames {
    type Error = de::value::Error;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Self::Error> {
        Err(de::Error::custom("names alone"))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        self.0 = fields;
        self.deserialize_any(visitor)
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}
