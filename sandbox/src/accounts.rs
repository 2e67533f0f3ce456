//! The collection accounts: which one a key belongs to, and which one holds a payment.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::options::{SandboxAccount, SandboxOptions};

/// The name of the account that `--api-key`, `--secret` and `--receiver-id` describe.
const DEFAULT_NAME: &str = "default";

/// At least one account; names, keys and receiver_ids are unique.
#[derive(Debug)]
pub(crate) struct SandboxAccounts {
    all: Vec<Arc<SandboxAccount>>,
    /// Names.
    individuals: BTreeSet<String>,
}

impl SandboxAccounts {
    /// The account `default` first. The error names the value that two accounts share, or an unknown name.
    pub(crate) fn new(options: &SandboxOptions) -> Result<Self, String> {
        let default = SandboxAccount {
            name: DEFAULT_NAME.to_owned(),
            receiver_id: options.receiver_id,
            api_key: options.api_key.clone(),
            secret: options.secret.clone(),
        };
        let mut accounts = vec![Arc::new(default)];
        accounts.extend(options.accounts.iter().cloned().map(Arc::new));
        let mut seen = BTreeSet::new();
        for account in &accounts {
            for (part, value) in [
                ("the name", account.name.clone()),
                ("the receiver_id", account.receiver_id.to_string()),
                ("the API key", account.api_key.clone()),
            ] {
                if !seen.insert((part, value)) {
                    return Err(format!(
                        "{part} of the account {} is another account's: use a different one",
                        account.name
                    ));
                }
            }
        }
        let individuals: BTreeSet<_> = options.individuals.iter().cloned().collect();
        let is_account = |name: &str| accounts.iter().any(|account| account.name == name);
        if let Some(name) = individuals.iter().find(|name| !is_account(name)) {
            return Err(format!(
                "there is no account {name}: add it, or name another"
            ));
        }
        Ok(Self {
            all: accounts,
            individuals,
        })
    }

    /// The account `default` first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &SandboxAccount> {
        self.all.iter().map(|account| &**account)
    }

    pub(crate) fn by_key(&self, api_key: &[u8]) -> Option<&Arc<SandboxAccount>> {
        let mut accounts = self.all.iter();
        accounts.find(|account| account.api_key.as_bytes() == api_key)
    }

    pub(crate) fn by_receiver_id(&self, receiver_id: u64) -> Option<&Arc<SandboxAccount>> {
        let mut accounts = self.all.iter();
        accounts.find(|account| account.receiver_id == receiver_id)
    }

    pub(crate) fn is_individual(&self, account: &SandboxAccount) -> bool {
        self.individuals.contains(&account.name)
    }
}
