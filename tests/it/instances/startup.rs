//! A gateway that is started before its Redis.

use chasqui_tests::deadline::eventually;
use chasqui_tests::gateway_client::{GatewayClient, HttpResponse};
use chasqui_tests::gateway_process::GatewayProcess;
use chasqui_tests::gateway_settings::GatewaySettings;
use chasqui_tests::in_process_gateway::ready;
use chasqui_tests::notification::{body, signed};
use chasqui_tests::sandbox::Sandbox;
use redis_processes::{Options, RedisServer};
use serde_json::json;

/// A Redis that is not there yet, and a gateway that waits for it.
async fn waiting() -> (Sandbox, RedisServer, GatewayProcess, GatewayClient) {
    let sandbox = Sandbox::start().await;
    let mut redis = RedisServer::start(&Options::default()).await;
    redis.kill();
    let mut settings = GatewaySettings::new(&sandbox.url);
    settings.storage = redis.url();
    let gateway = GatewayProcess::launch(&settings);
    let api = GatewayClient::new(&gateway.url, &settings.accounts[0].api_key);
    eventually("/livez answers", async || {
        let answer = api.try_get("/livez").await?;
        (answer.status == 200).then_some(())
    })
    .await;
    (sandbox, redis, gateway, api)
}

fn expect_starting(answer: HttpResponse) {
    assert_eq!(answer.header("retry-after"), "1");
    answer.expect_problem(503, "starting");
}

#[tokio::test]
async fn while_redis_is_awaited_only_livez_answers_200_and_the_rest_503() {
    let (_sandbox, mut redis, gateway, api) = waiting().await;
    let admin = GatewayClient::new(&gateway.admin_url().await, "");
    for listener in [&api, &admin] {
        listener.get("/livez").await.expect(200);
        let readiness = listener.get("/readyz").await.expect(503);
        assert_eq!(readiness.text().trim(), "starting");
        assert_eq!(readiness.header("retry-after"), "1");
        for path in ["/healthz", "/metrics", "/v3/banks", "/js/chasqui.js", "/"] {
            expect_starting(listener.get(path).await);
        }
    }
    expect_starting(api.post("/v3/payments", "{}").await);
    let notification = body("zfxnocsow6mz", &json!({}));
    expect_starting(api.notify(Some(&signed(&notification)), notification).await);

    redis.restart().await;
    ready(&gateway.url).await;
    // Also on connections that were answered 503.
    api.get("/v3/banks").await.expect(200);
    admin.get("/metrics").await.expect(200);
}

#[tokio::test]
async fn a_gateway_that_waits_for_redis_can_be_stopped() {
    let (_sandbox, _redis, mut gateway, _api) = waiting().await;
    gateway.terminate();
    assert_eq!(gateway.ended().await.code(), Some(0));
}
