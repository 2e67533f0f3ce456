//! Secrets of the configuration: written out, or read from an environment variable or a file.

use chasqui_payment::Secret;
use serde::Deserialize;

use super::problem::Problems;

/// A secret in the configuration: its value, or where to read it.
#[derive(Debug, Deserialize)]
#[serde(
    untagged,
    expecting = "must be a text, { env = \"NAME\" } or { file = \"PATH\" }"
)]
pub(super) enum RawSecret {
    Value(String),
    Env { env: String },
    File { file: String },
}

/// All secrets of a list, or `None` if one of them cannot be read.
pub(super) fn check_secrets(
    key: &str,
    raw: &[RawSecret],
    problems: &mut Problems,
) -> Option<Vec<Secret>> {
    let secrets: Vec<Option<Secret>> = raw
        .iter()
        .enumerate()
        .map(|(i, secret)| secret.check(&format!("{key}[{i}]"), problems))
        .collect();
    secrets.into_iter().collect()
}

impl RawSecret {
    pub(super) fn check(&self, key: &str, problems: &mut Problems) -> Option<Secret> {
        let found = match self {
            Self::Value(value) => Ok(value.clone()),
            Self::Env { env } => std::env::var(env)
                .map_err(|_| format!("names the environment variable {env}, which is not set")),
            Self::File { file } => std::fs::read_to_string(file)
                .map(|text| text.trim_end_matches(['\n', '\r']).to_owned())
                .map_err(|error| format!("names the file {file}, which cannot be read: {error}")),
        };
        match found {
            Ok(value) if !value.is_empty() => return Some(Secret::new(value)),
            Ok(_) => problems.add(key, "is empty"),
            Err(message) => problems.add(key, message),
        }
        None
    }
}
