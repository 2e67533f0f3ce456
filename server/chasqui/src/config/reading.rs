//! From TOML to the raw settings. Everything that cannot be read is a problem of its own, so that one mistake does not hide
//! the others.

use serde::de::{self, Deserialize, Visitor};
use serde_path_to_error::{Path, Segment};
use toml::{Table, Value};

use super::problem::Problems;

/// How close a misspelt key must be to a known one: 0 is nothing alike, 1 the same.
const ALIKE: f64 = 0.8;

/// Reads a table. `known_keys`: those of a section, or of the whole file for `None`; `renamed`: the new name of an old key.
/// `None`: a problem leaves nothing to read.
pub(super) fn read<T: for<'de> Deserialize<'de>>(
    mut table: Table,
    known_keys: impl Fn(Option<&str>) -> &'static [&'static str],
    renamed: impl Fn(&str) -> Option<&'static str>,
    problems: &mut Problems,
) -> Option<T> {
    loop {
        let mut unknown = Vec::new();
        let mut report = |path: serde_ignored::Path<'_>| unknown.push(path.to_string());
        let value = Value::Table(table.clone());
        let ignored = serde_ignored::Deserializer::new(value, &mut report);
        match serde_path_to_error::deserialize(ignored) {
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
                let key = error.path().to_string();
                problems.add(key, without_value(error.inner().message()));
                // Read on without it.
                if !remove(&mut table, error.path()) {
                    return None;
                }
            }
        }
    }
}

fn misspelt(key: &str, known_keys: impl Fn(Option<&str>) -> &'static [&'static str]) -> String {
    let (section, name) = match key.rsplit_once('.') {
        Some((section, name)) => (Some(section), name),
        None => (None, key),
    };
    let first = section.map(|section| section.split('.').next().unwrap_or(section));
    let alike = |known: &&&str| strsim::jaro_winkler(known, name);
    let nearest = known_keys(first)
        .iter()
        .max_by(|a, b| alike(a).total_cmp(&alike(b)))
        .filter(|known| alike(known) >= ALIKE);
    match (nearest, section) {
        (Some(known), Some(section)) => {
            format!("is not a known key; did you mean {section}.{known}?")
        }
        (Some(known), None) => format!("is not a known section; did you mean {known}?"),
        (None, _) => "is not a known key; check its spelling and its section".into(),
    }
}

/// Removes the setting at a path; a list as a whole, so that its other entries keep their numbers.
fn remove(table: &mut Table, path: &Path) -> bool {
    let mut keys = Vec::new();
    for segment in path.iter() {
        match segment {
            Segment::Map { key } => keys.push(Step::Key(key)),
            Segment::Seq { index } => keys.push(Step::Index(*index)),
            Segment::Enum { .. } | Segment::Unknown => break,
        }
    }
    while matches!(keys.last(), Some(Step::Index(_))) {
        keys.pop();
    }
    let Some(Step::Key(last)) = keys.pop() else {
        return false;
    };
    let mut place = table;
    let mut steps = keys.into_iter();
    while let Some(step) = steps.next() {
        let Step::Key(key) = step else { return false };
        let inner = match (place.get_mut(key), steps.as_slice().first()) {
            (Some(Value::Array(list)), Some(Step::Index(index))) => {
                let inner = list.get_mut(*index);
                steps.next();
                inner
            }
            (inner, _) => inner,
        };
        match inner {
            Some(Value::Table(inner)) => place = inner,
            _ => return false,
        }
    }
    place.remove(last).is_some()
}

enum Step<'p> {
    Key(&'p str),
    Index(usize),
}

/// Serde's message in plain words and without the value, which may be a misplaced secret.
fn without_value(message: &str) -> String {
    let Some((_, expected)) = message.split_once(", expected ") else {
        let is_plain = message.starts_with("must be ") || message.starts_with("missing field ");
        return if is_plain { message } else { "cannot be read" }.to_owned();
    };
    let plain = match expected {
        "u64" | "u32" | "usize" => "a whole number without quotes",
        "a string" => "a text in quotes",
        "a boolean" => "true or false, without quotes",
        "a sequence" => "a list in brackets",
        expected if expected.starts_with("struct ") => "a section with keys of its own",
        expected => expected,
    };
    format!("must be {plain}")
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
