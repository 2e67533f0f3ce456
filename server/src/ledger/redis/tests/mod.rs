//! The suite on a Redis alone and on a Cluster; beside it what only this implementation promises.

use std::sync::{Arc, OnceLock};

use async_trait::async_trait;
use redis_processes::{AppendOnly, Options, RedisServer};
use tokio::runtime::Handle;
use tokio::task;

use super::*;
use crate::ledger::suite::{Factory, ledger_suite};
use crate::redis::fixture;

/// A Redis for each test, empty for each fresh ledger.
#[derive(Default)]
struct Alone {
    server: OnceLock<RedisServer>,
}

#[async_trait]
impl Factory for Alone {
    async fn fresh(&self) -> Arc<dyn Ledger> {
        let server = self
            .server
            .get_or_init(|| now(RedisServer::start(&options())));
        now(server.command(&["FLUSHALL"]));
        Arc::new(open(&fixture::standalone(server), Clock::Caller).await)
    }

    async fn reopened(&self, ledger: Arc<dyn Ledger>) -> Option<Arc<dyn Ledger>> {
        drop(ledger);
        let server = self.server.get().expect("there was a fresh one");
        Some(Arc::new(
            open(&fixture::standalone(server), Clock::Caller).await,
        ))
    }
}

/// Waits on this thread: what a test's processes are asked by cannot move to another, as a factory's futures must.
fn now<T>(future: impl Future<Output = T>) -> T {
    task::block_in_place(|| Handle::current().block_on(future))
}

/// What a server would do to keep what it holds is its own business.
fn options() -> Options {
    Options::append_only(AppendOnly::No)
}

async fn open(settings: &Settings, clock: Clock) -> RedisLedger {
    let redis = Redis::open(settings).await.expect("reachable");
    let ledger = RedisLedger::open(redis, settings).await.expect("open");
    RedisLedger { clock, ..ledger }
}

ledger_suite!(alone, Alone::default());
