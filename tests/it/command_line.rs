//! `chasqui`: the output and exit status of each command.

use std::path::Path;
use std::process::{Command, Output};

use chasqui::api_key;
use chasqui_tests::deadline::eventually;
use chasqui_tests::gateway_client::{GatewayClient, TestPayment};
use chasqui_tests::gateway_process::GatewayProcess;
use chasqui_tests::gateway_settings::{
    GatewaySettings, KHIPU_API_KEY, KHIPU_SECRET, SIGNING_KEY, WEBHOOK_SECRET,
};
use chasqui_tests::program::chasqui;
use chasqui_tests::sandbox::Sandbox;
use chasqui_tests::webhook_receiver::WebhookReceiver;
use chasqui_tests::websocket_watcher::WebSocketWatcher;
use serde_json::json;
use tempfile::TempDir;

const ANY_PORT: ([u8; 4], u16) = ([127, 0, 0, 1], 0);

/// A directory with `chasqui.toml` in it.
fn directory(toml: &str) -> TempDir {
    let directory = tempfile::tempdir().expect("a directory");
    std::fs::write(directory.path().join("chasqui.toml"), toml).expect("written");
    directory
}

fn toml(settings: &GatewaySettings) -> String {
    settings.to_toml(ANY_PORT.into(), ANY_PORT.into())
}

/// Runs it to its end without blocking the servers of this test.
async fn run(directory: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(chasqui());
    command.current_dir(directory).args(arguments);
    tokio::task::spawn_blocking(move || command.output())
        .await
        .expect("no panic")
        .expect("it can be run")
}

