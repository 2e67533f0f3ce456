//! Runs gateway, sandbox and shop, each with only the settings that it needs. They use HTTP on three ports, as they
//! would on three machines. Every start creates new keys.

use std::error::Error;
use std::pin::pin;

use rand::distr::{Alphanumeric, SampleString};
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::shop::{self, ShopConfig};

const RECEIVER_ID: u64 = 990_939;
const SECRET_LENGTH: usize = 40;

pub(crate) struct DemoListeners {
    pub(crate) gateway: TcpListener,
    pub(crate) sandbox: TcpListener,
    pub(crate) shop: TcpListener,
    pub(crate) admin: TcpListener,
}

/// URLs without a trailing slash.
pub(crate) struct Urls {
    pub(crate) gateway: String,
    pub(crate) sandbox: String,
    pub(crate) shop: String,
    pub(crate) admin: String,
}

/// The shop has the merchant key and the account's secret, the gateway that key's hash and both of Khipu's values,
/// the sandbox Khipu's values only.
struct DemoKeys {
    merchant_key: String,
    khipu_api_key: String,
    khipu_secret: String,
}

impl DemoKeys {
    fn fresh() -> Self {
        let random = || Alphanumeric.sample_string(&mut rand::rng(), SECRET_LENGTH);
        Self {
            merchant_key: chasqui::api_key::generate(),
            khipu_api_key: random(),
            khipu_secret: random(),
        }
    }
}

/// Runs the three until `shutdown` completes or one of them fails, which ends the others.
pub(crate) async fn run(
    urls: &Urls,
    listeners: DemoListeners,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> Result<(), Box<dyn Error>> {
    let keys = DemoKeys::fresh();
    let (stop, stopped) = watch::channel(());
    let stopping = || {
        let mut stopped = stopped.clone();
        // An error means that `stop` was dropped, which also stops the part.
        async move { drop(stopped.changed().await) }
    };

    let config = chasqui::config::Config::from_toml(&gateway_toml(urls, &keys))?;
    let doors = chasqui::app::Listeners {
        public: listeners.gateway,
        admin: listeners.admin,
    };
    let gateway = chasqui::app::run(config, doors, stopping());
    let options = khipu_sandbox::SandboxOptions {
        api_key: keys.khipu_api_key.clone(),
        secret: keys.khipu_secret.clone(),
        receiver_id: RECEIVER_ID,
        public_url: Some(urls.sandbox.clone()),
        ..khipu_sandbox::SandboxOptions::default()
    };
    let sandbox = khipu_sandbox::run(options, listeners.sandbox, stopping());
    let shop = shop::run(shop_config(urls, &keys), listeners.shop, stopping());

    let all = async {
        tokio::try_join!(
            async { gateway.await.map_err(Box::<dyn Error>::from) },
            async { sandbox.await.map_err(Box::<dyn Error>::from) },
            async { shop.await.map_err(Box::<dyn Error>::from) },
        )
    };
    let mut all = pin!(all);
    let ended = tokio::select! {
        ended = &mut all => ended,
        () = shutdown => {
            drop(stop);
            all.await
        }
    };
    ended.map(drop)
}

fn shop_config(urls: &Urls, keys: &DemoKeys) -> ShopConfig {
    ShopConfig {
        public_url: urls.shop.clone(),
        gateway_url: urls.gateway.clone(),
        bank_url: urls.sandbox.clone(),
        api_key: keys.merchant_key.clone(),
        khipu_secret: keys.khipu_secret.clone(),
    }
}

/// A configuration file for an account whose webhook is on this machine.
fn gateway_toml(urls: &Urls, keys: &DemoKeys) -> String {
    let Urls {
        gateway,
        sandbox,
        shop,
        ..
    } = urls;
    let DemoKeys {
        khipu_api_key,
        khipu_secret,
        ..
    } = keys;
    let merchant_key_hash = chasqui::api_key::hash_text(&keys.merchant_key);
    format!(
        r#"
[server]
public_url = "{gateway}"

[storage]
url = "sqlite::memory:"

[khipu]
base_url = "{sandbox}"

[[accounts]]
name = "shop"
receiver_id = {RECEIVER_ID}
khipu_api_key = "{khipu_api_key}"
khipu_secrets = ["{khipu_secret}"]
api_keys = ["{merchant_key_hash}"]
allowed_origins = ["{shop}"]
allow_private_destinations = ["127.0.0.0/8", "::1/128"]
"#
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gateway_knows_only_the_hash_of_the_merchants_key() {
        let urls = Urls {
            gateway: "http://127.0.0.1:1".to_owned(),
            sandbox: "http://127.0.0.1:2".to_owned(),
            shop: "http://127.0.0.1:3".to_owned(),
            admin: "http://127.0.0.1:4".to_owned(),
        };
        let mut keys = DemoKeys::fresh();
        keys.merchant_key = "abc".to_owned();
        let toml = gateway_toml(&urls, &keys);
        // The test vector of FIPS 180-2.
        assert!(
            toml.contains(
                "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
            )
        );
        assert!(toml.contains(r#"allowed_origins = ["http://127.0.0.1:3"]"#));
        assert!(!toml.contains(r#""abc""#));
    }
}
