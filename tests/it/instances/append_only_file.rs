//! Redis is killed before it has written everything: what its append-only file keeps, and how the rest is recovered.

use std::time::Duration;

use chasqui_tests::deadline::eventually;
use chasqui_tests::fleet::{AT_ONCE, Fleet};
use chasqui_tests::gateway_client::TestPayment;
use futures_util::{StreamExt, stream};
use redis_processes::{AppendOnly, Options, RedisServer};
use serde_json::json;
use tokio::sync::watch;

const PAYMENTS: usize = 5_000;

/// Without rewrites: the append-only file only grows.
fn options(append_only: AppendOnly) -> Options {
    Options::append_only(append_only).with("auto-aof-rewrite-percentage 0")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_five_thousand_notifications_none_that_was_answered_200_is_lost_by_kills_of_redis() {
    const KILL_EVERY: usize = 1_250;
    let mut redis = RedisServer::start(&options(AppendOnly::Always)).await;
    let fleet = Fleet::start_with(&[redis.url(), redis.url()], |settings| {
        settings.log = vec!["filter = \"off\"".into()];
    })
    .await;
    let payments = fleet.create_without_notify_url(PAYMENTS).await;
    let accepted = watch::Sender::new(0);
    let sending = stream::iter(payments.iter().enumerate()).for_each_concurrent(
        AT_ONCE,
        |(number, payment)| {
            let (api, accepted) = (&fleet.apis[number % 2], &accepted);
            async move {
                api.notify_until_accepted(&payment.id).await;
                accepted.send_modify(|count| *count += 1);
            }
        },
    );
    let killing = async {
        for kill in 1..=PAYMENTS / KILL_EVERY {
            // The last kill comes right after the last 200.
            let mut count = accepted.subscribe();
            let enough = count.wait_for(|&count| count >= kill * KILL_EVERY).await;
            drop(enough.expect("the counter lives"));
            redis.kill();
            redis.restart().await;
        }
    };
    tokio::join!(sending, killing);
    eventually("the gateways are back", async || {
        let health = fleet.apis[0].try_get("/healthz").await?;
        (health.status == 200).then_some(())
    })
    .await;
    fleet.expect_confirmed(0, &payments).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_redis_lost_is_recovered_as_soon_as_it_is_watched_returned_to_or_asked_for() {
    /// Payments of each kind that are compared afterwards.
    const SAMPLE: usize = 20;
    let mut redis = RedisServer::start(&options(AppendOnly::EverySecond)).await;
    let mut fleet = Fleet::start_with(&[redis.url(), redis.url()], |settings| {
        settings.limits.push("polls_per_second = 100".into());
        settings.log = vec!["filter = \"off\"".into()];
    })
    .await;
    // Khipu's own notifications are lost; the test sends them.
    let silence = json!({ "notify": { "drop": 1 } });
    fleet.sandbox.set_behaviour(silence).await;
    let looked_at = fleet.create(3 * SAMPLE).await;
    let others = fleet
        .create_without_notify_url(PAYMENTS - looked_at.len())
        .await;
    let return_paths = fleet.return_paths().await;
    let before = redis.written();

    for payments in [&looked_at, &others] {
        conciliate_all(&fleet, payments).await;
        fleet.notify_all(0, payments).await;
    }
    fleet.expect_delivered(&looked_at, Duration::ZERO).await;
    // More than a second's worth, as when a disk fails too: every notification is forgotten.
    redis.kill();
    redis.forget_after(before);
    redis.restart().await;
    let _ = fleet.merchant.drain();

    let (found, asked) = looked_at.split_at(2 * SAMPLE);
    let (watched, returned) = found.split_at(SAMPLE);
    eventually("the gateways are back", async || {
        let health = fleet.apis[1].try_get("/healthz").await?;
        (health.status == 200).then_some(())
    })
    .await;
    let first = fleet.apis[1].status(&others[0]).await;
    assert_eq!(first["status"], "pending", "it was not forgotten");

    for payment in watched {
        let mut watcher = fleet.watch(1, payment).await;
        watcher.until("confirmed").await;
    }
    for payment in returned {
        let page = fleet.apis[1].try_get(&return_paths[&payment.id]).await;
        page.expect("an answer").expect(200);
    }
    // The latter have no watchers and no requests: their payers' returns find them.
    fleet.expect_delivered(found, Duration::ZERO).await;
    for payment in asked {
        fleet.apis[1].until_status(payment, "confirmed").await;
    }
    fleet.expect_delivered(asked, Duration::ZERO).await;
    fleet.expect_confirmed(0, &looked_at).await;
}

async fn conciliate_all(fleet: &Fleet, payments: &[TestPayment]) {
    stream::iter(payments)
        .for_each_concurrent(AT_ONCE, |payment| {
            fleet.sandbox.act(&payment.id, "conciliate")
        })
        .await;
}
