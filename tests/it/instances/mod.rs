//! Several gateways on one Redis: a change on one is shown by all, and the failure of one, or of Redis, loses nothing. One
//! file for each kind of failure.

mod access;
mod append_only_file;
mod failover;
mod kills;
mod leases;
mod outages;
mod relay;
mod rolling_restart;
mod slow_subscriber;
mod startup;

use std::time::Duration;

use chasqui_tests::gateway_settings::GatewaySettings;
use chasqui_tests::khipu_proxy::KhipuProxy;
use redis_processes::{Options, RedisServer};

/// A Redis that loses at most a second, and the storage URL of so many gateways on it.
async fn redis_for(gateways: usize) -> (RedisServer, Vec<String>) {
    let redis = RedisServer::start(&Options::default()).await;
    let storage = vec![redis.url(); gateways];
    (redis, storage)
}

/// Holds Khipu's answers back, so that a status can only arrive through the relay. The gateway gives a request up after a
/// time that [`patient_with_khipu`] lengthens, and then reads the store; a status shown [`PROMPTLY`] came over the relay.
fn only_the_relay_delivers(khipu_proxy: &KhipuProxy) {
    khipu_proxy.hold_get_responses();
}

/// Sets the longest time-out that the configuration allows.
fn patient_with_khipu(settings: &mut GatewaySettings) {
    settings.khipu.push("timeout = \"30s\"".into());
}

/// Enough for a busy machine, and shorter than the time-out of a held request to Khipu.
const PROMPTLY: Duration = Duration::from_secs(15);

/// A random pause up to `longest`, so that two events coincide in every order.
async fn jitter(longest: Duration) {
    tokio::time::sleep(longest.mul_f64(rand::random())).await;
}
