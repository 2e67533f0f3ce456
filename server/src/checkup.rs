//! `chasqui check`: whether an installation could work, part by part, before it has to.

use crate::app;
use crate::config::Config;
use crate::khipu;

/// What is fine and what is not, each in one line for people. Never shows a secret.
pub async fn examine(config: &Config) -> Vec<Result<String, String>> {
    let mut findings = vec![Ok("configuration".to_owned()), storage(config).await];
    match khipu::Client::new(&config.khipu, config.limits.khipu_answer_bytes) {
        Err(error) => findings.push(Err(format!("the http client cannot be set up: {error}"))),
        Ok(client) => {
            for account in config.accounts.iter() {
                findings.push(match client.banks(account).await {
                    Ok(_) => Ok(format!("khipu answers account {}", account.name)),
                    Err(error) => Err(format!("khipu.base_url, account {}: {error}", account.name)),
                });
            }
        }
    }
    findings
}

async fn storage(config: &Config) -> Result<String, String> {
    let ledger = app::open_ledger(&config.storage).map_err(|error| error.to_string())?;
    ledger
        .ready()
        .await
        .map_err(|error| format!("storage.url: {error}"))?;
    Ok("storage can be written to".to_owned())
}
