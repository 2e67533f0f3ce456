//! `chasqui check`: tests the configuration, the storage and each Khipu account without serving.

use chasqui_core::Account;
use chasqui_khipu::{KhipuClient, KhipuError};
use chasqui_store_sqlite::{DatabaseLocation, DatabaseState, SqliteStore};

use super::storage;
use crate::config::{Config, StorageConfig};

/// One line for each part: `Ok` if it works, `Err` with the problem. Never shows a secret.
pub async fn check(config: &Config) -> Vec<Result<String, String>> {
    let mut findings = vec![
        Ok("configuration".to_owned()),
        examine_storage(&config.storage).await,
    ];
    let client = KhipuClient::new(
        config.khipu.base_url.as_str(),
        config.khipu.timeout,
        config.limits.khipu_answer_bytes,
    );
    match client {
        Err(error) => findings.push(Err(format!("cannot set up the HTTP client: {error}"))),
        Ok(client) => {
            for account in config.accounts.iter() {
                findings.push(examine_account(&client, account).await);
            }
        }
    }
    findings
}

/// Calls Khipu with the account's own key, and compares its receiver_id with Khipu's.
async fn examine_account(client: &KhipuClient, account: &Account) -> Result<String, String> {
    let (name, key) = (&account.name, &account.khipu_api_key);
    let banks = client.banks(key).await;
    banks.map_err(|error| match error {
        KhipuError::CredentialsRefused { .. } => {
            format!("account {name}: {error}; correct khipu_api_key")
        }
        error => format!("khipu.base_url, account {name}: {error}"),
    })?;
    let receiver_id = account.receiver_id;
    match client.payment_methods(key, receiver_id).await {
        Ok(_) => Ok(format!(
            "khipu answers account {name}, receiver {receiver_id}"
        )),
        Err(error) if error.is_not_found() => Err(format!(
            "account {name}: khipu has no collection account {receiver_id} for this API key; correct receiver_id"
        )),
        Err(error) => Ok(format!(
            "khipu answers account {name}\nwarning: its receiver_id could not be compared: {error}"
        )),
    }
}

/// Opens the storage, but not a file in use, and not one of an older schema: migrating it would lock out the Chasqui
/// version that uses it.
async fn examine_storage(storage: &StorageConfig) -> Result<String, String> {
    if let StorageConfig::File(path) = storage {
        let location = DatabaseLocation::File(path.clone());
        let condition = SqliteStore::state(&location, &Default::default())
            .map_err(|error| format!("storage.url: {error}"))?;
        match condition {
            DatabaseState::InUse => return Ok("storage is in use by a running chasqui".to_owned()),
            DatabaseState::Older { version, current } => {
                return Ok(format!(
                    "storage can be written to; its schema version is {version}, `chasqui serve` migrates it to {current}"
                ));
            }
            DatabaseState::Ready => {}
        }
    }
    let (opened, findings) = storage::open_now(storage)
        .await
        .map_err(|error| error.to_string())?;
    opened
        .store
        .health_check()
        .await
        .map_err(|error| format!("storage.url: {error}"))?;
    let warnings: String = findings
        .iter()
        .map(|finding| format!("\nwarning: {}", finding.text))
        .collect();
    Ok(format!("storage can be written to{warnings}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn a_file() -> (tempfile::TempDir, StorageConfig, DatabaseLocation) {
        let directory = tempfile::tempdir().expect("directory");
        let path = directory.path().join("chasqui.db");
        (
            directory,
            StorageConfig::File(path.clone()),
            DatabaseLocation::File(path),
        )
    }

    #[tokio::test]
    async fn storage_that_is_free_is_written_to() {
        let (_directory, file, _) = a_file();
        for free in [&file, &file, &StorageConfig::Memory] {
            let finding = examine_storage(free).await;
            assert_eq!(finding.as_deref(), Ok("storage can be written to"));
        }
    }

    #[tokio::test]
    async fn storage_of_a_running_installation_is_fine() {
        let (_directory, file, location) = a_file();
        let _running = SqliteStore::open(&location, &Default::default()).expect("open");
        let finding = examine_storage(&file).await;
        assert_eq!(
            finding.as_deref(),
            Ok("storage is in use by a running chasqui")
        );
    }

    #[tokio::test]
    async fn older_storage_is_told_and_not_migrated() {
        let (_directory, file, location) = a_file();
        drop(SqliteStore::open(&location, &Default::default()).expect("open"));
        let StorageConfig::File(path) = &file else {
            return;
        };
        let version = || {
            let shell = rusqlite::Connection::open(path).expect("shell");
            shell.pragma_query_value(None, "user_version", |row| row.get::<_, i64>(0))
        };
        let shell = rusqlite::Connection::open(path).expect("shell");
        shell
            .pragma_update(None, "user_version", 1)
            .expect("pragma");
        drop(shell);
        let finding = examine_storage(&file).await.expect("fine");
        assert!(finding.contains("schema version is 1"), "{finding}");
        assert_eq!(version(), Ok(1));
    }

    #[tokio::test]
    async fn storage_that_cannot_be_is_a_problem() {
        let problem = examine_storage(&StorageConfig::File("absent/chasqui.db".into())).await;
        let problem = problem.expect_err("no directory");
        assert!(problem.starts_with("storage.url"), "{problem}");
    }
}
