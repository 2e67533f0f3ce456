//! `[[accounts]]`: the operator's Khipu collection accounts.

mod api_keys;

use std::sync::Arc;

use chasqui_core::{Account, Accounts, ApiKey, WebhookSecret, has_user_info};
use chasqui_payment::AccountName;
use serde::Deserialize;
use url::Url;

use super::network::{check_networks, check_public_url};
use super::problem::{ConfigProblem, Problems};
use super::secret::{RawSecret, check_secrets};

#[derive(Debug, Deserialize)]
pub(super) struct RawAccount {
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    receiver_id: Option<u64>,
    #[serde(default)]
    khipu_api_key: Option<RawSecret>,
    #[serde(default)]
    khipu_secrets: Option<Vec<RawSecret>>,
    #[serde(default)]
    api_keys: Vec<toml::Value>,
    #[serde(default)]
    allowed_origins: Vec<String>,
    #[serde(default)]
    notify_url: Option<String>,
    #[serde(default)]
    events_url: Option<String>,
    #[serde(default)]
    webhook_secrets: Vec<RawSecret>,
    #[serde(default = "default_return_hop")]
    return_hop: bool,
    #[serde(default)]
    answer_extras: bool,
    #[serde(default)]
    allow_http_destinations: bool,
    #[serde(default)]
    allow_private_destinations: Vec<String>,
}

fn default_return_hop() -> bool {
    true
}

pub(super) fn check(raw: &[RawAccount], problems: &mut Problems) -> Option<Accounts> {
    if raw.is_empty() {
        problems.add_missing(
            "accounts",
            "is empty; add at least one Khipu collection account under [[accounts]]",
        );
    }
    let checked: Vec<Option<Account>> = raw
        .iter()
        .enumerate()
        .map(|(i, account)| account.check(i, problems))
        .collect();
    let accounts: Vec<Account> = checked.into_iter().collect::<Option<_>>()?;
    for (i, account) in accounts.iter().enumerate() {
        let earlier = &accounts[..i];
        if earlier.iter().any(|other| other.name == account.name) {
            problems.add(
                format!("accounts[{i}].name"),
                "is also the name of an earlier account",
            );
        }
        if let Some(other) = earlier
            .iter()
            .find(|other| other.receiver_id == account.receiver_id)
        {
            problems.add(
                format!("accounts[{i}].receiver_id"),
                format!(
                    "is the same for {} and {}: remove one of the two accounts, or correct its receiver_id",
                    other.name, account.name
                ),
            );
        }
        if account.api_keys.iter().any(|key| has_key(earlier, key)) {
            problems.add(
                format!("accounts[{i}].api_keys"),
                "holds a key of an earlier account; give each account its own keys",
            );
        }
    }
    Some(Accounts::new(accounts))
}

fn has_key(accounts: &[Account], key: &ApiKey) -> bool {
    let mut keys = accounts.iter().flat_map(|account| &account.api_keys);
    keys.any(|other| other.hash == key.hash)
}

