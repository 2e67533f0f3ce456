//! At start: whether Khipu accepts each account's API key. Nothing waits for it.

use chasqui_core::Accounts;
use chasqui_khipu::{KhipuClient, KhipuError};
use tokio::task::JoinSet;

/// Calls Khipu once for each account, and warns where it refuses the account's key. The calls end with the returned set.
pub(super) fn warn_of_refused_keys(khipu: &KhipuClient, accounts: &Accounts) -> JoinSet<()> {
    let mut calls = JoinSet::new();
    for account in accounts.iter() {
        let (khipu, name) = (khipu.clone(), account.name.clone());
        let key = account.khipu_api_key.clone();
        calls.spawn(async move {
            match khipu.banks(&key).await {
                Ok(_) => {}
                Err(error @ KhipuError::CredentialsRefused { .. }) => {
                    tracing::warn!(account = %name, %error, "khipu refuses the account's API key, so its payments cannot be created or read; correct khipu_api_key and restart");
                }
                // It may pass, and says nothing about the key.
                Err(error) => {
                    tracing::debug!(account = %name, %error, "the account's API key could not be checked");
                }
            }
        });
    }
    calls
}
