//! The operator's Khipu collection accounts.

use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chasqui_payment::{AccountName, Secret, Timestamp};
use url::{Host, Url};

/// The key sizes that Standard Webhooks allows, in bytes.
const WEBHOOK_KEY_SIZES: RangeInclusive<usize> = 24..=64;

/// A key that signs deliveries.
#[derive(Clone)]
pub struct WebhookSecret(Box<[u8]>);

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidWebhookSecret {
    #[error("must begin with whsec_")]
    Prefix,
    #[error("must be whsec_ and then base64")]
    NotBase64,
    #[error("must hold 24 to 64 bytes: make one with `echo whsec_$(openssl rand -base64 32)`")]
    Size,
}

impl WebhookSecret {
    /// Parses the text form, `whsec_<base64>`.
    pub fn parse(text: &Secret) -> Result<Self, InvalidWebhookSecret> {
        let encoded = text
            .expose()
            .trim()
            .strip_prefix("whsec_")
            .ok_or(InvalidWebhookSecret::Prefix)?;
        let key = STANDARD
            .decode(encoded)
            .map_err(|_| InvalidWebhookSecret::NotBase64)?;
        if WEBHOOK_KEY_SIZES.contains(&key.len()) {
            Ok(Self(key.into()))
        } else {
            Err(InvalidWebhookSecret::Size)
        }
    }

    /// The key itself, which must not reach a log or an error.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for WebhookSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

/// A key of a merchant's back end, and what it may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiKey {
    /// SHA-256.
    pub hash: [u8; 32],
    /// Refused from then on.
    pub expires_at: Option<Timestamp>,
    pub allow: Vec<Permission>,
}

/// A group of operations that an API key may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Permission {
    /// Payments: creating, reading, deleting and confirming them, and what a checkout reads.
    Payments,
    /// Refunds, and the balance that they are paid from.
    Refunds,
    /// Receivers, and operations that this version does not know.
    Other,
}

impl ApiKey {
    /// A key without restrictions in the configuration.
    pub fn unrestricted(hash: [u8; 32]) -> Self {
        Self {
            hash,
            expires_at: None,
            allow: vec![Permission::Payments, Permission::Refunds],
        }
    }
}

/// One Khipu collection account.
#[derive(Debug, Clone)]
pub struct Account {
    pub name: AccountName,
    pub receiver_id: u64,
    /// Authenticates Chasqui to Khipu.
    pub khipu_api_key: Secret,
    /// Keys of Khipu's notification signatures; several while one is being replaced. The first signs deliveries.
    pub khipu_secrets: Vec<Secret>,
    /// They authenticate the merchant's back end.
    pub api_keys: Vec<ApiKey>,
    /// Exact origins (`https://shop.example`) whose pages may watch payments.
    pub allowed_origins: Vec<String>,
    /// Where confirmations of payments without their own notify_url go.
    pub notify_url: Option<String>,
    /// Where every change of a payment's status is sent. It needs `webhook_secrets`.
    pub events_url: Option<String>,
    /// All of them sign; several while one is being replaced.
    pub webhook_secrets: Vec<WebhookSecret>,
    pub return_hop: bool,
    /// Whether the answer to a creation has the status token and URL in its body too.
    pub answer_extras: bool,
    /// Whether deliveries may go to public addresses without encryption.
    pub allow_http_destinations: bool,
    /// Private networks that a notify_url may resolve to.
    pub allow_private_destinations: Vec<ipnet::IpNet>,
}

/// Whether a URL has a user name or a password, which a delivery would reveal.
pub fn has_user_info(url: &Url) -> bool {
    !url.username().is_empty() || url.password().is_some()
}

impl Account {
    /// Whether a delivery to this URL is encrypted or need not be: the account allows http, or the destination is in a listed
    /// network, or both the destination and the gateway are on this machine. A name is accepted where networks are listed;
    /// its addresses are checked when a delivery connects.
    pub fn accepts_scheme(&self, url: &Url, gateway_is_local: bool) -> bool {
        if url.scheme() == "https" || self.allow_http_destinations {
            return true;
        }
        let ip: Option<IpAddr> = match url.host() {
            Some(Host::Ipv4(ip)) => Some(ip.into()),
            Some(Host::Ipv6(ip)) => Some(ip.into()),
            Some(Host::Domain("localhost")) if gateway_is_local => return true,
            Some(Host::Domain(_)) | None => None,
        };
        let networks = &self.allow_private_destinations;
        match ip {
            Some(ip) if ip.is_loopback() && gateway_is_local => true,
            Some(ip) => networks.iter().any(|network| network.contains(&ip)),
            None => !networks.is_empty(),
        }
    }
}

/// All accounts.
#[derive(Debug, Clone)]
pub struct Accounts {
    by_name: HashMap<AccountName, Arc<Account>>,
    by_api_key: HashMap<[u8; 32], (Arc<Account>, ApiKey)>,
}

impl Accounts {
    pub fn new(accounts: impl IntoIterator<Item = Account>) -> Self {
        let mut by_name = HashMap::new();
        let mut by_api_key = HashMap::new();
        for account in accounts {
            let account = Arc::new(account);
            for key in &account.api_keys {
                by_api_key.insert(key.hash, (Arc::clone(&account), key.clone()));
            }
            by_name.insert(account.name.clone(), account);
        }
        Self {
            by_name,
            by_api_key,
        }
    }

    pub fn by_name(&self, name: &AccountName) -> Option<&Arc<Account>> {
        self.by_name.get(name)
    }

    /// The API key with this SHA-256 hash, and its account. The timing of a look-up by hash does not help to guess a key.
    pub fn by_api_key_hash(&self, hash: &[u8; 32]) -> Option<&(Arc<Account>, ApiKey)> {
        self.by_api_key.get(hash)
    }

    pub fn iter(&self) -> impl Iterator<Item = &Arc<Account>> {
        self.by_name.values()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

    #[test]
    fn an_invalid_secret_is_refused_with_its_mistake() {
        let refused =
            |text: &str| WebhookSecret::parse(&Secret::new(text)).expect_err("must be refused");
        assert_eq!(
            refused(KEY.trim_start_matches("whsec_")),
            InvalidWebhookSecret::Prefix
        );
        assert_eq!(refused("whsec_not base64"), InvalidWebhookSecret::NotBase64);
        assert_eq!(refused("whsec_c2hvcnQ="), InvalidWebhookSecret::Size);
        assert_eq!(refused("whsec_"), InvalidWebhookSecret::Size);
    }

    #[test]
    fn a_secret_is_not_shown() {
        assert_eq!(
            format!(
                "{:?}",
                WebhookSecret::parse(&Secret::new(KEY)).expect("secret")
            ),
            "[secret]"
        );
    }
}
