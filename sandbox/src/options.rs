//! The settings of a sandbox.

use std::str::FromStr;
use std::time::Duration;

/// The settings of a sandbox at start; everything else is set through `/sandbox`.
#[derive(Clone, Debug)]
pub struct SandboxOptions {
    /// The key that `/v3` expects in `x-api-key` for the account `default`.
    pub api_key: String,
    /// The secret of the account `default`, which signs its notifications.
    pub secret: String,
    /// The receiver_id of the account `default`.
    pub receiver_id: u64,
    /// More collection accounts. Their names, keys and receiver_ids differ from each other's and from
    /// those of the account `default`.
    pub accounts: Vec<SandboxAccount>,
    /// The names of the accounts that belong to individuals: these charge 50,000 CLP a payment at most.
    pub individuals: Vec<String>,
    /// Base of payment_url and the other URLs, without a trailing slash. `None`: the listener's address.
    pub public_url: Option<String>,
    /// Seeds the behaviour's random decisions. Payment ids do not depend on it.
    pub seed: u64,
    /// The pause after the first failed attempt to notify. It doubles after each, up to 60 s.
    pub retry_first_delay: Duration,
}

/// A collection account. It sees only its own payments under `/v3`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SandboxAccount {
    pub name: String,
    pub receiver_id: u64,
    pub api_key: String,
    /// Signs the account's notifications.
    pub secret: String,
}

impl Default for SandboxOptions {
    fn default() -> Self {
        Self {
            api_key: "sandbox-api-key-not-real".to_owned(),
            secret: "sandbox-secret-not-real".to_owned(),
            receiver_id: 990_939,
            accounts: Vec::new(),
            individuals: Vec::new(),
            public_url: None,
            seed: 0,
            retry_first_delay: Duration::from_secs(1),
        }
    }
}

/// Reads `name:receiver_id:api_key:secret`; only the secret may contain a colon.
impl FromStr for SandboxAccount {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut parts = text.splitn(4, ':');
        let mut part = || {
            let part = parts.next().filter(|part| !part.is_empty());
            part.ok_or("use name:receiver_id:api_key:secret, with no part empty")
        };
        Ok(Self {
            name: part()?.to_owned(),
            receiver_id: part()?
                .parse()
                .map_err(|_| "the second part is the receiver_id: use a number")?,
            api_key: part()?.to_owned(),
            secret: part()?.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_is_read_from_its_four_parts() {
        let account: SandboxAccount = "libros:77:key-1:se:cret".parse().expect("an account");
        assert_eq!((&*account.name, account.receiver_id), ("libros", 77));
        assert_eq!((&*account.api_key, &*account.secret), ("key-1", "se:cret"));
        for text in [
            "",
            "libros",
            "libros:77:key",
            "libros:77::secret",
            ":77:key:secret",
        ] {
            let error = text.parse::<SandboxAccount>().expect_err(text);
            assert!(error.contains("name:receiver_id"), "{text}: {error}");
        }
        let error = "libros:x:key:secret".parse::<SandboxAccount>();
        assert!(error.is_err_and(|error| error.contains("number")));
    }
}