impl RawAccount {
    fn check(&self, index: usize, problems: &mut Problems) -> Option<Account> {
        let key = |name: &str| format!("accounts[{index}].{name}");
        let name = match &self.name {
            Some(text) => {
                let name = AccountName::parse(text).ok();
                if name.is_none() {
                    problems.add(
                        key("name"),
                        "must be 1 to 64 letters, digits, - or _: it is part of the webhook's URL",
                    );
                }
                name
            }
            None => {
                problems.add_missing(&key("name"), "is missing; name the account");
                None
            }
        };
        if self.receiver_id.is_none() {
            let message = "is missing; it is the id of the collection account in Khipu's panel";
            problems.add_missing(&key("receiver_id"), message);
        }
        let khipu_api_key = match &self.khipu_api_key {
            Some(raw) => raw.check(&key("khipu_api_key"), problems),
            None => {
                let message = "is missing; it is the collection account's API key in Khipu's panel";
                problems.add_missing(&key("khipu_api_key"), message);
                None
            }
        };
        let raw_secrets = self.khipu_secrets.as_deref().unwrap_or_default();
        let khipu_secrets = check_secrets(&key("khipu_secrets"), raw_secrets, problems);
        if raw_secrets.is_empty() {
            problems.add_missing(
                &key("khipu_secrets"),
                "is empty; without the account's secret no notification can be verified",
            );
        }
        if let (Some(api_key), Some(secrets)) = (&khipu_api_key, &khipu_secrets)
            && secrets.contains(api_key)
        {
            problems.add(key("khipu_secrets"), "holds the API key; notifications are signed with the account's secret (\"llave secreta\")");
        }
        let api_keys = api_keys::check(&key("api_keys"), &self.api_keys, problems);
        self.check_origins(&key("allowed_origins"), problems);
        let webhook_secrets = self.check_webhook_secrets(&key("webhook_secrets"), problems);
        if self.events_url.is_some() && self.webhook_secrets.is_empty() {
            problems.add(key("webhook_secrets"), "is empty, and events are signed with it: events_url needs one; make it with `echo whsec_$(openssl rand -base64 32)`");
        }
        let networks = check_networks(
            &key("allow_private_destinations"),
            &self.allow_private_destinations,
            problems,
        );
        Some(Account {
            name: name?,
            receiver_id: self.receiver_id?,
            khipu_api_key: khipu_api_key?,
            khipu_secrets: khipu_secrets?,
            api_keys,
            allowed_origins: self.allowed_origins.clone(),
            notify_url: self.notify_url.clone(),
            events_url: self.events_url.clone(),
            webhook_secrets: webhook_secrets?,
            return_hop: self.return_hop,
            answer_extras: self.answer_extras,
            allow_http_destinations: self.allow_http_destinations,
            allow_private_destinations: networks,
        })
    }

    /// The account's own notify_url and events_url, which need what the rest of the configuration says.
    pub(super) fn check_destinations(
        &self,
        index: usize,
        accounts: &Accounts,
        gateway_is_local: bool,
        problems: &mut Problems,
    ) {
        let name = self.name.as_deref().map(AccountName::parse);
        let Some(Ok(name)) = name else {
            return;
        };
        let account = accounts.by_name(&name);
        let urls = [
            ("notify_url", &self.notify_url),
            ("events_url", &self.events_url),
        ];
        for (name, text) in urls {
            let Some(text) = text else {
                continue;
            };
            let key = format!("accounts[{index}].{name}");
            match Url::parse(text) {
                Ok(url) if has_user_info(&url) => {
                    problems.add(key, "must not carry a user name or password");
                }
                Ok(url) if matches!(url.scheme(), "http" | "https") && url.host().is_some() => {
                    let accepts =
                        |account: &Arc<Account>| account.accepts_scheme(&url, gateway_is_local);
                    if !account.is_none_or(accepts) {
                        problems.add(key, "must be https: what is sent is confidential; allow_http_destinations = true permits http");
                    }
                }
                _ => problems.add(key, "must be an http or https URL"),
            }
        }
    }

    /// What is allowed, but leaves the account of little use.
    pub(super) fn warnings(&self, index: usize) -> Vec<ConfigProblem> {
        let key = |name: &str| format!("accounts[{index}].{name}");
        let mut warnings = Vec::new();
        if self.api_keys.is_empty() {
            let message =
                "is empty, so no back end can create payments; make a key with `chasqui keys new`";
            warnings.push(ConfigProblem::new(key("api_keys"), message));
        }
        if self.allowed_origins.is_empty() {
            let message =
                "is empty, so no page of the shop can watch its payments; list the shop's origins";
            warnings.push(ConfigProblem::new(key("allowed_origins"), message));
        }
        warnings
    }

    fn check_webhook_secrets(
        &self,
        key: &str,
        problems: &mut Problems,
    ) -> Option<Vec<WebhookSecret>> {
        let texts = check_secrets(key, &self.webhook_secrets, problems)?;
        let secrets = texts.iter().enumerate().filter_map(|(i, text)| {
            WebhookSecret::parse(text)
                .map_err(|error| problems.add(format!("{key}[{i}]"), error.to_string()))
                .ok()
        });
        Some(secrets.collect())
    }

    fn check_origins(&self, key: &str, problems: &mut Problems) {
        for (i, text) in self.allowed_origins.iter().enumerate() {
            let key = format!("{key}[{i}]");
            let url = check_public_url(&key, text, problems);
            if let Some(origin) = url.map(|url| url.origin().ascii_serialization())
                && origin != *text
            {
                let message = format!("must be an origin as browsers send it: {origin}");
                problems.add(key, message);
            }
        }
    }
}

#[cfg(test)]
mod tests;