fn output_text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn complained(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[tokio::test]
async fn a_mistake_in_the_configuration_stops_the_start_with_its_key() {
    let good = toml(&GatewaySettings::new("http://127.0.0.1:9"));
    let replaced = |from: &str, to: &str| {
        assert!(good.contains(from), "{from} in {good}");
        good.replace(from, to)
    };
    let secrets = format!("khipu_secrets = [{KHIPU_SECRET:?}]");
    for (key, wrong) in [
        (
            "server.lisen",
            replaced("[server]", "[server]\nlisen = \"x\""),
        ),
        ("accounts", replaced(&secrets, "")),
        (
            "accounts[0].khipu_secrets",
            replaced(&secrets, "khipu_secrets = []"),
        ),
        (
            "accounts[0].khipu_secrets",
            replaced(&secrets, &format!("khipu_secrets = [{KHIPU_API_KEY:?}]")),
        ),
        (
            "accounts[0].khipu_api_key",
            replaced(&format!("{KHIPU_API_KEY:?}"), "{ env = \"SURELY_UNSET\" }"),
        ),
        ("server.signing_keys[0]", replaced(SIGNING_KEY, "short")),
        ("storage.url", replaced("sqlite::memory:", "mysql://x")),
        (
            "server.public_url",
            replaced(
                "public_url = \"http://127.0.0.1:0\"",
                "public_url = \"http://pay.example\"",
            ),
        ),
        (
            "limits.heartbeat_interval",
            replaced("[limits]", "[limits]\nheartbeat_interval = \"60s\""),
        ),
        (
            "limits.watchers_per_payment",
            replaced("[limits]", "[limits]\nwatchers = 1"),
        ),
    ] {
        let directory = directory(&wrong);
        for command in ["serve", "check"] {
            let output = run(directory.path(), &[command, "--config", "chasqui.toml"]).await;
            assert_eq!(output.status.code(), Some(1), "{command}: {key}");
            let complaint = complained(&output);
            assert!(complaint.contains(key), "no {key} in {complaint}");
            for secret in [KHIPU_SECRET, KHIPU_API_KEY, SIGNING_KEY] {
                assert!(!complaint.contains(secret), "{complaint}");
            }
        }
    }
}

#[tokio::test]
async fn check_reports_every_problem_at_once() {
    let sandbox = Sandbox::start().await;
    let good = directory(&toml(&GatewaySettings::new(&sandbox.url)));
    let output = run(good.path(), &["check", "--config", "chasqui.toml"]).await;
    assert_eq!(output.status.code(), Some(0), "{}", complained(&output));
    for part in ["configuration", "storage", "khipu"] {
        assert!(
            output_text(&output).contains(part),
            "{}",
            output_text(&output)
        );
    }

    let mut wrong = GatewaySettings::new("http://127.0.0.1:9");
    wrong.storage = "sqlite:no/such/directory/chasqui.db".into();
    let wrong = directory(&toml(&wrong));
    let output = run(wrong.path(), &["check", "--config", "chasqui.toml"]).await;
    assert_eq!(output.status.code(), Some(1));
    for part in ["khipu.base_url", "storage.url"] {
        assert!(
            complained(&output).contains(part),
            "{}",
            complained(&output)
        );
    }

    let mut unauthorised = GatewaySettings::new(&sandbox.url);
    unauthorised.account().khipu_api_key = "another-key-not-real".into();
    let unauthorised = directory(&toml(&unauthorised));
    let output = run(unauthorised.path(), &["check", "--config", "chasqui.toml"]).await;
    assert_eq!(output.status.code(), Some(1));
    assert!(
        complained(&output).contains("401"),
        "{}",
        complained(&output)
    );
    assert!(!complained(&output).contains("another-key-not-real"));

    let mut other = GatewaySettings::new(&sandbox.url);
    other.account().receiver_id += 1;
    let other = directory(&toml(&other));
    let output = run(other.path(), &["check", "--config", "chasqui.toml"]).await;
    assert_eq!(output.status.code(), Some(1));
    let complaint = complained(&output);
    assert!(complaint.contains("correct receiver_id"), "{complaint}");
}

#[tokio::test]
async fn keys_new_prints_a_key_and_its_hash() {
    let directory = directory("");
    let output = run(directory.path(), &["keys", "new"]).await;
    assert_eq!(output.status.code(), Some(0));
    let text = output_text(&output);
    let word = |prefix: &str| {
        text.split_whitespace()
            .find(|word| word.starts_with(prefix))
            .unwrap_or_else(|| panic!("no {prefix} in {text}"))
    };
    let key = word("chq_");
    assert!(api_key::is_well_formed(key));
    assert_eq!(word("sha256:"), api_key::hash_text(key));
    let again = output_text(&run(directory.path(), &["keys", "new"]).await);
    assert_ne!(text, again);
}

#[tokio::test]
async fn token_prints_a_token_that_the_gateway_takes() {
    let sandbox = Sandbox::start().await;
    let settings = GatewaySettings::new(&sandbox.url);
    let gateway = GatewayProcess::start(&settings).await;
    let api = GatewayClient::new(&gateway.url, &settings.accounts[0].api_key);
    let payment = api.create(json!({})).await;
    let directory = directory(&toml(&settings));
    let output = run(
        directory.path(),
        &["token", &payment.id, "--config", "chasqui.toml"],
    )
    .await;
    assert_eq!(output.status.code(), Some(0), "{}", complained(&output));
    let printed = TestPayment {
        token: output_text(&output).trim().into(),
        ..payment
    };
    assert_eq!(api.status(&printed).await["status"], "pending");
}

#[tokio::test]
async fn a_start_warns_of_each_api_key_that_khipu_refuses() {
    let sandbox = Sandbox::start().await;
    let mut settings = GatewaySettings::new(&sandbox.url);
    settings.account().khipu_api_key = "another-key-not-real".into();
    let gateway = GatewayProcess::start(&settings).await;
    eventually("the refused key is in the log", async || {
        let log = gateway.log();
        let mut lines = log.lines();
        let line = lines.find(|line| line.contains("khipu refuses the account's API key"))?;
        for part in ["WARN", "shop", "401", "correct khipu_api_key"] {
            assert!(line.contains(part), "{part} is missing from: {line}");
        }
        Some(())
    })
    .await;
    assert!(!gateway.log().contains("another-key-not-real"));

    let mut unreachable = GatewaySettings::new("http://127.0.0.1:9");
    unreachable.log = vec!["filter = \"debug\"".into()];
    let gateway = GatewayProcess::start(&unreachable).await;
    eventually("the call has failed", async || {
        let log = gateway.log();
        let mut lines = log.lines();
        let line = lines.find(|line| line.contains("API key could not be checked"))?;
        assert!(line.contains("DEBUG"), "{line}");
        Some(())
    })
    .await;
}

#[tokio::test]
async fn a_whole_run_logs_no_secret_no_token_and_nothing_of_the_payer() {
    let sandbox = Sandbox::start().await;
    let mut merchant = WebhookReceiver::start().await;
    let mut settings = GatewaySettings::new(&sandbox.url);
    settings.log = vec!["filter = \"debug\"".into(), "format = \"json\"".into()];
    let mut gateway = GatewayProcess::start(&settings).await;
    let key = settings.accounts[0].api_key.clone();
    let api = GatewayClient::new(&gateway.url, &key);
    let payment = api
        .create(json!({
            "notify_url": merchant.url,
            "payer_name": "Ana Secreta",
            "payer_email": "ana.secreta@example.com",
        }))
        .await;
    merchant.respond_next(&[500]);
    let mut watcher = WebSocketWatcher::open(&gateway.url, &payment).await;
    watcher.status().await;
    sandbox.act(&payment.id, "authorize").await;
    watcher.until("verifying").await;
    sandbox.act(&payment.id, "conciliate").await;
    watcher.until("confirmed").await;
    let delivery = merchant.next().await;
    // Failures, too, because their logs have the most fields.
    api.notify(Some("t=1,s=bm8="), delivery.body.clone())
        .await
        .expect(401);
    api.with_key("chq_mistyped-key")
        .get("/v3/banks")
        .await
        .expect(401);
    api.poll(&payment, "?token=in-the-query", None)
        .await
        .expect(200);
    sandbox
        .set_behaviour(json!({ "api": { "error_rate": 1 } }))
        .await;
    api.get(&format!("/v3/payments/{}", payment.id))
        .await
        .expect(502);
    gateway.terminate();
    gateway.ended().await;

    let log = gateway.log();
    assert!(log.contains("the payment changed"), "{log}");
    let payer = delivery.json();
    for secret in [
        KHIPU_SECRET,
        KHIPU_API_KEY,
        SIGNING_KEY,
        WEBHOOK_SECRET,
        &key,
        "chq_mistyped-key",
        "in-the-query",
        &payment.token,
        delivery.header("x-khipu-signature"),
        "Ana Secreta",
        "ana.secreta@example.com",
        payer["payer_email"].as_str().expect("text"),
        payer["personal_identifier"].as_str().expect("text"),
        payer["bank_account_number"].as_str().expect("text"),
    ] {
        if let Some(line) = log.lines().find(|line| line.contains(secret)) {
            panic!("{secret:?} is in the log: {line}");
        }
    }
}
