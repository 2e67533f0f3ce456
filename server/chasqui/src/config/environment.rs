//! The environment over the file: `CHASQUI_SERVER__LISTEN` is `server.listen`, `CHASQUI_ACCOUNTS__0__NAME` is the first
//! account's name.

use toml::{Table, Value};

use super::problem::{ConfigError, ConfigProblem};

const VARIABLE_PREFIX: &str = "CHASQUI_";
const SEPARATOR: &str = "__";

pub(super) fn overlay(
    table: &mut Table,
    variables: impl Iterator<Item = (String, String)>,
) -> Result<(), ConfigError> {
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
    for (name, text) in overlays {
        let path: Vec<&str> = name.split(SEPARATOR).collect();
        place(table, &path, value(&text))
            .map_err(|message| ConfigError::from(ConfigProblem::new(path.join("."), message)))?;
    }
    Ok(())
}

/// Lists, tables, numbers and booleans are written as in TOML; everything else is text and needs no quotes.
fn value(text: &str) -> Value {
    let parsed = toml::from_str::<Table>(&format!("value = {text}"))
        .ok()
        .and_then(|mut table| table.remove("value"));
    match parsed {
        Some(Value::Datetime(_) | Value::Float(_)) | None => Value::String(text.to_owned()),
        Some(value) => value,
    }
}

fn place(table: &mut Table, path: &[&str], value: Value) -> Result<(), String> {
    let [key, rest @ ..] = path else {
        return Err("names no key".into());
    };
    if key.is_empty() {
        return Err("has an empty part; put a name between each two double underscores".into());
    }
    if rest.is_empty() {
        table.insert((*key).to_owned(), value);
        return Ok(());
    }
    let is_list = rest[0].bytes().all(|b| b.is_ascii_digit());
    let empty = if is_list {
        Value::Array(Vec::new())
    } else {
        Value::Table(Table::new())
    };
    place_inside(table.entry((*key).to_owned()).or_insert(empty), rest, value)
}

fn place_inside(slot: &mut Value, path: &[&str], value: Value) -> Result<(), String> {
    match slot {
        Value::Table(inner) => place(inner, path, value),
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
                items.push(if rest.is_empty() {
                    value.clone()
                } else {
                    Value::Table(Table::new())
                });
            }
            if rest.is_empty() {
                items[index] = value;
                return Ok(());
            }
            place_inside(&mut items[index], rest, value)
        }
        _ => Err("is nested deeper than the key".into()),
    }
}
