//! The entries of `api_keys`: a key's hash alone, or a table with the hash and the key's restrictions.

use chasqui_core::{ApiKey, Permission};
use chasqui_payment::Timestamp;
use toml::{Table, Value};

use super::super::problem::Problems;
use super::super::reading::{nearest, unknown_key};

const FIELDS: [&str; 3] = ["hash", "expires_at", "allow"];

pub(super) fn check(key: &str, entries: &[Value], problems: &mut Problems) -> Vec<ApiKey> {
    let mut keys: Vec<ApiKey> = Vec::new();
    for (i, entry) in entries.iter().enumerate() {
        let key = format!("{key}[{i}]");
        match check_entry(&key, entry, problems) {
            Some(api_key) if keys.iter().any(|other| other.hash == api_key.hash) => {
                problems.add(
                    key,
                    "has the hash of an earlier entry; remove one of the two",
                );
            }
            checked => keys.extend(checked),
        }
    }
    keys
}

fn check_entry(key: &str, entry: &Value, problems: &mut Problems) -> Option<ApiKey> {
    match entry {
        Value::String(text) => check_hash(key, text, problems).map(ApiKey::unrestricted),
        Value::Table(fields) => check_fields(key, fields, problems),
        _ => {
            problems.add(
                key,
                "must be a hash in quotes, or { hash = \"sha256:…\", expires_at = \"…\", allow = [\"payments\", …] }",
            );
            None
        }
    }
}

fn check_fields(key: &str, fields: &Table, problems: &mut Problems) -> Option<ApiKey> {
    for name in fields
        .keys()
        .filter(|name| !FIELDS.contains(&name.as_str()))
    {
        let message = unknown_key(key, nearest(name, &FIELDS));
        problems.add(format!("{key}.{name}"), message);
    }
    let hash_key = format!("{key}.hash");
    let hash = match fields.get("hash") {
        Some(Value::String(text)) => check_hash(&hash_key, text, problems),
        Some(_) => {
            problems.add(hash_key, "must be a text in quotes");
            None
        }
        None => {
            let message = "is missing; it is what `chasqui keys new` prints with the key";
            problems.add(hash_key, message);
            None
        }
    };
    let expires_at = fields
        .get("expires_at")
        .map(|value| check_time(&format!("{key}.expires_at"), value, problems));
    let allow = fields
        .get("allow")
        .map(|value| check_permissions(&format!("{key}.allow"), value, problems));
    let unrestricted = ApiKey::unrestricted(hash?);
    Some(ApiKey {
        expires_at: match expires_at {
            Some(checked) => Some(checked?),
            None => None,
        },
        allow: match allow {
            Some(checked) => checked?,
            None => unrestricted.allow,
        },
        ..unrestricted
    })
}

fn check_time(key: &str, value: &Value, problems: &mut Problems) -> Option<Timestamp> {
    let time = match value {
        Value::String(text) => Timestamp::parse(text).ok(),
        // A time of TOML's own.
        Value::Datetime(time) => Timestamp::parse(&time.to_string()).ok(),
        _ => None,
    };
    if time.is_none() {
        problems.add(key, "must be a time such as 2027-01-31T00:00:00Z");
    }
    time
}

fn check_permissions(key: &str, value: &Value, problems: &mut Problems) -> Option<Vec<Permission>> {
    let Value::Array(names) = value else {
        problems.add(key, "must be a list in brackets");
        return None;
    };
    let permissions: Vec<Option<Permission>> = names
        .iter()
        .enumerate()
        .map(|(i, name)| {
            let permission = match name.as_str() {
                Some("payments") => Some(Permission::Payments),
                Some("refunds") => Some(Permission::Refunds),
                Some("other") => Some(Permission::Other),
                _ => None,
            };
            if permission.is_none() {
                let message = "must be payments, refunds or other";
                problems.add(format!("{key}[{i}]"), message);
            }
            permission
        })
        .collect();
    permissions.into_iter().collect()
}

fn check_hash(key: &str, text: &str, problems: &mut Problems) -> Option<[u8; 32]> {
    let hash = text.strip_prefix("sha256:").and_then(from_hex);
    if hash.is_none() {
        let message = if text.starts_with("chq_") {
            "is the key itself; use its hash, which `chasqui keys new` prints with it"
        } else {
            "must be sha256: and 64 hexadecimal digits, as `chasqui keys new` prints it"
        };
        problems.add(key, message);
    }
    hash
}

fn from_hex(text: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(bytes)
}
