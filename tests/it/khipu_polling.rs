//! How Khipu is polled: at the account's rate, coalesced, and fairly.

use std::time::{Duration, Instant};

use chasqui_tests::deadline::eventually;
use chasqui_tests::fleet::Fleet;
use chasqui_tests::khipu_proxy::KhipuProxy;
use chasqui_tests::testbed::Testbed;
use futures_util::future::join_all;
use redis_processes::{Options, RedisServer};
use serde_json::json;

use crate::return_hop::{hop, visit};

/// `limits.polls_per_second`, which is not set here.
const PER_SECOND: u32 = 10;

#[tokio::test]
async fn a_payer_who_reloads_continuously_does_not_delay_anothers_confirmation() {
    /// Each visit counts once a second: more than the account's rate.
    const RELOADED: usize = 15;
    let testbed = Testbed::start().await;
    let lost = json!({ "notify": { "drop": 1 } });
    testbed.sandbox.set_behaviour(lost).await;
    let mut reloaded = Vec::new();
    for _ in 0..RELOADED {
        let payment = testbed.create(json!({})).await;
        reloaded.push(hop(&testbed, &payment, "return_url").await);
    }
    let payment = testbed.create(json!({})).await;
    let path = hop(&testbed, &payment, "return_url").await;
    let mut page = testbed.watch(&payment).await;
    page.status().await;

    let reloading = async {
        loop {
            join_all(reloaded.iter().map(|path| visit(&testbed, path, "es"))).await;
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let paying = async {
        tokio::time::sleep(Duration::from_secs(3)).await;
        testbed.sandbox.act(&payment.id, "conciliate").await;
        let returned = Instant::now();
        visit(&testbed, &path, "es").await;
        page.until("confirmed").await;
        returned.elapsed()
    };
    let confirmed_after = tokio::select! {
        after = paying => after,
        () = reloading => unreachable!("it goes on for ever"),
    };
    assert!(
        confirmed_after < Duration::from_secs(3),
        "{confirmed_after:?}"
    );
}

/// It was confirmed long ago, so that nothing else polls Khipu.
#[tokio::test]
async fn visits_to_a_confirmed_payment_poll_khipu_once_and_find_a_reversal() {
    let directory = tempfile::tempdir().expect("a directory");
    let database = directory.path().join("chasqui.db");
    let storage = format!("sqlite:{}", database.display());
    let (testbed, khipu_proxy) =
        Testbed::start_with_khipu_proxy(|settings| settings.storage = storage).await;
    let lost = json!({ "notify": { "drop": 1 } });
    testbed.sandbox.set_behaviour(lost).await;
    let payment = testbed.create(json!({})).await;
    let shell = rusqlite::Connection::open(&database).expect("a shell");
    shell
        .execute("UPDATE payment SET status = 1000", [])
        .expect("confirmed");
    testbed.sandbox.act(&payment.id, "conciliate").await;
    join_all((0..20).map(|_| testbed.api.status(&payment))).await;
    eventually("khipu is asked", async || {
        (khipu_proxy.request_count(&payment.id) > 0).then_some(())
    })
    .await;
    assert_eq!(testbed.api.status(&payment).await["status"], "confirmed");
    assert_eq!(khipu_proxy.request_count(&payment.id), 1);

    // Another payment, whose money went back before the visit.
    let reversed = testbed.create(json!({})).await;
    shell
        .execute("UPDATE payment SET status = 1000", [])
        .expect("confirmed");
    for action in ["conciliate", "reverse"] {
        testbed.sandbox.act(&reversed.id, action).await;
    }
    testbed.api.until_status(&reversed, "reversed").await;
    for _ in 0..20 {
        testbed.api.status(&payment).await;
        testbed.api.status(&reversed).await;
    }
    assert_eq!(khipu_proxy.request_count(&payment.id), 1);
    assert_eq!(khipu_proxy.request_count(&reversed.id), 1);
}

async fn unknown(testbed: &Testbed, payment_id: &str) {
    let path = format!("/v1/payments/{payment_id}/status");
    let answer = testbed.api.get(&path).await;
    answer.expect_problem(404, "unknown_payment");
}

#[tokio::test]
async fn a_payment_unknown_to_khipu_is_looked_up_once_for_many_requests() {
    let (testbed, khipu_proxy) = Testbed::start_with_khipu_proxy(|_| {}).await;
    join_all((0..20).map(|_| unknown(&testbed, "unknown00000"))).await;
    for _ in 0..20 {
        unknown(&testbed, "unknown00000").await;
    }
    assert_eq!(khipu_proxy.request_count("unknown00000"), 1);
}

#[tokio::test]
async fn unknown_payments_are_looked_up_at_the_accounts_rate() {
    const UNKNOWN: usize = 40;
    let (testbed, khipu_proxy) = Testbed::start_with_khipu_proxy(|_| {}).await;
    let ids: Vec<_> = (0..UNKNOWN).map(|n| format!("unknown{n:05}")).collect();
    join_all(ids.iter().map(|id| unknown(&testbed, id))).await;
    expect_account_rate(&khipu_proxy, UNKNOWN);
}

#[tokio::test]
async fn khipus_retry_after_pauses_lookups_of_unknown_payments() {
    const PAUSE: Duration = Duration::from_secs(2);
    let (testbed, khipu_proxy) = Testbed::start_with_khipu_proxy(|_| {}).await;
    khipu_proxy.respond_with(429, &[("retry-after", "2")], "{}");
    let refused = testbed.api.get("/v1/payments/unknown00000/status").await;
    refused.expect(503);
    khipu_proxy.forward_again();
    unknown(&testbed, "unknown00001").await;
    let before = khipu_proxy.request_times("unknown00000")[0];
    let after = khipu_proxy.request_times("unknown00001")[0];
    assert!(after - before >= PAUSE, "{:?}", after - before);
}

#[tokio::test]
async fn two_gateways_on_one_redis_share_the_accounts_rate() {
    const PAYMENTS: usize = 80;
    let redis = RedisServer::start(&Options::default()).await;
    let storage = vec![redis.url(); 2];
    let (fleet, khipu_proxy) = Fleet::start_with_khipu_proxy(&storage, |_| {}).await;
    let payments = fleet.create_without_notify_url(PAYMENTS).await;
    // Each visit polls Khipu.
    let visits = payments.iter().enumerate().map(|(n, payment)| {
        let api = &fleet.apis[n % 2];
        async move { api.status(payment).await }
    });
    join_all(visits).await;
    eventually("khipu was asked about each payment", async || {
        let asked = payments.iter().map(|it| khipu_proxy.request_count(&it.id));
        asked.min().filter(|times| *times >= 1)
    })
    .await;
    expect_account_rate(&khipu_proxy, PAYMENTS);
}

/// At least `count` requests were sent, and in no interval more than the rate and one burst allow. What two gateways
/// have reserved ahead may be sent together by a busy machine, and is tolerated.
fn expect_account_rate(khipu_proxy: &KhipuProxy, count: usize) {
    const SQUEEZED: usize = 4;
    let calls = khipu_proxy.requests().into_iter();
    let lookups = calls.filter(|call| call.path.starts_with("/v3/payments/"));
    let mut times: Vec<_> = lookups.map(|call| call.at).collect();
    times.sort_unstable();
    assert!(times.len() >= count, "{} requests", times.len());
    for (first, began) in times.iter().enumerate() {
        for (last, ended) in times.iter().enumerate().skip(first) {
            let earned = (*ended - *began).as_secs_f64() * f64::from(PER_SECOND);
            let asked = last - first + 1;
            let allowed = earned + f64::from(PER_SECOND);
            let asked_for = u32::try_from(asked.saturating_sub(SQUEEZED)).expect("small");
            assert!(
                f64::from(asked_for) <= allowed,
                "{asked} requests in {:?}",
                *ended - *began
            );
        }
    }
}
