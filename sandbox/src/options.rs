//! The settings of a sandbox.

use std::time::Duration;

/// The settings of a sandbox at start; everything else is set through `/sandbox`.
#[derive(Clone, Debug)]
pub struct SandboxOptions {
    /// The key that `/v3` expects in `x-api-key`.
    pub api_key: String,
    /// The collection account's secret, which signs notifications.
    pub secret: String,
    /// The collection account.
    pub receiver_id: u64,
    /// Base of payment_url and the other URLs, without a trailing slash. `None`: the listener's address.
    pub public_url: Option<String>,
    /// Seeds the behaviour's random decisions. Payment ids do not depend on it.
    pub seed: u64,
    /// The pause after the first failed attempt to notify. It doubles after each, up to 60 s.
    pub retry_first_delay: Duration,
}

impl Default for SandboxOptions {
    fn default() -> Self {
        Self {
            api_key: "sandbox-api-key-not-real".to_owned(),
            secret: "sandbox-secret-not-real".to_owned(),
            receiver_id: 990_939,
            public_url: None,
            seed: 0,
            retry_first_delay: Duration::from_secs(1),
        }
    }
}
