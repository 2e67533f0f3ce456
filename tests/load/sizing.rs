//! What payments and their watchers take of a Redis: memory as it reports it, and bytes of its append-only file.
//!
//! It starts a Redis, one gateway, the sandbox, and a merchant that accepts every delivery. Each phase ends once Redis's
//! memory has settled, so that the difference is what the phase cost.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use axum::Router;
use axum::routing::post;
use clap::Args;
use redis_processes::{AppendOnly, Options as RedisOptions, RedisServer};
use tokio::net::TcpListener;

use crate::failure::Failure;
use crate::idle::progress;
use crate::installation::{Installation, InstallationOptions, ProgramPaths};
use crate::report::{self, Machine, rounded};
use crate::watcher_pool::WatcherPool;

/// Memory has settled after this many readings in a row…
const STEADY_LOOKS: u32 = 4;
const LOOK: Duration = Duration::from_millis(500);
/// …that differ by no more than this.
const STEADY_BYTES: u64 = 64 * 1024;
const SETTLE_DEADLINE: Duration = Duration::from_secs(60);

const DELIVERED_WITHIN: Duration = Duration::from_secs(300);

#[derive(Debug, Args)]
pub(crate) struct SizingOptions {
    /// How many payments are created, watched, confirmed and delivered.
    #[arg(long, value_name = "N")]
    payments: usize,
    /// A further line of redis.conf.
    #[arg(long, value_name = "LINE")]
    redis_setting: Vec<String>,
    #[command(flatten)]
    programs: ProgramPaths,
}

pub(crate) async fn measure(options: &SizingOptions) -> Result<report::Sizing, Failure> {
    let machine = Machine::here();
    let payments = options.payments;
    let always = RedisOptions::append_only(AppendOnly::Always);
    let settings = options.redis_setting.iter();
    let redis = RedisServer::start(&settings.fold(always, |all, line| all.with(line))).await;
    let merchant = Merchant::start().await?;
    let setup = InstallationOptions {
        watchers: payments,
        per_payment: 1,
        storage: Some(&redis.url()),
        notify_url: Some(&merchant.url),
    };
    let installation = Installation::start(&options.programs, &setup).await?;
    let empty = settled(&redis).await?;
    let log_empty = number(&redis, "persistence", "aof_current_size").await?;

    progress(format_args!("creating {payments} payments"));
    let created = installation.create_payments(payments).await?;
    let open = settled(&redis).await?;

    progress(format_args!("watching them"));
    let pool = WatcherPool::connect(installation.address, &created, payments).await;
    if pool.connected() < payments {
        let failure = pool.first_failure().unwrap_or_default();
        return Err(format!("not all watchers could connect: {failure}").into());
    }
    let watched = settled(&redis).await?;
    drop(pool);

    progress(format_args!("confirming them"));
    installation.pay(&created).await?;
    let started = Instant::now();
    while merchant.deliveries.load(Ordering::Relaxed) < payments {
        if started.elapsed() > DELIVERED_WITHIN {
            return Err("not everything was delivered".into());
        }
        tokio::time::sleep(LOOK).await;
    }
    let delivered = settled(&redis).await?;
    let log_delivered = number(&redis, "persistence", "aof_current_size").await?;
    erase_raw(&redis).await?;
    let without_raw = settled(&redis).await?;

    let each =
        |bytes: u64, before: u64| rounded((bytes as f64 - before as f64) / payments as f64, 1);
    Ok(report::Sizing {
        gateway: installation.version.clone(),
        redis: field(&redis, "server", "redis_version").await?,
        measured_at: jiff::Timestamp::now().to_string(),
        machine,
        payments,
        empty_bytes: empty,
        bytes_per_open_payment: each(open, empty),
        bytes_per_watched_channel: each(watched, open),
        bytes_per_delivered_payment: each(delivered, empty),
        bytes_per_delivered_payment_without_raw: each(without_raw, empty),
        append_only_file_bytes_per_delivered_payment: each(log_delivered, log_empty),
    })
}

/// Answers every delivery with 200 and counts.
struct Merchant {
    url: String,
    deliveries: Arc<AtomicUsize>,
}

impl Merchant {
    async fn start() -> Result<Self, Failure> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}/khipu", listener.local_addr()?);
        let deliveries = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&deliveries);
        let router = Router::new().route(
            "/khipu",
            post(move || async move {
                counted.fetch_add(1, Ordering::Relaxed);
            }),
        );
        tokio::spawn(async move { axum::serve(listener, router).await });
        Ok(Self { url, deliveries })
    }
}

/// Used memory, once it has settled.
async fn settled(redis: &RedisServer) -> Result<u64, Failure> {
    let started = Instant::now();
    let mut last = 0u64;
    let mut steady = 0;
    while steady < STEADY_LOOKS && started.elapsed() < SETTLE_DEADLINE {
        tokio::time::sleep(LOOK).await;
        let now = number(redis, "memory", "used_memory").await?;
        steady = match now.abs_diff(last) <= STEADY_BYTES {
            true => steady + 1,
            false => 0,
        };
        last = now;
    }
    Ok(last)
}

/// Deletes all raw notifications at once, as their retention does over time.
async fn erase_raw(redis: &RedisServer) -> Result<(), Failure> {
    let keys: Vec<String> = redis.try_ask(&["KEYS", "chasqui:*:raw:*"]).await?;
    for some in keys.chunks(1000) {
        let mut words = vec!["DEL"];
        words.extend(some.iter().map(String::as_str));
        let _: u64 = redis.try_ask(&words).await?;
    }
    Ok(())
}

async fn number(redis: &RedisServer, section: &str, name: &str) -> Result<u64, Failure> {
    Ok(field(redis, section, name).await?.parse()?)
}

/// The value of `name` in a section of Redis's INFO.
async fn field(redis: &RedisServer, section: &str, name: &str) -> Result<String, Failure> {
    let info: String = redis.try_ask(&["INFO", section]).await?;
    info.lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
        .map(|value| value.trim().to_owned())
        .ok_or_else(|| format!("INFO has no {name}").into())
}
