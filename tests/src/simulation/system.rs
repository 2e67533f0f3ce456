//! What a simulation runs: gateways behind a balancer, the sandbox and the shops; and the kills.

use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use redis_processes::{Options as RedisOptions, RedisServer};
use tokio::sync::watch;

use super::options::{SimulationOptions, Storage};
use super::payer::Environment;
use super::shops::Shops;
use crate::gateway_client::{GatewayClient, client};
use crate::gateway_process::GatewayProcess;
use crate::gateway_settings::GatewaySettings;
use crate::load_balancer::LoadBalancer;
use crate::sandbox::Sandbox;

/// The longest that a killed gateway stays away.
pub(super) const LONGEST_ABSENCE: Duration = Duration::from_millis(800);

/// All processes and servers.
pub(super) struct System {
    pub(super) gateways: Vec<GatewayProcess>,
    pub(super) environment: Environment,
    /// Dropped last.
    _balancer: LoadBalancer,
    _redis: Option<RedisServer>,
}

impl System {
    pub(super) async fn start(options: &SimulationOptions) -> Self {
        let sandbox = Sandbox::start_with_seed(options.seed).await;
        let shops = Shops::start(options.seed).await;
        let balancer = LoadBalancer::start().await;
        let redis = match options.storage {
            Storage::Sqlite => None,
            Storage::Redis => Some(RedisServer::start(&RedisOptions::default()).await),
        };
        let mut settings = settings(&sandbox.url, &balancer.url);
        if let Some(redis) = &redis {
            settings.storage = redis.url();
        }
        let mut gateways = Vec::new();
        for _ in 0..options.storage.gateways() {
            gateways.push(GatewayProcess::start(&settings).await);
        }
        let urls: Vec<String> = gateways.iter().map(|gateway| gateway.url.clone()).collect();
        balancer.set_targets(&urls);
        let api = GatewayClient::new(&balancer.url, &settings.accounts[0].api_key);
        let environment = Environment {
            sandbox,
            shops,
            api,
            gateways: urls.into(),
            client: client(),
        };
        Self {
            gateways,
            environment,
            _balancer: balancer,
            _redis: redis,
        }
    }
}

/// All clients are on one machine, and one account has all payments.
fn settings(khipu_url: &str, public_url: &str) -> GatewaySettings {
    let mut settings = GatewaySettings::new(khipu_url);
    settings.public_url = Some(public_url.into());
    settings.limits = vec![
        "watchers_per_address = 100000".into(),
        "connections_per_address = 10000".into(),
        "polls_per_second = 1000".into(),
        "polls_in_flight = 256".into(),
        "requests_per_second = 100000".into(),
    ];
    // For the addresses of payers who come back.
    settings.server = vec!["trusted_proxies = [\"127.0.0.0/8\"]".into()];
    settings.log = vec!["filter = \"error\"".into()];
    settings
}

/// SIGKILL, a pause, and a restart on the same port and storage. Returns the time of each kill.
pub(super) async fn kill(
    gateways: &mut [GatewayProcess],
    options: &SimulationOptions,
    completed: &watch::Sender<usize>,
) -> Vec<Instant> {
    let mut rng = StdRng::seed_from_u64(options.seed ^ 0x006b_696c_6c73);
    let mut killed_at = Vec::new();
    for kill in 1..=options.kills {
        let share = kill * options.payments * 2 / (options.kills * 3);
        let mut completed = completed.subscribe();
        let enough = completed.wait_for(|&count| count >= share).await;
        drop(enough.expect("payments live"));
        let which = rng.random_range(0..gateways.len());
        let absence = LONGEST_ABSENCE.mul_f64(rng.random());
        let gateway = &mut gateways[which];
        assert!(!gateway.has_ended(), "a gateway died by itself");
        killed_at.push(Instant::now());
        gateway.kill();
        tokio::time::sleep(absence).await;
        gateway.restart().await;
    }
    killed_at
}
