//! kill -9 of one instance after another, under load.

use std::time::Duration;

use chasqui_tests::fleet::{AT_ONCE, Fleet};
use chasqui_tests::gateway_client::GatewayClient;
use chasqui_tests::load_balancer::LoadBalancer;
use chasqui_tests::reconnecting_watcher::ReconnectingWatcher;
use futures_util::{StreamExt, stream};
use tokio::sync::watch;

use super::redis_for;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_instance_killed_in_turn_under_load_loses_nothing() {
    const PAYMENTS: usize = 1_800;
    /// Payments among these that a reconnecting browser watches.
    const WATCHED: usize = 300;
    /// Response time of the merchant: some attempts are in progress at every kill.
    const RESPONSE_TIME: Duration = Duration::from_millis(100);
    /// A lease, and a margin for a busy machine.
    const LEASE: Duration = Duration::from_secs(60);

    let (_redis, storage) = redis_for(3).await;
    let balancer = LoadBalancer::start().await;
    let mut fleet = Fleet::start_with(&storage, |settings| {
        settings.public_url = Some(balancer.url.clone());
        settings.log = vec!["filter = \"warn\"".into()];
    })
    .await;
    balancer.set_targets(&fleet.urls());
    fleet.merchant.delay_responses(RESPONSE_TIME);
    let payments = fleet.create(PAYMENTS).await;
    let urls = fleet.urls();
    let browsers: Vec<ReconnectingWatcher> =
        stream::iter(payments.iter().take(WATCHED).enumerate())
            .map(|(number, payment)| ReconnectingWatcher::open(urls.clone(), number % 3, payment))
            .buffer_unordered(AT_ONCE)
            .collect()
            .await;

    let accepted = watch::Sender::new(0);
    let api = GatewayClient::new(&balancer.url, &fleet.apis[0].key);
    let notifying = stream::iter(&payments).for_each_concurrent(16, |payment| {
        let (api, accepted) = (&api, &accepted);
        async move {
            api.notify_until_accepted(&payment.id).await;
            accepted.send_modify(|count| *count += 1);
        }
    });
    let gateways = &mut fleet.gateways;
    let killing = async {
        for (number, gateway) in gateways.iter_mut().enumerate() {
            let mut count = accepted.subscribe();
            let share = (number + 1) * PAYMENTS / 4;
            let enough = count.wait_for(|&count| count >= share).await;
            drop(enough.expect("the counter lives"));
            assert!(!gateway.has_ended(), "a gateway died by itself");
            gateway.kill();
            gateway.restart().await;
        }
    };
    tokio::join!(notifying, killing);

    for browser in browsers {
        assert_eq!(browser.ended(Duration::ZERO).await.status, "confirmed");
    }
    for gateway in 0..3 {
        fleet.expect_confirmed(gateway, &payments).await;
    }
    fleet.expect_delivered(&payments, LEASE).await;
}
