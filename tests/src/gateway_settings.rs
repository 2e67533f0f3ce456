//! A gateway's configuration, as the TOML of an operator.

use std::fmt::Write;
use std::net::SocketAddr;

use chasqui::api_key;

/// The account of [`GatewaySettings::new`].
pub const ACCOUNT: &str = "shop";
pub const RECEIVER_ID: u64 = 990_939;
pub const KHIPU_API_KEY: &str = "khipu-api-key-not-real-5d1f";
pub const KHIPU_SECRET: &str = "khipu-secret-not-real-77aa";
pub const SIGNING_KEY: &str = "signing-key-not-real-0123456789abcdef";
/// Standard Webhooks: `whsec_` and base64.
pub const WEBHOOK_SECRET: &str = "whsec_bm90LWEtcmVhbC1zZWNyZXQtMDEyMzQ1Njc4OQ==";
pub const SHOP_ORIGIN: &str = "https://shop.example";

/// Everything but the addresses, which are known when the listeners are bound.
#[derive(Debug, Clone)]
pub struct GatewaySettings {
    /// `storage.url`.
    pub storage: String,
    /// `server.public_url`; `None` is the address that is listened on.
    pub public_url: Option<String>,
    /// `khipu.base_url`.
    pub khipu_url: String,
    pub accounts: Vec<AccountSettings>,
    /// Further lines of `[server]`, `[storage]`, `[khipu]`, `[limits]` and `[log]`.
    pub server: Vec<String>,
    pub storage_more: Vec<String>,
    pub khipu: Vec<String>,
    pub limits: Vec<String>,
    pub log: Vec<String>,
}

#[derive(Debug, Clone)]
pub struct AccountSettings {
    pub name: String,
    pub receiver_id: u64,
    pub khipu_api_key: String,
    pub khipu_secrets: Vec<String>,
    /// The key itself; the configuration gets its hash.
    pub api_key: String,
    /// Further entries of `api_keys`, as TOML.
    pub more_api_keys: Vec<String>,
    pub allowed_origins: Vec<String>,
    pub webhook_secrets: Vec<String>,
    pub allow_private_destinations: Vec<String>,
    /// Further lines of the account.
    pub more: Vec<String>,
}

impl GatewaySettings {
    /// One account at a Khipu, everything in memory.
    pub fn new(khipu_url: &str) -> Self {
        Self {
            storage: "sqlite::memory:".into(),
            public_url: None,
            khipu_url: khipu_url.into(),
            accounts: vec![AccountSettings::new(ACCOUNT)],
            server: Vec::new(),
            storage_more: Vec::new(),
            khipu: Vec::new(),
            limits: Vec::new(),
            log: vec!["filter = \"chasqui=debug\"".into()],
        }
    }

    pub fn account(&mut self) -> &mut AccountSettings {
        &mut self.accounts[0]
    }

    /// The file.
    pub fn to_toml(&self, listen: SocketAddr, admin_listen: SocketAddr) -> String {
        let public_url = self
            .public_url
            .clone()
            .unwrap_or_else(|| format!("http://{listen}"));
        let mut text = format!(
            "[server]\nlisten = \"{listen}\"\nadmin_listen = \"{admin_listen}\"\npublic_url = {public_url:?}\n\
             signing_keys = [{SIGNING_KEY:?}]\n"
        );
        lines(&mut text, &self.server);
        let _ = writeln!(text, "[storage]\nurl = {:?}", self.storage);
        lines(&mut text, &self.storage_more);
        let _ = writeln!(text, "[khipu]\nbase_url = {:?}", self.khipu_url);
        lines(&mut text, &self.khipu);
        text.push_str("[limits]\n");
        lines(&mut text, &self.limits);
        text.push_str("[log]\n");
        lines(&mut text, &self.log);
        for account in &self.accounts {
            account.write(&mut text);
        }
        text
    }
}

impl AccountSettings {
    /// The account of the sandbox that [`Sandbox::start`](crate::sandbox::Sandbox::start) makes, with a key of its own.
    /// Deliveries to this machine are allowed, because that is where a test's merchant is.
    pub fn new(name: &str) -> Self {
        Self {
            name: name.into(),
            receiver_id: RECEIVER_ID,
            khipu_api_key: KHIPU_API_KEY.into(),
            khipu_secrets: vec![KHIPU_SECRET.into()],
            api_key: api_key::generate(),
            more_api_keys: Vec::new(),
            allowed_origins: vec![SHOP_ORIGIN.into()],
            webhook_secrets: vec![WEBHOOK_SECRET.into()],
            allow_private_destinations: vec!["127.0.0.0/8".into()],
            more: Vec::new(),
        }
    }

    /// Adds a key with restrictions, `more` in the form of the configuration: `allow = ["refunds"]`. Returns the key.
    pub fn add_api_key(&mut self, more: &str) -> String {
        let key = api_key::generate();
        let hash = api_key::hash_text(&key);
        self.more_api_keys
            .push(format!("{{ hash = {hash:?}, {more} }}"));
        key
    }

    /// A second account, of another receiver.
    pub fn other() -> Self {
        Self {
            receiver_id: RECEIVER_ID + 1,
            ..Self::new("other")
        }
    }

    fn write(&self, text: &mut String) {
        let mut api_keys = vec![format!("{:?}", api_key::hash_text(&self.api_key))];
        api_keys.extend(self.more_api_keys.iter().cloned());
        let _ = write!(
            text,
            "[[accounts]]\nname = {:?}\nreceiver_id = {}\nkhipu_api_key = {:?}\nkhipu_secrets = {:?}\napi_keys = [{}]\n\
             allowed_origins = {:?}\nwebhook_secrets = {:?}\nallow_private_destinations = {:?}\n",
            self.name,
            self.receiver_id,
            self.khipu_api_key,
            self.khipu_secrets,
            api_keys.join(", "),
            self.allowed_origins,
            self.webhook_secrets,
            self.allow_private_destinations,
        );
        lines(text, &self.more);
    }
}

fn lines(text: &mut String, lines: &[String]) {
    for line in lines {
        text.push_str(line);
        text.push('\n');
    }
}
