//! The keys that sign status tokens.

use std::io;
use std::path::{Path, PathBuf};

use chasqui_payment::Secret;
use rand::RngExt;

use super::error::AppError;
use crate::config::{Config, StorageConfig};
use crate::token::StatusTokens;

/// Signs and verifies status tokens with the keys of an installation.
pub fn status_tokens(config: &Config) -> Result<StatusTokens, AppError> {
    let keys = signing_keys(config)?;
    Ok(StatusTokens::new(&keys, config.server.status_token_ttl))
}

/// The configured keys. Without any, a key is created beside the database, so that tokens outlive a restart.
fn signing_keys(config: &Config) -> Result<Vec<Secret>, AppError> {
    if !config.server.signing_keys.is_empty() {
        return Ok(config.server.signing_keys.clone());
    }
    match &config.storage {
        StorageConfig::Memory => Ok(vec![fresh_key()]),
        StorageConfig::Redis(_) => {
            unreachable!("a configuration with a Redis and no signing keys is refused")
        }
        StorageConfig::File(database) => {
            let path = beside(database);
            let key = kept_key(&path).map_err(|error| AppError::SigningKey { path, error })?;
            Ok(vec![key])
        }
    }
}

fn beside(database: &Path) -> PathBuf {
    let mut path = database.as_os_str().to_owned();
    path.push(".key");
    path.into()
}

fn kept_key(path: &Path) -> io::Result<Secret> {
    use std::io::Write;
    match std::fs::read_to_string(path) {
        Ok(text) if text.trim().len() >= 32 => return Ok(Secret::new(text.trim())),
        Ok(_) => {
            return Err(io::Error::other(
                "it holds no key of 32 bytes or more; remove the file to have a new key made",
            ));
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let key = fresh_key();
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    writeln!(file, "{}", key.expose())?;
    file.sync_all()?;
    // The directory entry must be as durable as the file.
    let directory = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    std::fs::File::open(directory)?.sync_all()?;
    Ok(key)
}

fn fresh_key() -> Secret {
    let mut random = rand::rng();
    Secret::new(
        (0..64)
            .map(|_| char::from(b"0123456789abcdef"[random.random_range(0..16)]))
            .collect::<String>(),
    )
}
