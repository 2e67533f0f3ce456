//! The operator's Khipu collection accounts, checked and ready to use.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use crate::payment::AccountName;

/// A text that must never be seen in a log, an error or a debug print.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Box<str>);

impl Secret {
    pub fn new(text: impl Into<Box<str>>) -> Self {
        Self(text.into())
    }

    /// The secret itself. Whoever calls this answers for where it goes.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

/// One Khipu collection account.
#[derive(Debug, Clone)]
pub struct Account {
    pub name: AccountName,
    pub receiver_id: u64,
    /// What Chasqui shows Khipu.
    pub khipu_api_key: Secret,
    /// What Khipu signs its notifications with; several while one is being replaced. The first signs what we re-sign.
    pub khipu_secrets: Vec<Secret>,
    /// SHA-256 of the keys that the merchant's back end shows us.
    pub api_keys: Vec<[u8; 32]>,
    /// Exact origins (`https://shop.example`) whose pages may watch.
    pub allowed_origins: Vec<String>,
    /// Where confirmations go when a payment names no notify_url of its own.
    pub notify_url: Option<String>,
    /// Standard Webhooks secrets, as their `whsec_…` text; every one signs while one is being replaced.
    pub webhook_secrets: Vec<Secret>,
    pub return_hop: bool,
    /// Private networks that a notify_url may lead to; none unless listed.
    pub allow_private_destinations: Vec<ipnet::IpNet>,
}

/// All accounts, by name and by the hash of an API key.
#[derive(Debug, Clone)]
pub struct Accounts {
    by_name: HashMap<AccountName, Arc<Account>>,
    by_key: HashMap<[u8; 32], Arc<Account>>,
}

impl Accounts {
    pub fn new(accounts: impl IntoIterator<Item = Account>) -> Self {
        let mut by_name = HashMap::new();
        let mut by_key = HashMap::new();
        for account in accounts {
            let account = Arc::new(account);
            for hash in &account.api_keys {
                by_key.insert(*hash, Arc::clone(&account));
            }
            by_name.insert(account.name.clone(), account);
        }
        Self { by_name, by_key }
    }

    pub fn named(&self, name: &AccountName) -> Option<&Arc<Account>> {
        self.by_name.get(name)
    }

    /// The account whose key has this SHA-256. A look-up by hash tells an attacker nothing by its timing that helps to
    /// find a key.
    pub fn holding_key(&self, hash: &[u8; 32]) -> Option<&Arc<Account>> {
        self.by_key.get(hash)
    }

    pub fn iter(&self) -> impl Iterator<Item = &Arc<Account>> {
        self.by_name.values()
    }
}
