//! Scenarios that must end the same on SQLite and on Redis.

/// Runs each named function of the module as one test for each store. Its argument is what the module's `start` makes of a
/// storage URL; `None` is SQLite in memory.
macro_rules! on_both_stores {
    ($($scenario:ident)*) => {
        mod sqlite {
            $(#[tokio::test] async fn $scenario() {
                super::$scenario(super::start(None).await).await;
            })*
        }
        mod redis {
            use redis_processes::{Options, RedisServer};
            $(#[tokio::test] async fn $scenario() {
                let redis = RedisServer::start(&Options::default()).await;
                super::$scenario(super::start(Some(redis.url())).await).await;
            })*
        }
    };
}
pub(crate) use on_both_stores;
