//! The environment over the file: `CHASQUI_SERVER__LISTEN` is `server.listen`, `CHASQUI_ACCOUNTS__0__NAME` is the first
//! account's name.

use std::collections::BTreeSet;

use toml::{Table, Value};

use super::problem::Problems;

const VARIABLE_PREFIX: &str = "CHASQUI_";
const SEPARATOR: &str = "__";

/// Puts the variables into their places, each as text. Returns the places.
pub(super) fn overlay(
    table: &mut Table,
    variables: impl Iterator<Item = (String, String)>,
    problems: &mut Problems,
) -> BTreeSet<Vec<String>> {
    let mut overlays: Vec<(String, String)> = variables
        .filter_map(|(name, text)| {
            Some((
                name.strip_prefix(VARIABLE_PREFIX)?.to_ascii_lowercase(),
                text,
            ))
        })
        .filter(|(name, _)| name.contains(SEPARATOR))
        .collect();
    // Sorted, so that accounts__0 comes before accounts__1.
    overlays.sort();
    let mut places = BTreeSet::new();
    for (name, text) in overlays {
        let path: Vec<String> = name.split(SEPARATOR).map(str::to_owned).collect();
        match place(table, &path, text) {
            Ok(()) => {
                places.insert(path);
            }
            Err(message) => problems.add(path.join("."), message),
        }
    }
    places
}

/// A number, boolean, list or table, written as in TOML.
pub(super) fn parse_value(text: &str) -> Option<Value> {
    let mut table: Table = toml::from_str(&format!("value = {text}")).ok()?;
    match table.remove("value")? {
        Value::String(_) | Value::Datetime(_) => None,
        value => Some(value),
    }
}

fn place(table: &mut Table, path: &[String], text: String) -> Result<(), String> {
    let [key, rest @ ..] = path else {
        return Err("names no key".into());
    };
    if key.is_empty() {
        return Err("has an empty part; put a name between each two double underscores".into());
    }
    if rest.is_empty() {
        table.insert(key.clone(), Value::String(text));
        return Ok(());
    }
    let is_list = rest[0].bytes().all(|b| b.is_ascii_digit());
    let empty = if is_list {
        Value::Array(Vec::new())
    } else {
        Value::Table(Table::new())
    };
    place_inside(table.entry(key.clone()).or_insert(empty), rest, text)
}

fn place_inside(slot: &mut Value, path: &[String], text: String) -> Result<(), String> {
    // A variable may hold the list that this one has an entry of.
    if let Value::String(outer) = slot
        && let Some(outer @ (Value::Array(_) | Value::Table(_))) = parse_value(outer)
    {
        *slot = outer;
    }
    match slot {
        Value::Table(inner) => place(inner, path, text),
        Value::Array(items) => {
            let index: usize = path[0]
                .parse()
                .map_err(|_| "must number the list's entries from 0".to_owned())?;
            if index > items.len() {
                return Err(format!(
                    "skips an entry: the list has {} so far",
                    items.len()
                ));
            }
            let rest = &path[1..];
            if index == items.len() {
                items.push(Value::Table(Table::new()));
            }
            if rest.is_empty() {
                items[index] = Value::String(text);
                return Ok(());
            }
            place_inside(&mut items[index], rest, text)
        }
        _ => Err("is nested deeper than the key".into()),
    }
}

#[cfg(test)]
mod tests;
